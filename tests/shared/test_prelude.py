"""The prelude means the same in the sandbox and in CPython, and what ViperGPT's programs expect of it.

`desk.both` runs a program in both and fails where value, exception, printed text or calls differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HANDLE = {"blob": "ab" * 32, "box": [0, 0, 120, 80]}
BOX = {"blob": "ab" * 32, "box": [10, 20, 30, 40]}  # left 10, right 40, upper 60, lower 20
PATCH = "patch = ImagePatch(image).crop(10, 20, 40, 60)"


def program(body: str, *, asynchronous: bool = False) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"import hermod\n{'async ' if asynchronous else ''}def execute_command(image):\n{lines}"


# Every remote method: the sync form and start/finish give the same, with exactly one call

METHODS = {
    "find": ("'bottle'", "", ("glip", {"image": BOX, "object_name": "bottle"}),
             [{"patch": {"blob": BOX["blob"], "box": [11, 22, 5, 4]}}]),
    "find (of the detector)": ("'can'", "", ("yolov8", {"image": BOX, "classes": ["can"]}),
                               [{"patch": {"blob": BOX["blob"], "box": [11, 22, 5, 4]}}]),
    "exists": ("'bottle'", "", ("glip", {"image": BOX, "object_name": "bottle"}), True),
    "verify_property": ("'can', 'red'", "", ("xvlm", {"image": BOX, "object_name": "can", "property": "red"}), False),
    "best_text_match": ("['a', 'bb', 'ccc']", "['a', 'bb', 'ccc']",
                        ("xvlm", {"image": BOX, "object_name": "", "options": ["a", "bb", "ccc"]}), "ccc"),
    "best_text_match (prefix)": ("['a', 'bb'], prefix='the'", "['a', 'bb']",
                                 ("xvlm", {"image": BOX, "object_name": "the", "options": ["a", "bb"]}), "bb"),
    "simple_query": ("'What colour?'", "", ("blip2", {"image": BOX, "query": "What colour?"}),
                     "What colour? at [10, 20, 30, 40]"),
    "simple_query (default)": ("", "", ("blip2", {"image": BOX, "query": "What is this?"}),
                               "What is this? at [10, 20, 30, 40]"),
    "llm_query": ("'Why?'", "", ("llm", {"prompt": "Why?"}), "Why?"),
    "llm_query (short)": ("'Why?', long_answer=False", "", ("llm", {"prompt": "Why?\nAnswer in a few words."}),
                          "Why?\nAnswer in a few words."),
    "compute_depth": ("", "", ("depth", {"image": BOX}), 9.5),
}  # fmt: skip


@pytest.mark.parametrize("case", METHODS)
def test_methods(desk: Any, case: str) -> None:
    arguments, finish_arguments, call, value = METHODS[case]
    method = case.split(" ", maxsplit=1)[0]
    sync = desk.both(program(f"{PATCH}\nreturn patch.{method}({arguments})"), vocabulary=("can",))
    assert (sync.value, sync.calls, sync.error) == (value, (call,), None)
    finish = f"patch.{method}_finish(await job{', ' + finish_arguments if finish_arguments else ''})"
    body = f"{PATCH}\njob = patch.{method}_start({arguments})\nreturn {finish}"
    apart = desk.both(program(body, asynchronous=True), vocabulary=("can",))
    assert (apart.value, apart.calls) == (sync.value, sync.calls)


GUESS = "Question: Which?\nGuesses: {}\nAnswer with the better guess."
FUNCTIONS = {
    "llm_query": ("'Why?', 'Because.'", "", ("llm", {"prompt": "Because.\nWhy?"}), "Because.\nWhy?"),
    "llm_query (short)": ("'Why?', None, False", "", ("llm", {"prompt": "Why?\nAnswer in a few words."}),
                          "Why?\nAnswer in a few words."),
    "process_guesses": ("'Which?', 'cat', 'dog'", "'cat', 'dog'",
                        ("llm", {"prompt": GUESS.format("cat; dog")}), "cat"),
    "process_guesses (one)": ("'Which?', None, 'dog'", "None, 'dog'",
                              ("llm", {"prompt": GUESS.format("dog")}), "dog"),
}  # fmt: skip


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions(desk: Any, case: str) -> None:
    arguments, finish_arguments, call, value = FUNCTIONS[case]
    name = case.split(" ", maxsplit=1)[0]
    sync = desk.both(program(f"return {name}({arguments})"))
    assert (sync.value, sync.calls) == (value, (call,))
    finish = f"{name}_finish(await job{', ' + finish_arguments if finish_arguments else ''})"
    apart = desk.both(program(f"job = {name}_start({arguments})\nreturn {finish}", asynchronous=True))
    assert (apart.value, apart.calls) == (sync.value, sync.calls)


@pytest.mark.parametrize(("content", "texts"), [("'red can'", ["red can"]), ("['red', 'can']", ["red", "can"])])
@pytest.mark.parametrize(("index", "value"), [("False", {"patch": {**BOX, "box": [8, 0, 8, 80]}}), ("True", 1)])
def test_best_image_match_asks_once_a_patch(desk: Any, content: str, texts: list[str], index: str, value: Any) -> None:
    lefts = [0, 8, 16, 8]
    calls = tuple(
        ("xvlm", {"image": {**BOX, "box": [left, 0, 8, 80]}, "object_name": "", "options": texts}) for left in lefts
    )

    def likes_the_second_and_its_twin(name: str, params: dict[str, Any]) -> Any:
        score = 0.75 if params["image"]["box"][0] == 8 else 0.5
        return {"result": True, "score": score, "scores": [score] * len(texts)}

    patches = f"patches = [ImagePatch(image).crop(x, 0, x + 8, 80) for x in {lefts}]"
    sync = desk.both(
        program(f"{patches}\nreturn best_image_match(patches, {content}, {index})"), likes_the_second_and_its_twin
    )
    assert (sync.value, sync.calls) == (value, calls)
    body = f"""{patches}
