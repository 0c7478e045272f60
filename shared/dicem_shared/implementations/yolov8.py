"""`yolov8`: the objects of a fixed list of classes, found by a detection network in one ONNX file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import Field

from .. import catalog
from ..camera import Strict
from ..errors import ConfigError, InvalidCall
from ..images import Pixels
from ..types import ModelId
from . import Implementation, Work, each

Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(min_length=1, max_length=256)]


class DetectorConfig(Strict):
    """Any YOLOv8, YOLO11 or YOLOX export in ONNX."""

    model: Annotated[str, Field(min_length=1, max_length=1024)]
    """path of the file"""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """processor threads for one frame"""
    score: Annotated[float, Field(ge=0, le=1)] = 0.25
    """detections below it are dropped"""
    iou: Annotated[float, Field(ge=0, le=1)] = 0.45
    """overlap above which the weaker of two boxes is dropped"""
    groups: Annotated[dict[str, Names], Field(max_length=64)] = {}
    """names for sets of classes, such as litter"""
    default_classes: Names | None = None
    """classes or groups that are reported where a call names none; all of them if left out"""


class Found(Protocol):
    """One object: `class_name`, `score` of 0 to 1, and its box in pixels (x, y is the top-left corner)."""

    @property
    def class_name(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...


class FindsObjects(Protocol):
    """A detection network; `dicem_shared.detector.Detector` is one."""

    def detect(self, image: Pixels, classes: Sequence[str] | None) -> Sequence[Found]:
        """Objects in the image, best first; None asks for every class.

        :raises InvalidCall: a class that is not known
        """


class Yolov8(Implementation):
    """`vocabulary`: the classes and groups that calls may name.  `default_classes`: those reported where a call names
    none; None reports all."""

    spec = catalog.yolov8

    def __init__(
        self,
        detector: FindsObjects,
        model: ModelId,
        default_classes: Sequence[str] | None = None,
        vocabulary: Sequence[str] = (),
    ) -> None:
        self._detector = detector
        self.model = model
        self._default_classes = default_classes
        self.vocabulary = tuple(vocabulary)

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        return each(batch, self._find)

    def _find(self, work: Work) -> dict[str, Any]:
        pixels: Pixels = work.params["image"].pixels
        classes = work.params.get("classes")
        found = self._detector.detect(pixels, self._default_classes if classes is None else classes)
        height, width = pixels.shape[:2]
        return {"objects": [box for one in found if (box := _in_image(one, width, height)) is not None]}


def _in_image(found: Found, width: int, height: int) -> dict[str, Any] | None:
    """The object as the result has it: every pixel that its box touches, clipped to the image; None outside of it."""
    left, top = max(0, math.floor(found.x)), max(0, math.floor(found.y))
    right, bottom = min(width, math.ceil(found.x + found.width)), min(height, math.ceil(found.y + found.height))
    if right <= left or bottom <= top:
        return None
    box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return {"class": found.class_name, "score": found.score, **box}


def load_yolov8(config: DetectorConfig) -> Yolov8:
    """The function with its network loaded.

    :raises ModelError: the file is missing, corrupt, or no detector that is known
    :raises ConfigError: `groups` or `default_classes` name a class that the network does not know
    """
    from ..detector import Detector

    path = Path(config.model)
    detector = Detector(path, threads=config.threads, score=config.score, iou=config.iou, groups=config.groups)
    if config.default_classes is not None:
        try:  # found now rather than by the first call
            detector.detect(np.zeros((32, 32, 3), dtype=np.uint8), config.default_classes)
        except InvalidCall as error:
            raise ConfigError(f"default_classes: {error.what}", expected=error.expected, got=error.got) from None
    model = ModelId(function="yolov8", name=path.stem, sha256=detector.sha256)
    vocabulary = dict.fromkeys((*detector.names, *detector.groups))
    return Yolov8(detector, model, config.default_classes, tuple(vocabulary))
