"""Metric depth (Depth Anything, Yang et al., 2024) through onnxruntime: the demo's tiny checkpoint, without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dicem_shared.errors import ModelError
from dicem_shared.images import Pixels
from dicem_shared.implementations.depth import Metres, foot_distance
from dicem_shared.types import Box

from .checkpoints import read_object
from .onnx_folder import Preprocess, open_network, setting


class OnnxDepth:
    """`model.onnx` gives horizontal metres to the water, or to what floats on it, for every pixel."""

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        """Load the network.

        :raises ModelError: a file is missing or damaged
        """
        folder = Path(folder)
        meta = read_object(folder / "meta.json")
        width, height = int(setting(meta, folder, "width")), int(setting(meta, folder, "height"))
        self._see = Preprocess(width, height, meta, folder)
        self._network = open_network(folder / "model.onnx", threads)

    def depth_map(self, image: Pixels) -> Metres:
        """Metres (H, W) of every pixel of `image` (H, W, 3; uint8 RGB).

        :raises ModelError: the network fails
        """
        try:
            (metres,) = self._network.run(None, {"pixels": self._see(image)[None]})
        except Exception as error:  # onnxruntime's errors share no base of their own
            raise ModelError("the depth network fails on this image", got=str(error).splitlines()[0][:160]) from error
        size = (image.shape[1], image.shape[0])
        return np.asarray(Image.fromarray(metres[0]).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)

    def depth_maps(self, images: Sequence[Pixels]) -> list[Metres]:
        """One map after the other: the network takes one image.

        :raises ModelError: the network fails
        """
        return [self.depth_map(image) for image in images]

    def distance(self, image: Pixels, box: Box) -> float:
        """Metres to the foot of `box` (pixels of `image`)."""
        return foot_distance(self.depth_map(image), box)
