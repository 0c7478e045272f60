"""`yolov8`: the objects of a fixed list of classes, found by an ONNX detection network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dicem_shared import catalog
from dicem_shared.detections import FindsObjects, find_objects
from dicem_shared.types import ModelId

from .implementation import Implementation, Work, each


class Yolov8(Implementation):
    """`default_classes`: the classes or groups that are reported where a call names none; None reports all."""

    spec = catalog.yolov8

    def __init__(self, detector: FindsObjects, model: ModelId, default_classes: Sequence[str] | None = None) -> None:
        self._detector = detector
        self.model = model
        self._default_classes = default_classes

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        return each(batch, self._find)

    def _find(self, work: Work) -> dict[str, Any]:
        pixels = work.params["image"].pixels
        return find_objects(self._detector, pixels, work.params.get("classes"), self._default_classes)
