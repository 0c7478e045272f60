"""What the tests of the checks share: wrong programs, and those that are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
MARK = "  # <-"
HEADS = {
    "S": "def execute_command(image):\n    image_patch = ImagePatch(image)\n",
    "A": "import hermod\nasync def execute_command(image):\n",
}


@dataclass(frozen=True)
class Wrong:
    """A program with what the checks must say of it."""

    check: str
    piece: str
    line: int
    source: str


def wrong_programs() -> Iterator[Wrong]:
    """Those of `wrong_programs.txt`."""
    text = (HERE / "wrong_programs.txt").read_text(encoding="utf-8")
    for row in text.split("\n=== ")[1:]:
        head, _, body = row.partition("\n")
        check, _, piece = head.partition(" | ")
        first, _, rest = body.partition("\n")
        name = first.removesuffix(MARK)
        written = HEADS[name] + rest if name in HEADS else body
        marked = f"{name}{MARK}\n{rest}" if name in HEADS and first.endswith(MARK) else written
        line = next(n for n, each in enumerate(marked.split("\n"), start=1) if each.endswith(MARK))
        source = "\n".join(each.removesuffix(MARK) for each in written.rstrip("\n").split("\n")) + "\n"
        yield Wrong(check, piece, line, source)


def reviewed() -> dict[str, str]:
    """The programs of this repository, by name."""
    folders = ("configs/programs", "tests/codegen/golden", "benchmarks/programs/gqa", "benchmarks/programs/marine")
    files = [file for folder in folders for file in sorted((ROOT / folder).glob("*.py"))]
    return {f"{file.parent.name}/{file.name}": file.read_text(encoding="utf-8") for file in files}


def right_programs() -> dict[str, str]:
    """Those of `right_programs.txt`, by name."""
    text = (HERE / "right_programs.txt").read_text(encoding="utf-8")
    found = {}
    for row in text.split("\n=== ")[1:]:
        name, _, body = row.partition("\n")
        first, _, rest = body.partition("\n")
        found[name] = (HEADS[first] + rest if first in HEADS else body).rstrip("\n") + "\n"
    return found
