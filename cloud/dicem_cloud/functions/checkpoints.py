"""A checkpoint in safetensors: where it lies, and that it is whole and what it should be, before any weight is read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dicem_shared.errors import ModelError

from . import hub
from .hashes import hash_of
from .safetensors_header import read_header

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
"""Weights that are never loaded."""
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_BESIDE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}\.safetensors")
"""The name of a file in the same folder."""
MAX_JSON_BYTES = 20_000_000
"""Of a checkpoint's JSON; the largest, an index over all tensors, has a tenth of it."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was looked at, as far as that takes no weights."""

    folder: Path
    config: dict[str, Any]
    """its config.json"""
    weights: tuple[Path, ...]
    """the files that are loaded, all of them there and as long as they say"""
    parameters: int
    """numbers in them"""
    dtypes: frozenset[str]
    """formats of these numbers on disk: F32, F16, BF16"""

    @property
    def architecture(self) -> str:
        """What its config.json calls itself."""
        return str(self.config["model_type"])

    @property
    def size_bytes(self) -> int:
        """Of the weights, on disk."""
        return sum(path.stat().st_size for path in self.weights)

    @cached_property
    def sha256(self) -> str:
        """Over names and contents of the weights; large files are read for it once, and not again while they stay."""
        return hash_of(self.weights)


def find_checkpoint(model: str, architectures: Collection[str]) -> Checkpoint:
    """The checkpoint in a folder, or of a name on the Hugging Face hub (`owner/name`).

    What was fetched before is used as it is; what was not is fetched first.  `architectures` are what its config.json
    may call itself.  That is checked here, for transformers would build another architecture at its full size before it
    noticed.

    :raises ModelError: no such folder, a file is missing or cut off, pickled weights, another architecture, or the hub
        does not give it
    """
    folder = Path(model)
    if not folder.is_absolute():
        folder = _from_hub(model)
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist", todo="Check `model` in the config.")
    return look_at(folder, architectures)


def look_at(folder: Path, architectures: Collection[str] | None = None) -> Checkpoint:
    """The checkpoint in a folder; None takes every architecture.

    :raises ModelError: a file is missing or cut off, pickled weights, or another architecture
    """
    weights = _weights(folder)
    config = read_object(folder / "config.json")
    actual = config.get("model_type")
    if not isinstance(actual, str) or (architectures is not None and actual not in architectures):
        raise ModelError(
            f"the checkpoint {folder} is of another architecture",
            expected=" or ".join(sorted(architectures or ["one that it names"])),
            got=repr(actual)[:64],
        )
    headers = [read_header(path) for path in weights]
    dtypes = frozenset().union(*(header.dtypes for header in headers))
    return Checkpoint(folder, config, weights, sum(header.parameters for header in headers), dtypes)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint.

    :raises ModelError: it is missing, too long, or holds none
    """
    try:
        is_sane = path.is_file() and path.stat().st_size <= MAX_JSON_BYTES  # a pipe or a device would have no end
        value = json.loads(path.read_text(encoding="utf-8")) if is_sane else None
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is missing or no JSON object", todo="Check `model` in the config.")
    return value


def _from_hub(name: str) -> Path:
    kept = hub.cached(name)
    if kept is not None:
        try:
            _weights(kept)
        except ModelError:  # broken off, by a client that kept no list
            return hub.fetch(name)
        return kept
    return hub.fetch(name)


def _weights(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights, as transformers chooses them.

    :raises ModelError: there are none, or some are missing
    """
    if (folder / WHOLE).is_file():
        return (folder / WHOLE,)
    if not (folder / INDEX).is_file():
        pickled = any(True for pattern in PICKLES for _ in folder.glob(pattern))
        raise ModelError(
            f"{folder} holds no weights that can be loaded",
            expected="*.safetensors" if pickled else f"{WHOLE} or {INDEX}",
            got=", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "an empty folder",
            todo="Convert the checkpoint to safetensors; pickled weights are never loaded." if pickled else "",
        )
    listed = read_object(folder / INDEX).get("weight_map")
    names = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
    if not names or not all(map(_BESIDE.fullmatch, names)):
        raise ModelError(f"{folder / INDEX} names no files beside it", todo="Fetch the checkpoint again.")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ModelError(
            f"{folder} lacks {len(missing)} of its {len(names)} files with weights",
            expected=", ".join(missing[:4]),
            todo="Fetch the checkpoint again: `dicem models pull` goes on where it stopped.",
        )
    return tuple(folder / name for name in names)
