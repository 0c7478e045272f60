"""The prelude, version 2: what every program finds defined before its first line.

This file runs in two interpreters: inside the sandbox, where its text is fed before the program, and in CPython, where
it is an ordinary module.  It keeps to what both understand: no inheritance, no decorators on methods, no generators.

`ImagePatch`, `VideoSegment` and the module functions are ViperGPT's API.  Coordinates are ViperGPT's too: the origin is
at the bottom left, `left lower right upper` are those of the whole frame, arguments of `crop` are those of this patch.
What lies outside is cut off, and the four say where the patch then really is, so that boxes within it are true as well.
Functions and handles have their origin at the top left; here is where y is flipped.

Each remote method `m` comes in three forms: `m_start(...)` makes exactly one call and returns it, `m_finish(result)`
turns the result into the method's value without any call, and `m(...)` is both in a row, synchronously.  What
`hermod.call` takes of `site`, `at`, `deadline_s` and `priority`, each `start` takes too.
"""

import hermod

PRELUDE_VERSION = 2
_CROP_ORIGIN = "bottom-left"
_VOCABULARY = []
_FILES = {}


class PILImage:
    """What `PIL.Image` gives programs: a patch of the frame.  `handle` names it; there are no pixels here."""

    def __init__(self, handle):
        self.handle = handle
        self.width = handle["box"][2]
        self.height = handle["box"][3]
        self.size = (self.width, self.height)

    def crop(self, box):
        """The part of it in (left, upper, right, lower), origin at the top left, clipped to the image."""
        x, y, width, height = self.handle["box"]
        left = min(max(int(box[0]), 0), width)
        top = min(max(int(box[1]), 0), height)
        right = min(max(int(box[2]), left), width)
        bottom = min(max(int(box[3]), top), height)
        return PILImage({"blob": self.handle["blob"], "box": [x + left, y + top, right - left, bottom - top]})


class PILImageModule:
    """The module `PIL.Image`, as far as a program may have it."""

    def __init__(self):
        self.Image = PILImage

    def open(self, source):
        """The frame: by its handle, or by any name that the runner gave it."""
        if isinstance(source, str):
            if source in _FILES:
                return PILImage(_FILES[source])
            if "" in _FILES:
                return PILImage(_FILES[""])
            raise FileNotFoundError("no image is called " + repr(source))
        return _as_image(source)


PIL_Image = PILImageModule()


class PILModule:
    """The module `PIL`: nothing but `Image`."""

    def __init__(self):
        self.Image = PIL_Image


PIL = PILModule()


def _as_image(value):
    if isinstance(value, PILImage):
        return value
    if isinstance(value, ImagePatch):
        return value.image
    return PILImage(value)


