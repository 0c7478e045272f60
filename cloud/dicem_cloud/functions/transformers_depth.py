"""Metric depth (Depth Anything, Yang et al., 2024) through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dicem_shared.errors import DicemError, ModelError
from dicem_shared.images import Pixels
from dicem_shared.implementations.depth import Metres, foot_distance
from dicem_shared.types import Box

from ..functions_config import NetworkConfig
from .network import Network, attempts, in_passes
from .torch_device import Devices

CLASSES = {"depth_anything": "DepthAnythingForDepthEstimation"}


class _Prepared(NamedTuple):
    """An image as the network wants it, and how large it was: height and width in pixels."""

    pixels: Any
    size: tuple[int, int]


class TransformersDepth(Network):
    """`DepthAnythingForDepthEstimation` from a folder or a hub name; metric checkpoints only."""

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        settings: NetworkConfig | None = None,
        devices: Devices | None = None,
    ) -> None:
        """Look at the checkpoint.

        :raises MissingExtra: PyTorch or transformers is not installed
        :raises ModelError: no such checkpoint, damaged, of another architecture, or one that knows no metres
        """
        super().__init__("depth", model, CLASSES, settings or NetworkConfig(device=device), devices)
        if self.config.depth_estimation_type != "metric":
            raise ModelError(
                f"{self.folder} gives relative depth, not metres",
                expected="depth_estimation_type: metric",
                got=str(self.config.depth_estimation_type),
                todo="Use a checkpoint trained for metric depth.",
            )

    def depth_map(self, image: Pixels) -> Metres:
        """Metres (H, W) of every pixel of `image` (H, W, 3; uint8 RGB).

        :raises DicemError: why there are none
        """
        (metres,) = self.depth_maps([image])
        if isinstance(metres, DicemError):
            raise metres
        return metres

    def depth_maps(self, images: Sequence[Pixels]) -> list[Metres | DicemError]:
        """Metres (H, W) of every pixel of each image (H, W, 3; uint8 RGB), or why there are none.

        Images that the processor makes equally large share a pass.

        :raises OutOfDeviceMemory: the device is too small for so many
        """
        prepared = attempts(self._prepare, images)
        return in_passes(prepared, lambda one: tuple(one.pixels.shape), self._see)

    def _prepare(self, image: Pixels) -> _Prepared:
        return _Prepared(self.pixels(image)["pixel_values"], (image.shape[0], image.shape[1]))

    def _see(self, batch: list[_Prepared]) -> list[Metres]:
        pixels = self.torch.stack([one.pixels for one in batch])
        with self.held(len(batch)) as network:
            seen = network(pixel_values=self.moved(pixels)).predicted_depth.float().cpu()
        return [self._resized(depth, one.size) for depth, one in zip(seen, batch, strict=True)]

    def _resized(self, depth: Any, size: tuple[int, int]) -> Metres:
        resized = self.torch.nn.functional.interpolate(
            depth[None, None], size=size, mode="bilinear", align_corners=False
        )
        return np.asarray(resized[0, 0].numpy(), dtype=np.float32)

    def distance(self, image: Pixels, box: Box) -> float:
        """Metres to the foot of `box` (pixels of `image`)."""
        return foot_distance(self.depth_map(image), box)
