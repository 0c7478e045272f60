"""The published JSON Schemas as files: `python -m dicem_shared.schemas` writes `docs/schema/` anew.

They are for readers of our answers and writers of recordings in other languages; a test holds them to the code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .ids import answer_schema
from .recording import recording_schema

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schema"


def files() -> dict[str, str]:
    """Name and text of each file."""
    published = {"answer-1.json": answer_schema(), "recording-1.json": recording_schema()}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in published.items()}


def write(folder: Path = FOLDER) -> list[Path]:
    """Write them; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(path)
