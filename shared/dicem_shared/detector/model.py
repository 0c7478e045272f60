"""A lean detector: letterbox, one `session.run`, suppression; boxes in frame pixels.

What differs between networks is read from the ONNX file: class names, input size, layout of the output.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dicem_shared.errors import ConfigError, InvalidCall, ModelError
from dicem_shared.images import Pixels
from dicem_shared.images import check as check_image

from . import coco
from .decoders import Candidates, Layout, recognise
from .letterbox import Letterbox
from .nms import best_first, suppress
from .onnx_file import OnnxFile

MAX_CANDIDATES = 1000
"""What is looked at in one frame: the best so many."""
MAX_DETECTIONS = 300
"""What one frame may give."""
DEFAULT_SIDE = 640
"""Pixels, for a network that takes any size and names none."""


@dataclass(frozen=True)
class Detection:
    """One object: class, score of 0 to 1, and its box in frame pixels (x, y is the top-left corner)."""

    class_name: str
    score: float
    x: float
    y: float
    width: float
    height: float


class Detector:
    """A detection network, ready to run; safe to share between threads.

    `names` are its classes by number, `groups` maps names of groups to the classes they stand for, `sha256` is the
    hash of its file, `input_size` the (width, height) in pixels that frames are fitted into; `network` is the open
    file and `layout` how its output is read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        score: float = 0.25,
        iou: float = 0.45,
        agnostic: bool = False,
        names: Sequence[str] | None = None,
        groups: Mapping[str, Collection[str]] | None = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        """Load the network and run it once on an empty image.

        :param threads: how many threads `session.run` uses
        :param score: detections below it are dropped
        :param iou: overlap (intersection over union) above which the weaker of two boxes is dropped
        :param agnostic: boxes of different classes compete too
        :param names: class names, where the file has none and they are not COCO's
        :param groups: for example `{"litter": ("plastic bottle", "metal can")}`; it hides a class so called
        :param providers: onnxruntime's execution providers, best first; the CPU by default
        :raises ModelError: the file is missing, corrupt, or no detector that is known
        :raises ConfigError: a bound is broken, a provider is not here, or a group names a class that is not
        """
        for what, value in (("score", score), ("iou", iou)):
            if not 0 <= value <= 1:
                raise ConfigError(f"the detector's {what} is out of bounds", expected="0 to 1", got=str(value))
        if threads < 1:
            raise ConfigError("the detector needs a thread", expected="1 or more threads", got=str(threads))
        self.network = OnnxFile(path, threads=threads, providers=providers)
        self._score, self._iou, self._agnostic = score, iou, agnostic
        self.sha256 = self.network.sha256
        self.input_size = self.network.fixed_size or self.network.metadata.size or (DEFAULT_SIDE, DEFAULT_SIDE)
        try:
            self.layout = self._recognise(names)
        except ModelError as error:
            what = f"{self.network.path.name}: {error.what}"
            raise ModelError(what, expected=error.expected, got=error.got, todo=error.todo) from None
        self.names = self._names(names)
        self.groups = {group: tuple(members) for group, members in (groups or {}).items()}
        self._numbers = self._selections()

    def detect(self, image: Pixels, classes: Collection[str] | None = None) -> list[Detection]:
        """Objects in `image` (H, W, 3; uint8 RGB), best first, at most `MAX_DETECTIONS`.

        `classes` selects among what would be found without it: names of classes or groups; None selects all.

        :raises InvalidCall: a class or group that is not known
        :raises ImageError: `image` is no such array
        :raises ModelError: the network fails
        """
        check_image(image)
        wanted = None if classes is None else self._wanted(classes)
        box = self.letterbox(image.shape[1], image.shape[0])
        output = self.network.run(box.paint(image, self.layout.style))
        found = self.layout.decode(output, (box.canvas_width, box.canvas_height), self._score)
        return self._detections(self._strongest(found), box, wanted) if len(found.scores) else []

    def _strongest(self, found: Candidates) -> Candidates:
        """Sorted best first, duplicates dropped."""
        found = found.take(best_first(found.scores, MAX_CANDIDATES))
        if self.layout.suppressed:
            return found.take(np.arange(min(len(found.scores), MAX_DETECTIONS)))
        return found.take(suppress(found.boxes, None if self._agnostic else found.classes, self._iou, MAX_DETECTIONS))

    def _detections(self, found: Candidates, box: Letterbox, wanted: set[int] | None) -> list[Detection]:
        detections = []
        corners = box.to_frame(found.boxes).tolist()
        for (left, top, right, bottom), score, number in zip(
            corners, found.scores.tolist(), found.classes.tolist(), strict=True
        ):
            if right > left and bottom > top and (wanted is None or number in wanted) and 0 <= number < len(self.names):
                detections.append(Detection(self.names[number], score, left, top, right - left, bottom - top))
        return detections

    def letterbox(self, width: int, height: int) -> Letterbox:
        """How a frame of `width` x `height` pixels is laid out for the network."""
        shrink_to = None if self.network.fixed_size else self.network.metadata.stride
        return Letterbox.fit((width, height), self.input_size, centred=self.layout.style.centred, shrink_to=shrink_to)

    def _recognise(self, names: Sequence[str] | None) -> Layout:
        """Run the network once on nothing and look at what comes out; this also warms it up."""
        metadata = self.network.metadata
        if metadata.task not in (None, "detect"):
            raise ModelError(
                f"{self.network.path.name} is no detector",
                expected="the task detect",
                got=f"the task {metadata.task}",
                todo="Export a detection network.",
            )
        width, height = self.input_size
        output = self.network.run(np.zeros((1, 3, height, width), dtype=np.float32))
        known = names if names is not None else metadata.names
        return recognise(
            output.shape,
            self.input_size,
            classes=None if known is None else len(known),
            ultralytics=metadata.names is not None,
            end_to_end=metadata.end_to_end,
        )

    def _names(self, given: Sequence[str] | None) -> tuple[str, ...]:
        names = given if given is not None else self.network.metadata.names
        if names is not None:
            return tuple(names)
        if self.layout.classes == len(coco.NAMES):
            return coco.NAMES
        raise ModelError(
            f"{self.network.path.name} does not say what its classes are called",
            expected="names in its metadata, or COCO's 80 classes",
            got="no names" if self.layout.classes is None else f"{self.layout.classes} classes without names",
            todo="Give the detector their names.",
        )

    def _selections(self) -> dict[str, frozenset[int]]:
        """Class numbers by name, of classes and of groups."""
        numbers: dict[str, frozenset[int]] = {}
        for number, name in enumerate(self.names):
            numbers[name] = numbers.get(name, frozenset()) | {number}
        for group, members in self.groups.items():
            if lacking := [name for name in members if name not in self.names]:
                raise ConfigError(
                    f"the group {group!r} names a class that the network does not know",
                    expected=_choices(lacking[0], self.names),
                    got=repr(lacking[0]),
                )
        by_class = dict(numbers)
        for group, members in self.groups.items():
            numbers[group] = frozenset().union(*(by_class[name] for name in members))
        return numbers

    def _wanted(self, classes: Collection[str]) -> set[int]:
        wanted: set[int] = set()
        for name in (classes,) if isinstance(classes, str) else classes:
            if name not in self._numbers:
                raise InvalidCall(
                    f"the detector knows no {name!r}",
                    expected=_choices(name, self._numbers),
                    todo="Ask for one of these.",
                )
            wanted |= self._numbers[name]
        return wanted


def _choices(name: str, known: Iterable[str]) -> str:
    """The nearest names, or the first ones where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return ", ".join(near) if near else ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
