"""From a checkpoint of ultralytics to the ONNX file that `yolov8` runs.

Such a checkpoint is a pickle: loading it runs whatever its author put into it.  dicem never does that by itself; here
an operator does, on a machine of his own, after he has said that he trusts the file.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicem_shared.errors import ConfigError, DicemError, MissingExtra, ModelError

TRUST = "--i-trust-this-file"
WARNING = (
    "warning: {file} is a pickle; loading it runs whatever its author put into it, as you, on this machine. "
    "What ultralytics exports is AGPL-3.0 unless you have another licence."
)
_TORCHVISION = "0.28.0"


@dataclass(frozen=True)
class Exported:
    """The file that was written, and what it finds."""

    path: Path
    names: tuple[str, ...]
    sha256: str


def export(checkpoint: str, output: Path, *, size: int = 640, trusted: bool = False) -> Exported:
    """Write the ONNX file of a detector.

    :param checkpoint: a .pt file, or a name that ultralytics fetches itself
    :param output: the file to write; what was there is replaced once the new one has been looked at
    :param size: side of the square that the network sees, pixels
    :raises ConfigError: nobody said that the file is to be trusted, or `size` is out of bounds
    :raises MissingExtra: ultralytics is not installed
    :raises ModelError: it cannot be exported, or what comes out is no detector
    """
    if not 32 <= size <= 4096 or size % 32:
        raise ConfigError("the size cannot be used", expected="a multiple of 32 from 32 to 4096", got=str(size))
    if not checkpoint.endswith(".pt"):
        raise ConfigError("the checkpoint cannot be exported", expected="NAME.pt", got=checkpoint[:80])
    if not trusted:
        raise ConfigError(
            f"{checkpoint} is a pickle: loading it runs whatever its author put into it",
            todo=f"If you know where it comes from, say {TRUST}; else do this where there is nothing to lose.",
        )
    if output.suffix != ".onnx" or not output.parent.is_dir():
        raise ConfigError(
            "the output cannot be written", expected="FILE.onnx in a folder that is there", got=str(output)
        )
    library = _ultralytics()
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as folder:
        copied = Path(folder) / Path(checkpoint).name
        if Path(checkpoint).is_file():
            shutil.copyfile(checkpoint, copied)
        made = _exported(library, copied, size)
        found = _look_at(made)
        os.replace(made, output)
    return Exported(output, *found)


def _exported(library: Any, checkpoint: Path, size: int) -> Path:
    try:
        network = library.YOLO(str(checkpoint), task="detect")
        return Path(network.export(format="onnx", imgsz=size, simplify=True, opset=17, dynamic=False, verbose=False))
    except DicemError:
        raise
    except ImportError as error:
        raise MissingExtra(f"what the export needs ({error.name})", "train") from None
    except Exception as error:  # a stranger's file went through a library
        got = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise ModelError(f"{checkpoint.name} cannot be exported", got=got) from error


def _look_at(path: Path) -> tuple[tuple[str, ...], str]:
    from dicem_shared.detector import Detector

    detector = Detector(path)
    return tuple(detector.names), detector.sha256


def _ultralytics() -> Any:
    """The module, told that torchvision is there: it reads that package's version when it is imported, and uses it for
    predicting only.  It installs nothing by itself."""
    os.environ["YOLO_AUTOINSTALL"] = "false"
    ask = importlib.metadata.version

    def version(distribution_name: str) -> str:
        try:
            return ask(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            if distribution_name == "torchvision":
                return _TORCHVISION
            raise

    importlib.metadata.version = version
    try:
        return importlib.import_module("ultralytics")
    except ImportError:
        raise MissingExtra("ultralytics", "train") from None
    finally:
        importlib.metadata.version = ask
