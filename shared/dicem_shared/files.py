"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ConfigError


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path`; who reads it meanwhile, or after a crash, finds the old file or the new one.

    :raises ConfigError: it cannot be written
    """
    if os.path.isdir(path):
        raise ConfigError(f"{path} is a folder", expected="a file's name")
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        try:
            part.write_text(text, encoding="utf-8", newline="\n")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, ValueError) as cause:  # ValueError: a path that no file can have
        got = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise ConfigError(f"{path} cannot be written", got=got) from None
