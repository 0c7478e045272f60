"""Keeps every answer on the vehicle, whatever the link does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dicem_shared.errors import ConfigError
from dicem_shared.types import Answer

from .database import open_database

_SCHEMA = """
create table if not exists answers (
    id text primary key, t_utc real not null, program_id text not null, status text not null, answer text not null
) strict
"""


class AnswerStore:
    """SQLite in WAL mode, every commit synced: what `put` returned from survives a power cut."""

    def __init__(self, path: Path) -> None:
        """:raises ConfigError: the file cannot be used"""
        self._db = open_database(path, _SCHEMA, what="the answers", setting="answers")

    def put(self, answer: Answer) -> None:
        """Keep an answer; the same id again replaces it."""
        text = json.dumps(answer.model_dump(mode="json", by_alias=True), separators=(",", ":"))
        row = (answer.id, answer.t_utc, answer.program_id, answer.status, text)
        try:
            with self._db:
                self._db.execute("insert or replace into answers values (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as cause:
            what = f"frame {answer.frame}'s answer cannot be kept"
            raise ConfigError(what, got=str(cause), todo="Make room, or move `answers` in the config.") from None

    def __iter__(self) -> Iterator[Answer]:
        for (text,) in self._db.execute("select answer from answers order by t_utc, id"):
            yield Answer.model_validate_json(text)

    def __len__(self) -> int:
        count: int = self._db.execute("select count(*) from answers").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the file."""
        self._db.close()
