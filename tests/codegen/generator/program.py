"""A whole program: who writes it, its helpers, its entry."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from . import (
    asking,
    idioms_branches,
    idioms_functions,
    idioms_lazy,
    idioms_loops,
    idioms_more,
    idioms_state,
    idioms_subtle,
)
from .builder import Builder, Dialect, Function
from .rows import ROWS
from .statements import IDIOMS, give, some_subjects, statement

assert {i.row for i in IDIOMS} <= set(ROWS), "every idiom is of a row"
_ = idioms_branches, idioms_lazy, idioms_loops, idioms_more, idioms_state, idioms_subtle  # they register themselves

MIN_LINES, MAX_LINES = 5, 60
BUDGET = 56.0
"""Calls that a program may be expected to make; the world's lists are short, so it makes few more."""

VIPER = (
    Dialect("viper", False, True, "execute_command", "image"),
    Dialect("viper", False, True, "execute_command", "image"),
    Dialect("viper", False, True, "execute_command", "image"),
    Dialect("viper", False, True, "execute_command", "image_patch"),
    Dialect("viper-module", False, True, "execute_command", "image", is_module=True),
    Dialect("video", False, True, "execute_command", "video"),
)
MIXED = (
    Dialect("mixed", True, True, "execute_command", "image"),
    Dialect("mixed", True, True, "execute_query", "image_filename"),
)
DICE_C = (
    Dialect("dice-c", True, False, "execute_query", "image_filename"),
    Dialect("dice-c", True, False, "execute_command", "image"),
    Dialect("dice-c-module", True, False, "execute_query", "image_filename", is_module=True),
)


@dataclass(frozen=True)
class Generated:
    """A program, and the rows that it was made to reach, with how often."""

    source: str
    rows: Counter[str]
    seed: int = 0
    dialect: str = ""


def generate(seed: int, *, size: int | None = None, budget: float = BUDGET) -> Generated:
    """The program of a seed; the same for the same arguments, always and everywhere.

    `size` is about how many lines it has, `budget` how many calls it makes; both cut the same program short, so that
    less of either gives a smaller program of the same kind.
    """
    rng = random.Random(f"dicem {seed}")
    dialect = rng.choice(rng.choices((VIPER, MIXED, DICE_C), (61, 24, 15))[0])
    lines = round(rng.triangular(MIN_LINES, MAX_LINES, 26))
    b = Builder(rng, dialect, size=max(MIN_LINES, min(lines, size or lines)), budget=budget)
    b.wanted = sorted(_WRITTEN, key=lambda row: rng.random() * _LATER.get(row, 1.0))
    for _ in range(rng.choices((0, 1, 2), (45, 40, 15))[0]):
        if b.room > 8:
            _outside(b)
    _entry(b)
    text = "\n".join([*b.preamble, "", "", *b.lines]).strip("\n") + "\n"
    text = _imports(rng, text) + text
    return Generated(text, Counter({row: n for row, n in b.rows.items() if n > 0}), seed, dialect.name)


def _imports(rng: random.Random, text: str) -> str:
    """What the program uses, and now and then something that it does not."""
    lines = [
        f"{line}\n"
        for line, used in (
            ("import asyncio", "asyncio." in text or rng.random() < 0.05),
            ("import hermod", "hermod." in text or rng.random() < 0.1),
            ("from PIL import Image", "Image.open" in text),
        )
        if used
    ]
    return "".join([*lines, "\n\n"] if lines else [])


_WRITTEN = [row for row in ROWS if row in {option.row for option in IDIOMS}]
_LATER = dict.fromkeys(
    ("effects", "f-strings", "if-result", "walks", "strings", "exit", "early-return", "mutation", "short-circuit"), 4.0
) | {
    "lazy": 0.57, "keys": 0.57, "generators": 0.5, "nested-loops": 0.55, "nested-guards": 0.62, "loop-variable": 0.57,
    "unprovable": 0.5, "loop": 0.55, "carried": 0.55, "comprehension": 0.7, "closures": 0.7, "duplicates": 0.85,
    "sets": 0.85,
}  # fmt: skip
"""Other rows bring the first along; the last do not fit everywhere."""


def _outside(b: Builder) -> None:
    """A helper, before the entry."""
    entry_lines, b.lines = b.lines, []
    idioms_functions.helper(b)
    b.preamble += ["", "", *b.lines]
    b.lines = entry_lines
    b.declare(b.helpers[-1].name, "hidden", fixed=True)


def _entry(b: Builder) -> None:
    dialect = b.dialect
    function = Function(dialect.entry, dialect.is_async, None)
    word = "async def" if dialect.is_async else "def"
    annotated = " -> str" if b.chance(0.15) else ""
    with b.define(function, [], f"{word} {dialect.entry}({dialect.parameter}){annotated}:"):
        b.nesting -= 1
        _opening(b)
        while b.room > 2 and not b.ended:
            statement(b)
        if not b.ended and not b.chance(0.06):
            give(b)
        b.nesting += 1
    if dialect.is_module:
        _start(b)


def _opening(b: Builder) -> None:
    """How such programs begin."""
    dialect = b.dialect
    source = dialect.parameter
    if dialect.parameter == "image_filename":
        b.line("image = Image.open(image_filename)")
        source = "image"
    if not dialect.methods:
        b.declare("image", "subject", fixed=True)
        b.names["image"] = (b.function, "subject")
    elif dialect.parameter == "video":
        b.line("video_segment = VideoSegment(video)")
        b.line(f"frame = video_segment.frame_from_index({b.one((0, 'video_segment.num_frames // 2'))})")
        b.declare("frame", "subject", fixed=True)
        if b.chance(0.6):
            b.line("frames = list(video_segment.frame_iterator())")
            b.declare("frames", "subjects", sure=True)
            b.names["frames"] = (b.function, "subjects")
    else:
        if dialect.parameter != "image_patch":
            b.line(f"image_patch = ImagePatch({source})")
        b.declare("image_patch", "subject", fixed=True)
    for name in ("image", "image_patch", "frame", "video_segment", "image_filename", "video"):
        b.names.setdefault(name, (b.function, "hidden"))
    if b.chance(0.85) and asking.asks(b, "subjects"):
        some_subjects(b)


def _start(b: Builder) -> None:
    """The module calls its own entry."""
    given = '"street.jpg"' if b.dialect.parameter == "image_filename" else 'Image.open("street.jpg")'
    call = f"{b.dialect.entry}({given})"
    if b.dialect.is_async:
        call = f"asyncio.run({call})"
    b.lines += ["", "", b.one((f"print({call})", call, f"answer = {call}\nprint(answer)"))]
