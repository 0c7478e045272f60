"""Open an ONNX file that somebody hands us: one file, one image input, one session, or one clear line."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from dicem_shared.errors import ConfigError, ModelError

MAX_BYTES = 512 * 2**20
"""What a model file may weigh on a vehicle."""
MAX_SIDE = 4096
"""Pixels that an input may be wide or high."""

_EXPORT = "Export it again to one .onnx file."
_ELEMENTS: dict[str, npt.DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_EXTERNAL = b"\x0a\x08location"  # the key that every external tensor carries (onnx.proto, TensorProto.external_data)
_NOWHERE = "/dev/null/no-external-weights"


@dataclass(frozen=True)
class Metadata:
    """What ultralytics writes beside the network; empty for other exports."""

    names: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    """width, height of the input in pixels"""
    stride: int = 32
    task: str | None = None
    end_to_end: bool = False


class OnnxFile:
    """An open network with one image input (1, 3, height, width).

    `sha256` is of the very bytes that run: the file is read once, and refused if parts of it lie elsewhere.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int, providers: Sequence[str] | None = None) -> None:
        """Read and load.

        :raises ModelError: no file, no ONNX, no image input, weights outside the file, or metadata that makes no sense
        :raises ConfigError: a provider that this onnxruntime lacks
        """
        self.path = Path(path)
        data = _read(self.path)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.session = self._load(data, threads, _available(providers))
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        batch_and_colours = [size for size in shape[:2] if isinstance(size, int)]
        if len(shape) != 4 or batch_and_colours not in ([1, 3], [3]) or inputs[0].type not in _ELEMENTS:
            raise ModelError(
                f"{self.path.name} does not take one image",
                expected="one input (1, 3, height, width) of float",
                got=", ".join(f"{each.name} {each.shape} {each.type}" for each in inputs) or "no input",
                todo="Export a detection network for batches of one.",
            )
        if len(outputs) != 1:
            raise ModelError(
                f"{self.path.name} is no detector we can read",
                expected="one output",
                got=f"{len(outputs)}: {', '.join(each.name for each in outputs)}",
                todo="Export a detection network with its heads joined.",
            )
        self.input_name: str = inputs[0].name
        self.element = np.dtype(_ELEMENTS[inputs[0].type])
        self.metadata = _metadata(self.path.name, self.session.get_modelmeta().custom_metadata_map)
        self.fixed_size = self._fixed_size(shape)

    def run(self, canvas: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The network's output for one canvas (1, 3, height, width).

        :raises ModelError: the network fails on it
        """
        try:
            (output,) = self.session.run(None, {self.input_name: canvas.astype(self.element, copy=False)})
        except Exception as error:  # onnxruntime's errors share no base of their own
            width, height = canvas.shape[3], canvas.shape[2]
            raise ModelError(
                f"{self.path.name} fails on an image of {width}x{height}", got=_one_line(error), todo=_EXPORT
            ) from error
        return np.asarray(output, dtype=np.float32)

    def _load(self, data: bytes, threads: int, providers: list[str]) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what matters is raised; the rest would fill the vehicle's log
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a guest does not burn idle cores
        # A model given as bytes would otherwise look for external weights in the working directory.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
        try:
            return onnxruntime.InferenceSession(data, options, providers=providers)
        except Exception as error:  # onnxruntime's errors share no base of their own
            raise ModelError(
                f"{self.path.name} is no ONNX network that can be run", got=_one_line(error), todo=_EXPORT
            ) from error

    def _fixed_size(self, shape: list[int | str]) -> tuple[int, int] | None:
        """Width and height where the network dictates them, None where it takes any."""
        height, width = shape[2], shape[3]
        if not isinstance(width, int) or not isinstance(height, int):
            return None
        _check_size(self.path.name, width, height)
        return width, height


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise ModelError(f"{path} cannot be read", got=why, todo="Check the path of the model.") from error
    if not data:
        raise ModelError(f"{path.name} is empty", expected="an ONNX file", got="0 bytes", todo="Copy it again.")
    if len(data) > MAX_BYTES:
        raise ModelError(f"{path.name} is too large", expected=f"at most {MAX_BYTES} bytes", got="more")
    if data.startswith((b"PK\x03\x04", b"\x80")):
        raise ModelError(
            f"{path.name} is a PyTorch file, which is never loaded: it could run code",
            expected="an ONNX file",
            todo="Export it: yolo export format=onnx model=...",
        )
    if _EXTERNAL in data:
        raise ModelError(
            f"{path.name} keeps its weights in another file",
            expected="one file that holds everything",
            got="external data",
            todo=_EXPORT,
        )
    return data


def _available(providers: Sequence[str] | None) -> list[str]:
    wanted = list(providers or ("CPUExecutionProvider",))
    here = onnxruntime.get_available_providers()
    if lacking := [name for name in wanted if name not in here]:
        raise ConfigError(
            f"this onnxruntime has no {', '.join(lacking)}",
            expected=f"some of {', '.join(here)}",
            todo="Install the onnxruntime built for this device, or choose another provider.",
        )
    return wanted


def _metadata(file: str, raw: dict[str, str]) -> Metadata:
    """Read names, imgsz, stride and task as ultralytics writes them: Python literals in strings."""
    try:
        names = _names(_literal(raw["names"])) if "names" in raw else None
        size = None
        if "imgsz" in raw:
            given = _literal(raw["imgsz"])
            height, width = (int(given), int(given)) if isinstance(given, int) else map(int, given)
            size = (width, height)
        stride = int(_literal(raw.get("stride", "32")))
        if not 1 <= stride <= 256:
            raise ValueError(f"stride {stride}")
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError, AttributeError) as error:
        raise ModelError(
            f"the metadata of {file} makes no sense",
            expected="names, imgsz and stride as ultralytics writes them",
            got=_one_line(error),
            todo=_EXPORT,
        ) from error
    if size is not None:
        _check_size(file, *size)
    return Metadata(names, size, stride, raw.get("task"), raw.get("end2end", "").lower() == "true")


def _literal(text: str) -> Any:
    if len(text) > 1_000_000:
        raise ValueError(f"{len(text)} characters")
    return ast.literal_eval(text)


def _names(given: Any) -> tuple[str, ...]:
    """Names in the order of their numbers, from {0: "boat", ...} or ["boat", ...]."""
    table = dict(enumerate(given)) if isinstance(given, (list, tuple)) else {int(k): v for k, v in given.items()}
    if not table or sorted(table) != list(range(len(table))) or not all(isinstance(v, str) for v in table.values()):
        raise ValueError("class names that are not numbered from 0")
    return tuple(table[number] for number in range(len(table)))


def _check_size(file: str, width: int, height: int) -> None:
    if not (32 <= width <= MAX_SIDE and 32 <= height <= MAX_SIDE):
        raise ModelError(
            f"the input of {file} has an odd size",
            expected=f"32 to {MAX_SIDE} pixels each way",
            got=f"{width}x{height}",
            todo=_EXPORT,
        )


def _one_line(error: BaseException) -> str:
    text = str(error).removeprefix("[ONNXRuntimeError] : ")
    return " ".join(text.split())[:200] or type(error).__name__
