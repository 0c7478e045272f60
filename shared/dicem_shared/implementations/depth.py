"""`depth`: metres over the water to the thing in a patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .. import catalog
from ..errors import ModelError
from ..horizon import HORIZON_MODEL, can_range, horizon_depth
from ..images import Pixels
from ..patches import Patch
from ..types import Box, ModelId
from . import Implementation, Work, each

CENTIMETRES = 2
"""Decimals of a distance in metres: more would claim what no camera on a boat can see."""


class MeasuresDepth(Protocol):
    """A network that measures distance from pixels alone."""

    def distance(self, image: Pixels, box: Box) -> float:
        """Metres to the foot of `box` (pixels of `image`)."""


class Depth(Implementation):
    """By the horizon where the frame says how the camera lay, and only otherwise by a network.

    Geometry is exact where it applies and needs no look at the pixels; the edge computes the very same.  `model` is
    what answers where both could.
    """

    spec = catalog.depth

    def __init__(self, network: MeasuresDepth | None = None, network_model: ModelId | None = None) -> None:
        self._network = network
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
        return each(batch, self._measure)

    def _measure(self, work: Work) -> dict[str, float]:
        patch: Patch = work.params["image"]
        if can_range(patch.frame) or self._network is None:
            return {"depth": round(horizon_depth(patch.box, patch.frame), CENTIMETRES)}
        whole = work.whole_frame()
        if whole is not None:
            return {"depth": _checked(self._network.distance(whole.pixels, patch.box))}
        height, width = patch.pixels.shape[:2]
        return {"depth": _checked(self._network.distance(patch.pixels, (0, 0, width, height)))}


def _checked(metres: float) -> float:
    if not metres >= 0:
        raise ModelError("the depth network sees no distance in this image", got=str(metres))
    return round(float(metres), CENTIMETRES)


def foot_distance(metres: npt.NDArray[np.float32], box: Box) -> float:
    """Metres to the foot of `box` in a depth map (H, W): the median of the middle half of the box's lowest row.

    The foot, because a network sees the water around a small thing far better than the thing itself.
    """
    x, y, width, height = box
    row = metres[min(y + height, metres.shape[0]) - 1]
    margin = width // 4
    return float(np.median(row[x + margin : x + width - margin]))
