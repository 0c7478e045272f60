"""From a detector's boxes to the result of `yolov8`: the same code at the edge and in the cloud."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from .images import Pixels


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


def find_objects(
    detector: FindsObjects, image: Pixels, classes: Sequence[str] | None, default: Sequence[str] | None = None
) -> dict[str, Any]:
    """The result of `yolov8` for `image` (H, W, 3): whole pixels, clipped to the image, never empty.

    `default` are the classes or groups that are reported where the caller names none.

    :raises InvalidCall: a class that is not known
    """
    height, width = image.shape[:2]
    found = detector.detect(image, default if classes is None else classes)
    objects = []
    for one in found:
        left, top = max(0, math.floor(one.x)), max(0, math.floor(one.y))
        right, bottom = min(width, math.ceil(one.x + one.width)), min(height, math.ceil(one.y + one.height))
        if right > left and bottom > top:
            objects.append(
                {
                    "class": one.class_name,
                    "score": one.score,
                    "x": left,
                    "y": top,
                    "width": right - left,
                    "height": bottom - top,
                }
            )
    return {"objects": objects}
