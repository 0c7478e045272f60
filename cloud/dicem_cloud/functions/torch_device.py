"""The parts of PyTorch and transformers that both networks need, imported when somebody asks for them.

By name, so that the types of the rest can be checked where the two are not installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dicem_shared.errors import ConfigError, DicemError, MissingExtra, ModelError

from ..config import Device


def torch_and_transformers() -> tuple[Any, Any]:
    """The two modules; transformers is told to keep its progress bars and advice to itself.

    :raises MissingExtra: one of them is not installed
    """
    try:
        torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    except ImportError:
        raise MissingExtra("PyTorch or transformers", "transformers") from None
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return torch, transformers


def choose(torch: Any, device: Device, threads: int) -> tuple[str, Any]:
    """Device and number format: float16 on a GPU, float32 on a CPU, where half precision is slower and coarser.

    :raises ConfigError: a GPU is asked for and there is none
    """
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ConfigError("device: cuda is configured, but PyTorch sees no GPU", todo="Use device: auto or cpu.")
    if there and device != "cpu":
        return "cuda", torch.float16
    torch.set_num_threads(threads)
    return "cpu", torch.float32


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Turn whatever transformers raises on a damaged checkpoint into one clear error."""
    try:
        yield
    except DicemError:
        raise
    except Exception as error:
        raise ModelError(
            f"the checkpoint {folder} cannot be loaded",
            got=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}",
            todo="It must hold config.json, the processor's files and *.safetensors of one architecture.",
        ) from error


def load_weights(from_pretrained: Callable[..., Any], folder: Path, dtype: Any, device: str) -> Any:
    """The network, ready to run.  Weights that are missing would be random: that is an error here, not a warning.

    :raises ModelError: the checkpoint lacks weights
    """
    network, report = from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    if missing := sorted(report["missing_keys"]) + sorted(str(one) for one in report["mismatched_keys"]):
        raise ModelError(
            f"the checkpoint {folder} lacks weights of {type(network).__name__}",
            got=f"{len(missing)} missing, {missing[0]} among them",
            todo="Use a checkpoint of this very architecture.",
        )
    return network.to(device).eval()
