"""The Hugging Face hub: what is kept of it on this machine, and how it gets here.  Only files that cannot run code."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from dicem_shared.errors import MissingExtra, ModelError

SAFE_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
"""What is fetched: weights that cannot run code, configuration, words.  Never a pickle."""
NOT_NEEDED = ("*/*",)
"""Subfolders hold the same network for other runtimes."""


def hub() -> Any:
    """The hub's client.

    :raises MissingExtra: it is not installed
    """
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingExtra("the client of the Hugging Face hub", "transformers") from None


def cached(name: str) -> Path | None:
    """The folder in which a model of the hub lies on this machine, whole as far as the client can tell."""
    try:
        return Path(_snapshot(name, local_files_only=True))
    except MissingExtra:
        raise
    except Exception:  # the client's own tree, OSError, ValueError
        return None


def fetch(name: str) -> Path:
    """Fetch what is not here yet; what was broken off goes on where it stopped.

    :raises ModelError: the hub cannot be reached, or has no such model
    :raises MissingExtra: the client is not installed
    """
    try:
        return Path(_snapshot(name))
    except MissingExtra:
        raise
    except Exception as error:  # the client raises its own tree, its transport's and OSError
        raise _explained(name, error) from None


def _snapshot(name: str, *, local_files_only: bool = False) -> str:
    return str(
        hub().snapshot_download(
            name, allow_patterns=list(SAFE_FILES), ignore_patterns=list(NOT_NEEDED), local_files_only=local_files_only
        )
    )


def _explained(name: str, error: Exception) -> ModelError:
    """The client's error in one line."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    got = " ".join(str(error.__cause__ or error).split())[:160]
    if "GatedRepoError" in kinds:
        todo = "Accept its terms on the hub's page, then set HF_TOKEN."
        return ModelError(f"the model {name} is given to those only who have accepted its terms", todo=todo)
    if "RepositoryNotFoundError" in kinds:
        todo = "Check the name; a private one needs HF_TOKEN."
        return ModelError(f"the Hugging Face hub has no model {name}", todo=todo)
    if isinstance(error, OSError) and error.errno is not None and "LocalEntryNotFoundError" not in kinds:
        return ModelError(f"the model {name} cannot be kept on this machine", got=got, todo="See HF_HOME.")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        what = f"the model {name} is not here, and the Hugging Face hub is not asked (HF_HUB_OFFLINE is set)"
        return ModelError(what, todo=f"Unset it and run `dicem models pull {name}`, or give the path of a folder.")
    return ModelError(
        f"the model {name} cannot be fetched from the Hugging Face hub",
        got=got,
        todo="Check the network (and HF_ENDPOINT, if it is set), or give the path of a folder.",
    )