jobs = best_image_match_start(patches, {content})
return best_image_match_finish([await job for job in jobs], patches, {index})"""
    apart = desk.both(program(body, asynchronous=True), likes_the_second_and_its_twin)
    assert (apart.value, apart.calls) == (value, calls)


def test_best_image_match_of_nothing_is_none_without_a_call(desk: Any) -> None:
    told = desk.both(program("return best_image_match([], 'can')"))
    assert (told.value, told.calls) == (None, ())


@pytest.mark.parametrize("call", ["find('a')", "simple_query('a')", "compute_depth()", "verify_property('a', 'b')"])
@pytest.mark.parametrize("error", [RuntimeError("site away"), TimeoutError("too late"), ValueError("no such thing")])
def test_failures_come_out_of_the_methods(desk: Any, call: str, error: Exception) -> None:
    told = desk.both(program(f"return ImagePatch(image).{call}"), lambda name, params: error)
    assert told.error == (type(error).__name__, str(error))
    caught = program(f"try:\n    ImagePatch(image).{call}\nexcept {type(error).__name__} as e:\n    return str(e)")
    assert desk.both(caught, lambda name, params: error).value == str(error)


# Coordinates, checked by hand.  The frame is 120 wide and 80 high.

CORNERS = (
    "[p.left, p.lower, p.right, p.upper, p.width, p.height, p.horizontal_center, p.vertical_center, p.handle['box']]"
)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        ("ImagePatch(image)", [0, 0, 120, 80, 120, 80, 60.0, 40.0, [0, 0, 120, 80]]),
        ("ImagePatch(ImagePatch(image))", [0, 0, 120, 80, 120, 80, 60.0, 40.0, [0, 0, 120, 80]]),
        # The lower edge is counted from the bottom: 10 rows below the patch, so it ends at row 70.
        ("ImagePatch(image, 20, 10, 50, 30)", [20, 10, 50, 30, 30, 20, 35.0, 20.0, [20, 50, 30, 20]]),
        ("ImagePatch(image).crop(20, 10, 50, 30)", [20, 10, 50, 30, 30, 20, 35.0, 20.0, [20, 50, 30, 20]]),
        ("ImagePatch(image, left=100)", [100, 0, 120, 80, 20, 80, 110.0, 40.0, [100, 0, 20, 80]]),
        ("ImagePatch(image, upper=8)", [0, 0, 120, 8, 120, 8, 60.0, 4.0, [0, 72, 120, 8]]),
        # A crop of a crop: its arguments count from the outer crop, its attributes from the frame.
        ("ImagePatch(image).crop(20, 10, 50, 30).crop(1, 2, 11, 7)",
         [21, 12, 31, 17, 10, 5, 26.0, 14.5, [21, 63, 10, 5]]),
        # find on a crop: the box is (1, 2, 5, 4) from the crop's top left, so rows 52 to 56 of the frame.
        ("ImagePatch(image).crop(20, 10, 50, 30).find('x')[0]", [21, 24, 26, 28, 5, 4, 23.5, 26.0, [21, 52, 5, 4]]),
        # What lies outside is cut off on each side, and children of what is left are where they say.
        ("ImagePatch(image).crop(-5, -6, 500, 600)", [0, 0, 120, 80, 120, 80, 60.0, 40.0, [0, 0, 120, 80]]),
        ("ImagePatch(image).crop(-5, -6, 10, 8)", [0, 0, 10, 8, 10, 8, 5.0, 4.0, [0, 72, 10, 8]]),
        ("ImagePatch(image).crop(-5, -6, 10, 8).crop(1, 2, 3, 4)", [1, 2, 3, 4, 2, 2, 2.0, 3.0, [1, 76, 2, 2]]),
        ("ImagePatch(image).crop(115, 70, 130, 99)", [115, 70, 120, 80, 5, 10, 117.5, 75.0, [115, 0, 5, 10]]),
        ("ImagePatch(image).crop(1.9, 2.9, 3.9, 4.9)", [1, 2, 3, 4, 2, 2, 2.0, 3.0, [1, 76, 2, 2]]),
        ("ImagePatch(image).crop('1', '2', '3', '4')", [1, 2, 3, 4, 2, 2, 2.0, 3.0, [1, 76, 2, 2]]),
    ],
)  # fmt: skip
def test_coordinates(desk: Any, make: str, expected: list[Any]) -> None:
    assert desk.both(program(f"p = {make}\nreturn {CORNERS}")).value == expected


@pytest.mark.parametrize(
    "make",
    ["ImagePatch(image).crop(5, 5, 5, 9)", "ImagePatch(image).crop(5, 9, 9, 9)", "ImagePatch(image).crop(9, 0, 5, 9)",
     "ImagePatch(image).crop(120, 0, 130, 9)", "ImagePatch(image).crop(-9, 0, 0, 9)", "ImagePatch(image, right=0)",
     "ImagePatch(image).crop(0, 80, 9, 99)", "ImagePatch(image).crop(0, 0, 0.5, 9)"],
)  # fmt: skip
def test_a_patch_without_area(desk: Any, make: str) -> None:
    assert desk.both(program(f"return {make}")).error == ("Exception", "ImagePatch has no area")


def test_the_top_left_origin_of_dice_m(desk: Any) -> None:
    source = "# dicem: crop-origin=top-left\n" + program(
        f"p = ImagePatch(image).crop(20, 50, 50, 70)\nq = p.crop(1, 2, 6, 6)\nouter = {CORNERS}\np = q\n"
        f"return [outer, {CORNERS}, p.find('x')[0].handle['box']]"
    )
    outer, inner, found = desk.both(source).value
    assert outer == [20, 10, 50, 30, 30, 20, 35.0, 20.0, [20, 50, 30, 20]]
    assert inner == [21, 24, 26, 28, 5, 4, 23.5, 26.0, [21, 52, 5, 4]]
    assert found == [22, 54, 4, 2]  # what the detector says beyond the patch is cut off


def test_boxes_without_area_are_no_finds(desk: Any) -> None:
    boxes = [{"x": 3, "y": 3, "width": w, "height": h, "score": 0.5} for w, h in [(0, 4), (4, 0), (2, 2)]]
    told = desk.both(program("return [str(p) for p in ImagePatch(image).find('x')]"), lambda name, params: boxes)
    assert told.value == ["ImagePatch(3, 75, 5, 77)"]
    assert not desk.both(program("return ImagePatch(image).exists('x')"), lambda name, params: boxes[:2]).value


@pytest.mark.parametrize(
    ("box", "touches"),
    [("9, 19, 41, 61", True), ("15, 25, 16, 26", True), ("0, 0, 10, 20", True), ("0, 0, 9, 80", False),
     ("41, 0, 99, 80", False), ("0, 61, 120, 80", False), ("0, 0, 120, 19", False), ("40, 60, 50, 70", True)],
)  # fmt: skip
def test_overlaps_with(desk: Any, box: str, touches: bool) -> None:
    assert desk.both(program(f"{PATCH}\nreturn patch.overlaps_with({box})")).value is touches


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (["0, 0, 10, 10", "13, 14, 20, 20"], 5.0),
        (["13, 14, 20, 20", "0, 0, 10, 10"], 5.0),
        (["0, 0, 10, 10", "17, 0, 20, 10"], 7.0),
        (["0, 0, 10, 10", "10, 0, 20, 10"], 0.0),
        (["0, 0, 10, 10", "0, 0, 10, 10"], -1.0),
        (["0, 0, 10, 10", "5, 0, 15, 10"], -50 / 150),
        (["0, 0, 100, 50", "20, 10, 40, 20"], -200 / 5000),
    ],
)
def test_distance_is_the_gap_or_less_the_overlap(desk: Any, boxes: list[str], expected: float) -> None:
    a, b = boxes
    told = desk.both(program(f"i = ImagePatch(image)\nreturn distance(i.crop({a}), i.crop({b}))"))
    assert told.value == pytest.approx(expected)


def test_small_functions(desk: Any) -> None:
    told = desk.both(
        program("return [distance(3, 7.5), bool_to_yesno(True), bool_to_yesno([]), str(ImagePatch(image))]")
    )
    assert told.value == [4.5, "yes", "no", "ImagePatch(0, 0, 120, 80)"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("'12'", 12), ("'about 3,000.5 m'", 3000.5), ("'$ 7'", 7), ("'45%'", 45), ("'-3'", -3), ("'2-4'", 2),
     ("'10 - 15 boats'", 10), ("'two boats'", 2), ("'Twenty'", 20), ("'none'", "none"), ("''", ""), ("5", 5),
     ("2.5", 2.5), ("'3.'", 3.0), ("'year 1998, 2001'", 1998), ("'a-b'", "a-b"), ("'zero of 5'", 5)],
)  # fmt: skip
def test_coerce_to_numeric(desk: Any, text: str, number: Any) -> None:
    told = desk.both(program(f"return coerce_to_numeric({text})"))
    assert told.value == number
    assert type(told.value) is type(number)


def test_coerce_to_numeric_can_insist(desk: Any) -> None:
    assert desk.both(program("return coerce_to_numeric('many', no_string=True)")).error == (
        "ValueError", "no number in 'many'",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "chosen"),
    [("Dog", "dog"), (" the dog. ", "dog"), ("cat or dog", "cat"), ("fish", "cat"), ("", "cat")],
)
def test_process_guesses_always_takes_a_guess(desk: Any, said: str, chosen: str) -> None:
    told = desk.both(program("return process_guesses('Which?', 'cat', 'dog')"), lambda n, p: {"output": said})
    assert told.value == chosen


# Video


def test_a_video_segment(desk: Any) -> None:
    body = """