class ImagePatch:
    """A rectangle of a frame, and questions about what is in it."""

    def __init__(self, image, left=None, lower=None, right=None, upper=None, parent_left=0, parent_lower=0):
        whole = _as_image(image)
        if left is None and lower is None and right is None and upper is None:
            self.image = whole
            left, lower, right, upper = 0, 0, whole.width, whole.height
        else:
            left = 0 if left is None else int(left)
            lower = 0 if lower is None else int(lower)
            right = whole.width if right is None else int(right)
            upper = whole.height if upper is None else int(upper)
            self.image = whole.crop((left, whole.height - upper, right, whole.height - lower))
            left = self.image.handle["box"][0] - whole.handle["box"][0]
            right = left + self.image.width
            upper = whole.height - (self.image.handle["box"][1] - whole.handle["box"][1])
            lower = upper - self.image.height
        self.cropped_image = self.image
        self.handle = self.image.handle
        self.width = self.image.width
        self.height = self.image.height
        self.left = left + parent_left
        self.lower = lower + parent_lower
        self.right = right + parent_left
        self.upper = upper + parent_lower
        if self.width == 0 or self.height == 0:
            raise Exception("ImagePatch has no area")
        self.horizontal_center = (self.left + self.right) / 2
        self.vertical_center = (self.lower + self.upper) / 2

    def __repr__(self):
        return "ImagePatch(" + ", ".join([str(v) for v in [self.left, self.lower, self.right, self.upper]]) + ")"

    # find: every patch that shows the object

    def _find_call(self, object_name):
        if object_name in _VOCABULARY:
            return ("yolov8", {"image": self.handle, "classes": [object_name]})
        return ("glip", {"image": self.handle, "object_name": object_name})

    def find_start(self, object_name, **tags):
        name, params = self._find_call(object_name)
        return hermod.call(name, **params, **tags)

    def find_finish(self, result):
        boxes = result["objects"] if isinstance(result, dict) else result
        found = []
        for box in boxes:
            if box["width"] > 0 and box["height"] > 0:
                top, bottom = box["y"], box["y"] + box["height"]
                patch = ImagePatch(
                    self.image,
                    box["x"],
                    self.height - bottom,
                    box["x"] + box["width"],
                    self.height - top,
                    self.left,
                    self.lower,
                )
                found.append(patch)
        return found

    def find(self, object_name):
        """The patches that show `object_name`, best first."""
        name, params = self._find_call(object_name)
        return self.find_finish(hermod.call_sync(name, **params))

    # exists: whether there is one

    def exists_start(self, object_name, **tags):
        return self.find_start(object_name, **tags)

    def exists_finish(self, result):
        return len(self.find_finish(result)) > 0

    def exists(self, object_name):
        """Whether `object_name` is in the patch."""
        return len(self.find(object_name)) > 0

    # verify_property: whether it is so

    def _verify_property_call(self, object_name, property):
        return ("xvlm", {"image": self.handle, "object_name": object_name, "property": property})

    def verify_property_start(self, object_name, property, **tags):
        name, params = self._verify_property_call(object_name, property)
        return hermod.call(name, **params, **tags)

    def verify_property_finish(self, result):
        return result["result"]

    def verify_property(self, object_name, property):
        """Whether the object in the patch has the property."""
        name, params = self._verify_property_call(object_name, property)
        return self.verify_property_finish(hermod.call_sync(name, **params))

    # best_text_match: which of some texts fits best

    def _best_text_match_call(self, option_list, prefix=None):
        return ("xvlm", {"image": self.handle, "object_name": prefix or "", "options": list(option_list)})

    def best_text_match_start(self, option_list, prefix=None, **tags):
        name, params = self._best_text_match_call(option_list, prefix)
        return hermod.call(name, **params, **tags)

    def best_text_match_finish(self, result, option_list):
        scores = result["scores"]
        return option_list[scores.index(max(scores))]

    def best_text_match(self, option_list, prefix=None):
        """The option that describes the patch best; the first of equals."""
        name, params = self._best_text_match_call(option_list, prefix)
        return self.best_text_match_finish(hermod.call_sync(name, **params), option_list)

    # simple_query: a short question

    def _simple_query_call(self, question=None):
        return ("blip2", {"image": self.handle, "query": question or "What is this?"})

    def simple_query_start(self, question=None, **tags):
        name, params = self._simple_query_call(question)
        return hermod.call(name, **params, **tags)

    def simple_query_finish(self, result):
        return result["output"]

    def simple_query(self, question=None):
        """A short answer to a question about the patch."""
        name, params = self._simple_query_call(question)
        return self.simple_query_finish(hermod.call_sync(name, **params))

    # llm_query: a question of general knowledge

    def llm_query_start(self, question, long_answer=True, **tags):
        return llm_query_start(question, None, long_answer, **tags)

    def llm_query_finish(self, result):
        return llm_query_finish(result)

    def llm_query(self, question, long_answer=True):
        """An answer from general knowledge; the patch is not looked at."""
        return llm_query(question, None, long_answer)

    # compute_depth: how far away

    def compute_depth_start(self, **tags):
        return hermod.call("depth", image=self.handle, **tags)

    def compute_depth_finish(self, result):
        return result["depth"]

    def compute_depth(self):
        """Metres to what the patch shows."""
        return self.compute_depth_finish(hermod.call_sync("depth", image=self.handle))

    # no calls

    def crop(self, left, lower, right, upper):
        """The part between these coordinates of this patch."""
        if _CROP_ORIGIN == "top-left":
            lower, upper = self.height - upper, self.height - lower
        return ImagePatch(self.image, left, lower, right, upper, self.left, self.lower)

    def overlaps_with(self, left, lower, right, upper):
        """Whether a rectangle, in coordinates of the frame, touches this patch."""
        return self.left <= right and self.right >= left and self.lower <= upper and self.upper >= lower


