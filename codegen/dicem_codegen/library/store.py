"""A folder of stored programs: one folder a name, one file a revision, never overwritten.

<folder>/<name>/0001-<id>.json
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from dicem_shared.errors import ConfigError, MessageError
from dicem_shared.files import write_whole
from dicem_shared.topics import check_id

from .stored import StoredProgram

_FILE: Final = re.compile(r"([0-9]{4,})-([0-9a-f]{12})\.json\Z")
_ID: Final = re.compile(r"[0-9a-f]{6,32}\Z")
MAX_BYTES: Final = 2_000_000


def default_folder() -> Path:
    """`$DICEM_PROGRAMS`, or the place where a user's data lie."""
    named = os.environ.get("DICEM_PROGRAMS")
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path("~/.local/share").expanduser()) / "dicem" / "programs"


class ProgramStore:
    """See the module's text."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder

    def names(self) -> list[str]:
        """The names under which something is kept."""
        try:
            return sorted(each.name for each in self.folder.iterdir() if each.is_dir() and self._files(each.name))
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise ConfigError(f"the library {self.folder} cannot be read", got=cause.strerror or "") from None

    def revisions(self, name: str) -> list[StoredProgram]:
        """All that were kept under a name, the oldest first.

        :raises ConfigError: one of the files is damaged
        """
        return [_read(path) for path in self._files(name)]

    def latest(self, name: str) -> StoredProgram | None:
        """The newest revision; None: there is none.

        :raises ConfigError: its file is damaged
        """
        files = self._files(name)
        return _read(files[-1]) if files else None

    def find(self, wanted: str) -> StoredProgram | None:
        """A program by its name, or by the beginning of its id.

        :raises ConfigError: its file is damaged, or several ids begin so
        """
        found = self.latest(wanted)
        if found is not None or not _ID.match(wanted):
            return found
        files = [path for name in self.names() for path in self._files(name) if _begins(path, wanted)]
        programs = {program.id: program for program in map(_read, files) if program.id.startswith(wanted)}
        if len(programs) > 1:
            raise ConfigError(f"several programs begin with {wanted}", got=", ".join(sorted(programs)))
        return next(iter(programs.values()), None)

    def save(self, program: StoredProgram) -> Path:
        """Keep a program; where the newest revision of its name is the very same, nothing is written.

        :raises ConfigError: it cannot be written
        """
        folder, files = self.folder / checked_name(program.name), self._files(program.name)
        if files:
            last = _read(files[-1])
            if last.id == program.id:
                return files[-1]
        number = int(files[-1].name.partition("-")[0]) + 1 if files else 1
        path = folder / f"{number:04d}-{program.id[:12]}.json"
        text = json.dumps(program.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
        if len(text.encode()) > MAX_BYTES:
            raise ConfigError(f"{program.name} is too large to be kept", expected=f"at most {MAX_BYTES} bytes")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise ConfigError(f"{folder} cannot be made", got=cause.strerror or str(cause)) from None
        write_whole(path, text)
        return path

    def remove(self, name: str) -> int:
        """Forget a name with all its revisions; how many there were.

        :raises ConfigError: a file cannot be removed
        """
        files = self._files(name)
        try:
            for path in files:
                path.unlink()
            if files:
                (self.folder / name).rmdir()
        except OSError as cause:
            raise ConfigError(f"{name} cannot be removed", got=cause.strerror or str(cause)) from None
        return len(files)

    def _files(self, name: str) -> list[Path]:
        try:
            found = [path for path in (self.folder / checked_name(name)).iterdir() if _FILE.match(path.name)]
        except (FileNotFoundError, NotADirectoryError, ConfigError):
            return []
        except OSError as cause:
            raise ConfigError(f"the library {self.folder} cannot be read", got=cause.strerror or "") from None
        return sorted(found, key=lambda path: (int(path.name.partition("-")[0]), path.name))


def _begins(path: Path, wanted: str) -> bool:
    match = _FILE.match(path.name)
    return match is not None and (match[2].startswith(wanted) or wanted.startswith(match[2]))


def checked_name(name: str) -> str:
    """`name` if something can be kept under it.

    :raises ConfigError: it cannot
    """
    try:
        return check_id(name, "a program's name")
    except MessageError as cause:
        raise ConfigError(str(cause)) from None


def _read(path: Path) -> StoredProgram:
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError("it is too large")
        program = StoredProgram.model_validate_json(data)
        if not program.id or program.name != path.parent.name or not _begins(path, program.id):
            raise ValueError("it lies under another name or id than its own")
        return program
    except OSError as cause:
        got = cause.strerror or str(cause)
    except ValidationError as cause:
        got = cause.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
    except ValueError as cause:
        got = str(cause)
    raise ConfigError(f"the stored program {path} cannot be used", got=got, todo="Remove the file, or put it back.")