frames = [image.crop((i, 0, i + 10, 10)) for i in range(6)]
v = VideoSegment(frames)
t = v.trim(1, 5)
u = t.trim(2, 99)
lefts = [f.image.handle['box'][0] for f in t.frame_iterator()]
picked = [t.frame_from_index(i).image.handle['box'][0] for i in [0, 3, 4, 99, -1]]
return [[s.start, s.end, s.num_frames, str(s)] for s in [v, t, u, VideoSegment(v), v.trim(None, 2), v.trim(-3)]] + [
    lefts, picked, next(v.frame_iterator()).width]"""
    assert desk.both(program(body)).value == [
        [0, 6, 6, "VideoSegment(0, 6)"],
        [1, 5, 4, "VideoSegment(1, 5)"],
        [3, 5, 2, "VideoSegment(3, 5)"],
        [0, 6, 6, "VideoSegment(0, 6)"],
        [0, 2, 2, "VideoSegment(0, 2)"],
        [0, 6, 6, "VideoSegment(0, 6)"],
        [1, 2, 3, 4],
        [1, 4, 4, 4, 4],
        10,
    ]


def test_an_empty_video_segment(desk: Any) -> None:
    told = desk.both(program("return VideoSegment([image]).trim(1)"))
    assert told.error == ("Exception", "VideoSegment has duration=0")


def test_a_program_for_videos_gets_the_frame(desk: Any) -> None:
    source = "def execute_command(video):\n    return [str(f) for f in VideoSegment(video).frame_iterator()]\n"
    assert desk.both(source).value == ["ImagePatch(0, 0, 120, 80)"]


def test_select_answer(desk: Any) -> None:
    asked = "{'seen': ['cat'], 'n': 2}, 'Which?', ['dog', 'cat']"
    sync = desk.both(program(f"return VideoSegment([image]).select_answer({asked})"))
    prompt = "Known:\n- seen: ['cat']\n- n: 2\nQuestion: Which?\nAnswer with one of: dog; cat"
    assert (sync.value, sync.calls) == ("dog", (("llm", {"prompt": prompt}),))
    body = f"""
