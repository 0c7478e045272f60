"""`depth`: metres over the water to the thing in a patch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .. import catalog
from ..errors import ModelError
from ..horizon import HORIZON_MODEL, can_range, horizon_depth
from ..images import Pixels
from ..patches import Patch
from ..types import Box, ModelId
from . import Implementation, Work, each, together

Metres = npt.NDArray[np.float32]
CENTIMETRES = 2
"""Decimals of a distance in metres: more would claim what no camera on a boat can see."""


class MeasuresDepth(Protocol):
    """A network that measures distance from pixels alone."""

    def depth_maps(self, images: Sequence[Pixels]) -> Sequence[Metres | Exception]:
        """Metres (H, W) of every pixel of each image (H, W, 3; uint8 RGB), or why there are none."""


class Depth(Implementation):
    """By the horizon where the frame says how the camera lay, and only otherwise by a network.

    Geometry is exact where it applies and needs no look at the pixels; the edge computes the very same.  `model` is
    what answers where both could.
    """

    spec = catalog.depth

    def __init__(
        self,
        network: MeasuresDepth | None = None,
        network_model: ModelId | None = None,
        *,
        max_batch: int | None = None,
    ) -> None:
        self._network = network
        if max_batch is not None:
            self.spec = replace(self.spec, batch=replace(self.spec.batch, max_size=max_batch))
        self.model = HORIZON_MODEL
        self._network_model = network_model

    def model_for(self, work: Work) -> ModelId:
        """Which of the two answers this call."""
        if can_range(work.params["image"].frame) or self._network_model is None:
            return HORIZON_MODEL
        return self._network_model

    @staticmethod
    def wants_frame(work: Work) -> bool:
        """See `Implementation.wants_frame`: only a network looks at it."""
        return not can_range(work.params["image"].frame)

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        outcomes = each(batch, self._by_horizon)
        left = [index for index, outcome in enumerate(outcomes) if outcome is None]
        if left and self._network is not None:
            measured = self._by_network(self._network, [batch[index] for index in left])
            for index, outcome in zip(left, measured, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _by_horizon(self, work: Work) -> dict[str, float] | None:
        """None: that is for the network."""
        patch: Patch = work.params["image"]
        if self._network is not None and not can_range(patch.frame):
            return None
        return {"depth": round(horizon_depth(patch.box, patch.frame), CENTIMETRES)}

    def _by_network(self, network: MeasuresDepth, batch: Sequence[Work]) -> list[Any | Exception]:
        """What looks at the same frame shares its map."""
        views = each(list(enumerate(batch)), lambda one: _view(*one))
        seen = {view.key: view.pixels for view in views if isinstance(view, _View)}
        measure: Callable[[Sequence[Pixels]], Sequence[Any]] = network.depth_maps
        found = together(list(seen.values()), measure) if seen else []
        maps = dict(zip(seen, found, strict=True))
        return each(views, lambda view: view if isinstance(view, Exception) else _measured(maps[view.key], view.box))


class _View(NamedTuple):
    """Which image a network looks at for a call, and where in it."""

    key: Hashable
    pixels: Pixels
    box: Box


def _view(number: int, work: Work) -> _View:
    """The whole frame where it is here, else the crop alone."""
    patch: Patch = work.params["image"]
    whole = work.whole_frame()
    if whole is not None:
        return _View(patch.frame.blob, whole.pixels, patch.box)
    height, width = patch.pixels.shape[:2]
    return _View(number, patch.pixels, (0, 0, width, height))


def _measured(metres: Metres | Exception, box: Box) -> dict[str, float]:
    if isinstance(metres, Exception):
        raise metres
    distance = foot_distance(metres, box)
    if not distance >= 0:
        raise ModelError("the depth network sees no distance in this image", got=str(distance))
    return {"depth": round(distance, CENTIMETRES)}


def foot_distance(metres: Metres, box: Box) -> float:
    """Metres to the foot of `box` in a depth map (H, W): the median of the middle half of the box's lowest row.

    The foot, because a network sees the water around a small thing far better than the thing itself.
    """
    x, y, width, height = box
    row = metres[min(y + height, metres.shape[0]) - 1]
    margin = width // 4
    return float(np.median(row[x + margin : x + width - margin]))
