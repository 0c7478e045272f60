"""SHA-256 of model files.  Large ones are read once: what was found is kept, for as long as the file stays as it is.

Kept in `$XDG_CACHE_HOME/dicem/hashes.json` (or `~/.cache`), by path, size, time of change and inode; where that cannot
be written, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

KEPT_FROM_BYTES = 16_000_000
"""smaller files are read again: that takes less than finding out that they need not be"""
MOST_KEPT = 4096


def files_hash(folder: Path, pattern: str) -> str:
    """SHA-256 over names and contents of the files in `folder` that match `pattern`, in the order of their names."""
    return hash_of(folder.glob(pattern))


def hash_of(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents of some files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.name}\0{_file_hash(path)}\n".encode())
    return total.hexdigest()


def cache_path() -> Path:
    """Where the hashes of large files are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = Path(base) if base and os.path.isabs(base) else Path("~/.cache").expanduser()
    return folder / "dicem" / "hashes.json"


def _file_hash(path: Path) -> str:
    before = path.stat()
    key = f"{path.resolve()}|{before.st_size}|{before.st_mtime_ns}|{before.st_ino}"
    large = before.st_size >= KEPT_FROM_BYTES
    if large and (known := _kept().get(key)) is not None:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if large:
        _keep(key, digest)
    return digest


def _kept() -> dict[str, str]:
    try:
        value = json.loads(cache_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: one for key, one in value.items() if isinstance(one, str) and len(one) == 64}


def _keep(key: str, digest: str) -> None:
    """Write the cache anew; whoever reads it meanwhile finds the old one or the new one."""
    path = cache_path()
    kept = list((_kept() | {key: digest}).items())[-MOST_KEPT:]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(dict(kept), file)
        os.replace(part, path)
    except OSError:
        return
