"""`glip`: where in an image is what some words name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dicem_shared import catalog
from dicem_shared.errors import DicemError
from dicem_shared.images import Pixels
from dicem_shared.implementations import Implementation, Work, together
from dicem_shared.types import Box, ModelId


@dataclass(frozen=True)
class Finding:
    """One box of an image, and how sure the network is of it, 0 to 1."""

    score: float
    box: Box


class FindsByName(Protocol):
    """A network that finds what words name."""

    def find(self, images: Sequence[Pixels], names: Sequence[str]) -> Sequence[Sequence[Finding] | DicemError]:
        """For each image, the boxes of what its words name, best first; or why there are none."""


class Glip(Implementation):
    """Boxes are whole pixels of the image that was passed, and lie in it."""

    reentrant = True

    def __init__(self, network: FindsByName, model: ModelId, *, max_batch: int | None = None) -> None:
        self._network = network
        self.model = model
        spec = catalog.glip
        self.spec = spec if max_batch is None else replace(spec, batch=replace(spec.batch, max_size=max_batch))

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        return together(batch, self._find)

    def _find(self, batch: Sequence[Work]) -> list[Any]:
        images = [work.params["image"].pixels for work in batch]
        found = self._network.find(images, [work.params["object_name"] for work in batch])
        return [one if isinstance(one, DicemError) else [_result(each) for each in one] for one in found]


def _result(found: Finding) -> dict[str, Any]:
    x, y, width, height = found.box
    return {"x": x, "y": y, "width": width, "height": height, "score": found.score}


def whole_pixels(corners: Iterable[float], width: int, height: int) -> Box | None:
    """Every pixel of an image that a box (left, top, right, bottom) touches; None where it lies outside of it."""
    left, top, right, bottom = map(float, corners)
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return None
    x, y = max(0, math.floor(left)), max(0, math.floor(top))
    wide, high = min(width, math.ceil(right)) - x, min(height, math.ceil(bottom)) - y
    return (x, y, wide, high) if wide > 0 and high > 0 else None
