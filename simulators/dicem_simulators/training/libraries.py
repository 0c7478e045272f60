"""What training needs beyond the simulators: imported by name, when it is used."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from typing import Any

from dicem_shared.errors import MissingExtra

_TORCHVISION = "0.28.0"


def library(name: str) -> Any:
    """The module.

    :raises MissingExtra: it is not installed
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(name.partition(".")[0], "train") from None


def ultralytics(part: str = "") -> Any:
    """The module `ultralytics`, or a part of it, told that torchvision is there.

    It wants torchvision's version from the package metadata when it is imported; the real one must not be installed:
    beside CPU torch it breaks transformers.  Nothing here predicts or validates through ultralytics, so that its NMS,
    the other thing it takes from there, is never asked for.
    """
    os.environ["YOLO_AUTOINSTALL"] = "false"
    ask = importlib.metadata.version

    def version(distribution_name: str) -> str:
        return _TORCHVISION if distribution_name == "torchvision" else ask(distribution_name)

    importlib.metadata.version = version
    try:
        return library("ultralytics" + (f".{part}" if part else ""))
    finally:
        importlib.metadata.version = ask
