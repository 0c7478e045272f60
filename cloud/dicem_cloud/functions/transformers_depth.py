"""Metric depth (Depth Anything, Yang et al., 2024) through transformers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dicem_shared.errors import ModelError
from dicem_shared.images import Pixels
from dicem_shared.implementations.depth import foot_distance
from dicem_shared.types import Box

from ..functions_config import NetworkConfig
from .network import Network
from .torch_device import Devices

CLASSES = {"depth_anything": "DepthAnythingForDepthEstimation"}
Metres = npt.NDArray[np.float32]


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
        """Metres (H, W) of every pixel of `image` (H, W, 3; uint8 RGB)."""
        pixels = self.pixels(image)["pixel_values"][None]
        with self.held(1) as network:
            seen = network(pixel_values=self.moved(pixels)).predicted_depth.float().cpu()
        resized = self.torch.nn.functional.interpolate(
            seen[:, None], size=image.shape[:2], mode="bilinear", align_corners=False
        )
        return np.asarray(resized[0, 0].numpy(), dtype=np.float32)

    def distance(self, image: Pixels, box: Box) -> float:
        """Metres to the foot of `box` (pixels of `image`)."""
        return foot_distance(self.depth_map(image), box)
