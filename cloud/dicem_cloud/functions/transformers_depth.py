"""Metric depth (Depth Anything, Yang et al., 2024) through transformers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dicem_shared.errors import ModelError
from dicem_shared.images import Pixels
from dicem_shared.implementations.depth import foot_distance
from dicem_shared.types import Box

from ..config import Device
from .checkpoints import checkpoint_folder
from .torch_device import choose, load_weights, loading, torch_and_transformers

Metres = npt.NDArray[np.float32]


class TransformersDepth:
    """`DepthAnythingForDepthEstimation` from a folder or a hub name; metric checkpoints only."""

    def __init__(self, model: str, *, device: Device = "auto", threads: int = 1) -> None:
        """Load the network.

        :raises MissingExtra: PyTorch or transformers is not installed
        :raises ModelError: no such checkpoint, damaged, of another architecture, or one that knows no metres
        """
        self._torch, transformers = torch_and_transformers()
        self.folder = checkpoint_folder(model, "depth_anything")
        self._device, self._dtype = choose(self._torch, device, threads)
        with loading(self.folder):
            self._processor = transformers.AutoImageProcessor.from_pretrained(self.folder, local_files_only=True)
            self._network = load_weights(
                transformers.DepthAnythingForDepthEstimation.from_pretrained, self.folder, self._dtype, self._device
            )
        if self._network.config.depth_estimation_type != "metric":
            raise ModelError(
                f"{self.folder} gives relative depth, not metres",
                expected="depth_estimation_type: metric",
                got=str(self._network.config.depth_estimation_type),
                todo="Use a checkpoint trained for metric depth.",
            )

    def depth_map(self, image: Pixels) -> Metres:
        """Metres (H, W) of every pixel of `image` (H, W, 3; uint8 RGB)."""
        inputs = self._processor(
            images=[np.ascontiguousarray(image)], input_data_format="channels_last", return_tensors="pt"
        )
        with self._torch.inference_mode():
            seen = self._network(pixel_values=inputs["pixel_values"].to(self._device, self._dtype)).predicted_depth
            resized = self._torch.nn.functional.interpolate(
                seen[:, None].float(), size=image.shape[:2], mode="bilinear", align_corners=False
            )
        return np.asarray(resized[0, 0].cpu().numpy(), dtype=np.float32)

    def distance(self, image: Pixels, box: Box) -> float:
        """Metres to the foot of `box` (pixels of `image`)."""
        return foot_distance(self.depth_map(image), box)
