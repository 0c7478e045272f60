"""What a safetensors file says of itself before its numbers: read without reading them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from dicem_shared.errors import ModelError

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
MAX_DIMENSIONS = 16
"""Of one tensor: networks have five at most, and a product of many large numbers takes for ever."""


@dataclass(frozen=True)
class Header:
    """One file's tensors."""

    parameters: int
    """numbers in all of them"""
    dtypes: frozenset[str]
    """as safetensors names them: F32, F16, BF16"""


def read_header(path: Path) -> Header:
    """The header, held against the file's length.

    :raises ModelError: it cannot be read, is no safetensors file, or is cut off
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if not 0 < length <= min(size, MAX_HEADER_BYTES):
                raise ValueError("no header")
            tensors = json.loads(file.read(length))
        tensors.pop("__metadata__", None)
        end = max((one["data_offsets"][1] for one in tensors.values()), default=0)
        parameters = sum(_numbers(one["shape"]) for one in tensors.values())
        dtypes = frozenset(str(one["dtype"]) for one in tensors.values())
    except OSError as error:
        raise ModelError(f"{path} cannot be read", got=str(error)) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise ModelError(f"{path} is no safetensors file", todo="Fetch it again.") from None
    expected = LENGTH_BYTES + length + end
    if size != expected:
        raise ModelError(
            f"{path} is cut off or damaged: it cannot be loaded",
            expected=f"{expected} bytes",
            got=f"{size}",
            todo="Fetch it again.",
        )
    return Header(parameters, dtypes)


def _numbers(shape: list[int]) -> int:
    """How many numbers a tensor holds.

    :raises ValueError: no shape
    """
    if len(shape) > MAX_DIMENSIONS or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("no shape")
    return math.prod(shape)