class VideoSegment:
    """Some frames in a row; `video` is a list of frames."""

    def __init__(self, video, start=None, end=None, parent_start=0):
        frames = video.frames if isinstance(video, VideoSegment) else list(video)
        first = 0 if start is None else max(int(start), 0)
        last = len(frames) if end is None else min(int(end), len(frames))
        self.frames = frames[first:last]
        self.trimmed_video = self.frames
        self.num_frames = len(self.frames)
        self.start = first + parent_start
        self.end = last + parent_start
        if self.num_frames == 0:
            raise Exception("VideoSegment has duration=0")

    def __repr__(self):
        return "VideoSegment(" + str(self.start) + ", " + str(self.end) + ")"

    def frame_from_index(self, index):
        """The frame at `index` of this segment; one past the end is the last one."""
        return ImagePatch(self.frames[min(index, self.num_frames - 1)])

    def trim(self, start=None, end=None):
        """The frames from `start` up to `end` of this segment."""
        return VideoSegment(self.frames, start, end, self.start)

    def frame_iterator(self):
        """Each frame in turn."""
        return iter([ImagePatch(frame) for frame in self.frames])

    def select_answer_start(self, info, question, options=None, **tags):
        return hermod.call("llm", prompt=_select_answer_prompt(info, question, options), **tags)

    def select_answer_finish(self, result, options=None):
        return _nearest_option(result["output"], options)

    def select_answer(self, info, question, options=None):
        """The option that answers the question, given what was found out."""
        result = hermod.call_sync("llm", prompt=_select_answer_prompt(info, question, options))
        return self.select_answer_finish(result, options)


def _select_answer_prompt(info, question, options):
    lines = ["Known:"]
    for key in info:
        lines.append("- " + str(key) + ": " + str(info[key]))
    lines.append("Question: " + question)
    if options:
        lines.append("Answer with one of: " + "; ".join([str(option) for option in options]))
    return "\n".join(lines)


def _nearest_option(text, options):
    if not options:
        return text
    wanted = text.strip().lower()
    for option in options:
        if str(option).strip().lower() == wanted:
            return option
    for option in options:
        if str(option).strip().lower() in wanted:
            return option
    return options[0]


def best_image_match_start(list_patches, content, return_index=False, **tags):
    """One call a patch."""
    texts = [content] if isinstance(content, str) else list(content)
    return [hermod.call("xvlm", image=p.handle, object_name="", options=texts, **tags) for p in list_patches]


def best_image_match_finish(results, list_patches, return_index=False):
    if not list_patches:
        return None
    sums = [sum(result["scores"]) for result in results]
    best = sums.index(max(sums))
    return best if return_index else list_patches[best]


async def best_image_match_ask(list_patches, content, return_index=False, **tags):
    """As `best_image_match`, but all calls start at once; needs `hermod.share_calls()` for that."""
    texts = [content] if isinstance(content, str) else list(content)
    with hermod.ahead():
        for patch in hermod.again(list_patches):
            hermod.call("xvlm", image=patch.handle, object_name="", options=texts, **tags)
    results = []
    for patch in list_patches:
        results.append(await hermod.call("xvlm", image=patch.handle, object_name="", options=texts, **tags))
    return best_image_match_finish(results, list_patches, return_index)


def best_image_match(list_patches, content, return_index=False):
    """The patch (or its index) that fits the texts best; None without patches."""
    texts = [content] if isinstance(content, str) else list(content)
    results = []
    for patch in list_patches:
        results.append(hermod.call_sync("xvlm", image=patch.handle, object_name="", options=texts))
    return best_image_match_finish(results, list_patches, return_index)


