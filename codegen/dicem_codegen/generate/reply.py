"""The program in what a model wrote: the field `program` of a JSON object, or the fenced block of a text."""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass
from typing import Any, Final

from dicem_shared.program import ENTRIES

MAX_SOURCE: Final = 200_000
"""characters: as many as a program may have"""
_THINKING: Final = re.compile(r"\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCE: Final = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)[^\n]*$", re.MULTILINE)
_ENTRY: Final = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+(?:{'|'.join(ENTRIES)})\b", re.MULTILINE)


@dataclass(frozen=True)
class Taken:
    """What a reply holds: a program, or the reason why there is none."""

    source: str | None
    problem: str = ""
    is_json: bool = True
    """whether the reply keeps to the schema, or at least tries to"""


def program_in(reply: str) -> Taken:
    """The program, in whichever form it stands there; what surrounds it is not looked at."""
    text = _THINKING.sub("", reply, count=1) if reply.lstrip().startswith("<think") else reply
    text = text.strip()
    blocks = _blocks(text)
    if text.startswith(("{", "[")):
        taken = _from_json(text)
        if taken.source is not None or not any(_ENTRY.search(block) for _, block in blocks):
            return taken
    for language, block in reversed(blocks):
        if language in ("json", "") and block.lstrip().startswith("{"):
            return _from_json(block.strip())
    programs = [block for _, block in blocks if _ENTRY.search(block)] or [block for _, block in blocks]
    if programs:
        return _checked(programs[-1], is_json=False)
    if _ENTRY.search(text) and _parses(text):  # no fence, but nothing else either
        return _checked(text, is_json=False)
    return Taken(None, "the reply holds no program: write the whole program in one block fenced by ```python and ```",
                 is_json=False)  # fmt: skip


def _from_json(text: str) -> Taken:
    try:
        value: Any = json.loads(text, strict=False)  # line breaks that are not escaped are harmless here
    except (ValueError, RecursionError) as cause:
        said = " ".join(str(cause).split())[:120]
        return Taken(None, f"the reply is no whole JSON object: {said}")
    program = value.get("program") if isinstance(value, dict) else None
    if not isinstance(program, str):
        return Taken(None, 'the reply is JSON without a text called "program"')
    blocks = _blocks(program.strip()) if program.lstrip().startswith(("```", "~~~")) else []
    return _checked(blocks[0][1] if blocks else program, is_json=True)


def _checked(source: str, *, is_json: bool) -> Taken:
    source = source.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if not source.strip():
        return Taken(None, "the program is empty", is_json)
    if len(source) > MAX_SOURCE:
        return Taken(None, f"the program is longer than {MAX_SOURCE:,} characters: write a shorter one", is_json)
    try:
        source.encode()
    except UnicodeEncodeError:
        return Taken(None, "the program holds half a surrogate pair, which is no text", is_json)
    return Taken(source + "\n", "", is_json)


def _blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block; one that is not closed goes to the end."""
    found: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2]:
            found.append((opened[2].lower(), text[opened.end() + 1 : fence.start()]))
            opened = None
    if opened is not None:
        found.append((opened[2].lower(), text[opened.end() + 1 :]))
    return found


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
