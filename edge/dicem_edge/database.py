"""Files in SQLite that survive a power cut: WAL mode, every commit synced."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dicem_shared.errors import ConfigError


def open_database(path: Path, schema: str, *, what: str, setting: str) -> sqlite3.Connection:
    """The database in a file, made if it is not there: what a commit returned from survives.

    :param what: what is kept there, and `setting` which key of the config names the file, for the message
    :raises ConfigError: the file cannot be used
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path)
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=full")
        database.execute(schema)
        database.commit()
    except (sqlite3.Error, OSError) as cause:
        todo = f"See `{setting}` in the config."
        raise ConfigError(f"{what} cannot be kept in {path}", got=str(cause), todo=todo) from None
    return database