def distance(patch_a, patch_b):
    """Pixels between the edges of two patches, less than 0 where they overlap; or between two numbers."""
    if not isinstance(patch_a, ImagePatch) or not isinstance(patch_b, ImagePatch):
        return abs(patch_a - patch_b)
    gap_x = max(patch_a.left, patch_b.left) - min(patch_a.right, patch_b.right)
    gap_y = max(patch_a.lower, patch_b.lower) - min(patch_a.upper, patch_b.upper)
    if gap_x < 0 and gap_y < 0:
        overlap = gap_x * gap_y
        union = patch_a.width * patch_a.height + patch_b.width * patch_b.height - overlap
        return -overlap / union
    return (max(gap_x, 0) ** 2 + max(gap_y, 0) ** 2) ** 0.5


def bool_to_yesno(bool_answer):
    """yes or no."""
    return "yes" if bool_answer else "no"


def _llm_prompt(query, context, long_answer):
    prompt = query if context is None else str(context) + "\n" + query
    return prompt if long_answer else prompt + "\nAnswer in a few words."


def llm_query_start(query, context=None, long_answer=True, **tags):
    return hermod.call("llm", prompt=_llm_prompt(query, context, long_answer), **tags)


def llm_query_finish(result):
    return result["output"]


def llm_query(query, context=None, long_answer=True):
    """An answer from general knowledge."""
    return llm_query_finish(hermod.call_sync("llm", prompt=_llm_prompt(query, context, long_answer)))


def _guesses_prompt(prompt, guess1, guess2):
    guesses = [guess for guess in [guess1, guess2] if guess]
    return "Question: " + prompt + "\nGuesses: " + "; ".join(guesses) + "\nAnswer with the better guess."


def process_guesses_start(prompt, guess1=None, guess2=None, **tags):
    return hermod.call("llm", prompt=_guesses_prompt(prompt, guess1, guess2), **tags)


def process_guesses_finish(result, guess1=None, guess2=None):
    return _nearest_option(result["output"], [guess for guess in [guess1, guess2] if guess])


def process_guesses(prompt, guess1=None, guess2=None):
    """The better of two guesses."""
    result = hermod.call_sync("llm", prompt=_guesses_prompt(prompt, guess1, guess2))
    return process_guesses_finish(result, guess1, guess2)


def coerce_to_numeric(string, no_string=False):
    """The first number in a text: "about 3,000.5 m" is 3000.5, "2-4" is 2, "two boats" is 2.

    Without a number: the text itself, or a ValueError where `no_string`.
    """
    if isinstance(string, (int, float)):
        return string
    text = str(string).strip().replace(",", "").replace("$", "").replace("%", "")
    numbers = _numbers_in(text) or [_NUMBER_WORDS.index(w) for w in text.lower().split() if w in _NUMBER_WORDS]
    if numbers:
        return numbers[0]
    if no_string:
        raise ValueError("no number in " + repr(string))
    return string


_NUMBER_WORDS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip


def _numbers_in(text):
    numbers = []
    current = ""
    for char in text + " ":
        if char in "0123456789" or (char == "." and "." not in current) or (char == "-" and current == ""):
            current = current + char
        else:
            if any(digit in current for digit in "0123456789"):
                numbers.append(float(current) if "." in current else int(current))
            current = "-" if char == "-" else ""
    return numbers


def _returned(value):
    """What the program returned, if it can be stored; the runner calls it around the entry function."""
    _check_returned(value, 0)
    return value


def _check_returned(value, depth):
    if value is None or isinstance(value, (bool, int, float, str, ImagePatch, PILImage)):
        return
    if depth < 32 and isinstance(value, (list, tuple, set)):
        for item in value:
            _check_returned(item, depth + 1)
    elif depth < 32 and isinstance(value, dict):
        for key in value:
            _check_returned(value[key], depth + 1)
    else:
        raise TypeError("the program returned a " + type(value).__name__ + ", which cannot be stored")
