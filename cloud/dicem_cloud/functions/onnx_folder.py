"""A folder with ONNX networks and a `meta.json` that says how to feed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from dicem_shared.errors import ModelError
from dicem_shared.images import Pixels

Floats = npt.NDArray[np.float32]

_RESAMPLE = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def setting(meta: dict[str, Any], folder: Path, name: str) -> Any:
    """One entry of `meta.json`.

    :raises ModelError: it is not there
    """
    if name not in meta:
        raise ModelError(f"{folder / 'meta.json'} lacks `{name}`", todo="Restore the model's folder.")
    return meta[name]


def open_network(path: Path, threads: int) -> Any:
    """A session of onnxruntime on the CPU.

    :raises ModelError: no such file, or no network in it
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base of their own
        why = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ModelError(f"{path} is no ONNX network that can be run", got=why, todo="Export it again.") from None


class Preprocess:
    """As the transformers image processors do: resize, scale to 0..1, subtract a mean, divide by a deviation."""

    def __init__(self, width: int, height: int, meta: dict[str, Any], folder: Path) -> None:
        resample = setting(meta, folder, "resample")
        if resample not in _RESAMPLE:
            raise ModelError(
                f"{folder / 'meta.json'} names no known filter", expected=", ".join(_RESAMPLE), got=resample
            )
        self._size, self._resample = (width, height), _RESAMPLE[resample]
        self._mean = np.array(setting(meta, folder, "mean"), dtype=np.float32)
        self._std = np.array(setting(meta, folder, "std"), dtype=np.float32)

    def __call__(self, image: Pixels) -> Floats:
        """(3, height, width) of an image (H, W, 3; uint8 RGB)."""
        seen = np.asarray(Image.fromarray(image).resize(self._size, self._resample), dtype=np.float32)
        return np.ascontiguousarray(((seen / np.float32(255) - self._mean) / self._std).transpose(2, 0, 1))