job = VideoSegment([image]).select_answer_start({asked})
return VideoSegment([image]).select_answer_finish(await job, ['dog', 'cat'])"""
    apart = desk.both(program(body, asynchronous=True))
    assert (apart.value, apart.calls) == (sync.value, sync.calls)
    free = desk.both(
        program("return VideoSegment([image]).select_answer({}, 'Which?')"), lambda n, p: {"output": " x "}
    )
    assert free.value == " x "


# PIL.Image


def test_the_image_shim(desk: Any) -> None:
    body = """
from PIL import Image
import PIL.Image as module
opened = Image.open('accident.jpg')
part = opened.crop((10, 20, 40, 60))
deeper = part.crop((-5, 1.9, 10, 99))
return [opened.size, opened.width, opened.height, part.handle['box'], deeper.handle['box'], part.size,
        module.open(part).handle == part.handle, Image.open(part.handle).size, isinstance(part, Image.Image),
        part.crop((5, 5, 5, 5)).size, Image.open(ImagePatch(part)).size, part]"""
    assert desk.both(program(body)).value == [
        [120, 80], 120, 80, [10, 20, 30, 40], [10, 21, 10, 39], [30, 40],
        True, [30, 40], True, [0, 0], [30, 40], {"patch": {**BOX, "box": [10, 20, 30, 40]}},
    ]  # fmt: skip


def test_images_and_patches_are_parameters(desk: Any) -> None:
    body = """
