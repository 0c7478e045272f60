"""Where a model's files are, and the hash that stands for them."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from pathlib import Path

from dicem_shared.errors import MissingExtra, ModelError

SAFE_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
"""What is fetched from a hub: weights that cannot run code, and configuration.  Never a pickle."""


def checkpoint_folder(model: str, architecture: str) -> Path:
    """The folder of a checkpoint in safetensors; a name on the Hugging Face hub (`owner/name`) is fetched first.

    `architecture` is what its config.json must call itself.  It is checked here, for transformers would build
    another architecture at its full size before it noticed.

    :raises ModelError: no such folder, no safetensors in it, another architecture, or the hub does not give it
    """
    folder = Path(model)
    if not folder.is_absolute():
        folder = _fetch(model)
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist", todo="Check `model` in the config.")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} holds no weights that can be loaded",
            expected="*.safetensors",
            got=", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "an empty folder",
            todo="Convert the checkpoint to safetensors; pickled weights are never loaded.",
        )
    actual = _architecture(folder / "config.json")
    if actual != architecture:
        raise ModelError(
            f"the checkpoint {folder} is of another architecture", expected=architecture, got=repr(actual)[:64]
        )
    return folder


def _architecture(config: Path) -> object:
    try:
        value = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ModelError(f"{config} is missing or no JSON", todo="Check `model` in the config.") from None
    return value.get("model_type") if isinstance(value, dict) else None


def files_hash(folder: Path, pattern: str) -> str:
    """SHA-256 over names and contents of the files in `folder` that match `pattern`, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(folder.glob(pattern)):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _fetch(name: str) -> Path:
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingExtra("transformers", "transformers") from None
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(SAFE_FILES)))
    except Exception as error:  # the client raises its own tree, httpx's and OSError
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise ModelError(
            f"the model {name} cannot be fetched from the Hugging Face hub{offline}",
            got=" ".join(str(error).split())[:160],
            todo="Check its name and the network, or give the path of a folder.",
        ) from None