patch = ImagePatch(image).crop(10, 20, 40, 60)
return [hermod.call_sync("depth", image=thing) for thing in (image, patch, patch.image, patch.handle)]"""
    told = desk.both(program(body))
    assert [params["image"]["box"] for _, params in told.calls] == [[0, 0, 120, 80]] + [[10, 20, 30, 40]] * 3


# Against pixels: an image whose every pixel is different, sliced as ViperGPT slices it

coordinates = st.integers(-30, 150)
crops = st.tuples(st.just("crop"), st.tuples(coordinates, coordinates, coordinates, coordinates))
finds = st.tuples(
    st.just("find"), st.tuples(st.integers(0, 100), st.integers(0, 70), st.integers(0, 60), st.integers(0, 60))
)
paths = st.lists(st.one_of(crops, finds), min_size=1, max_size=5)
PIXELS = np.arange(80 * 120).reshape(80, 120)


def sliced(path: list[tuple[str, tuple[int, ...]]], *, top_left: bool) -> list[Any]:
    """left, lower, right, upper of each patch on the way, read off the pixels that are left."""
    image, seen = PIXELS, list[Any]()
    for kind, box in path:
        height, width = image.shape
        if kind == "find":
            x, y, w, h = box
            left, lower, right, upper = x, height - (y + h), x + w, height - y
            if w == 0 or h == 0:
                return [*seen, "nothing found"]
        elif top_left:
            left, upper, right, lower = box[0], height - box[1], box[2], height - box[3]
        else:
            left, lower, right, upper = box
        left, right = max(left, 0), min(right, width)
        lower, upper = max(lower, 0), min(upper, height)
        image = image[height - upper : max(height - lower, 0), left : max(right, 0)] if upper > 0 else image[:0]
        if image.size == 0:
            return [*seen, "ImagePatch has no area"]
        (top, first), (bottom, last) = divmod(int(image[0, 0]), 120), divmod(int(image[-1, -1]), 120)
        seen.append([first, 80 - bottom - 1, last + 1, 80 - top])
    return seen


@given(path=paths, top_left=st.booleans())
@settings(max_examples=150)
def test_any_way_of_cropping_cuts_the_pixels_that_vipergpt_would(
    desk: Any, path: list[tuple[str, tuple[int, ...]]], top_left: bool
) -> None:
    expected = sliced(path, top_left=top_left)
    found = iter([box for kind, box in path[: len(expected)] if kind == "find"] * 2)  # once for each interpreter

    def boxes(name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        return [dict(zip(("x", "y", "width", "height"), next(found), strict=True), score=0.5)]

    body = f"""
patch, seen = ImagePatch(image), []
try:
    for kind, box in {path}:
        found = patch.find('x') if kind == 'find' else [patch.crop(*box)]
        if not found:
            return seen + ['nothing found']
        patch = found[0]
        seen.append([patch.left, patch.lower, patch.right, patch.upper])
        x, y, width, height = patch.handle['box']
        assert [x, 80 - y - height, x + width, 80 - y] == seen[-1]
        assert (patch.width, patch.height) == (width, height)
except Exception as error:
    return seen + [str(error)]
return seen"""
    source = ("# dicem: crop-origin=top-left\n" if top_left else "") + program(body)
    assert desk.both(source, boxes).value == expected
