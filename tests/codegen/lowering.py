"""The bench on which a lowered program is held against its original.

The original runs in CPython, with the synchronous methods that its author had in mind; the lowered one, its calls
written apart, runs in the sandbox and in CPython.  All three must print the same, make the same calls in the same order
and end the same way.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicem_codegen.lower import expand, lower
from dicem_codegen.parse import parse
from dicem_codegen.types import Lowered
from dicem_shared.catalog import catalog
from dicem_shared.program import Program, prepare

from ..shared import conftest as desks

ROWS = Path(__file__).parent / "lowered"
REGISTRY = catalog()


def rows(file: Path) -> Iterator[tuple[str, str]]:
    """The programs of a file, by name."""
    for row in f"\n{file.read_text()}".split("\n=== ")[1:]:
        name, _, source = row.partition("\n")
        yield name, source


def lowered(source: str) -> Lowered:
    """A program, lowered."""
    return lower(parse(source, name="p", where="p.py"), REGISTRY)


def short(source: str) -> str:
    """The lowered program as a person reads it."""
    return ast.unparse(lowered(source).tree)


def runnable(source: str) -> str:
    """The lowered program with its calls written apart."""
    return ast.unparse(expand(lowered(source), {}))


def answer(name: str, params: dict[str, Any]) -> Any:
    """Three things wherever somebody looks for something, and a failure where the question says so."""
    if "fail" in str(params):
        return RuntimeError("failed")
    box = params.get("image", {}).get("box", [0, 0, 0, 0])
    if name in ("yolov8", "glip"):
        third = {"y": box[3] // 5, "width": max(1, box[2] // 4), "height": max(1, box[3] // 5), "score": 0.5}
        boxes = [{"x": i * box[2] // 4, **third} for i in range(0 if "none" in str(params) else 3)]
        return {"objects": [{"class": "can", **b} for b in boxes]} if name == "yolov8" else boxes
    if name == "blip2" and "number" in params["query"]:
        return {"output": str(box[0])}
    return desks.echo(name, params)


def chance(name: str, params: dict[str, Any]) -> Any:
    """Something that only chance decides, the same for the same call; now and then a failure."""
    drawn = hashlib.sha256(json.dumps([name, params], sort_keys=True).encode()).digest()
    if drawn[1] % 23 == 0:
        return [RuntimeError, TimeoutError, ValueError][drawn[2] % 3](f"broken {drawn[3]}")
    box = params.get("image", {}).get("box", [0, 0, 50, 50])
    word = ["yes", "no", "red", "3", "2 boats", "plastic bottle", "Blue", ""][drawn[5] % 8]
    match name:
        case "yolov8" | "glip":
            places = [
                (drawn[4 + i] % max(1, box[2] - 6), drawn[8 + i] % max(1, box[3] - 5)) for i in range(drawn[0] % 4)
            ]
            boxes = [{"x": x, "y": y, "width": 5, "height": 4, "score": 0.5} for x, y in places]
            return {"objects": [{"class": "can", **b} for b in boxes]} if name == "yolov8" else boxes
        case "depth":
            return {"depth": drawn[6] % 20 / 2}
        case "xvlm":
            scores = [drawn[8 + i] % 10 / 10 for i in range(len(params.get("options") or [""]))]
            return {"result": drawn[7] % 2 == 0, "score": 0.5, "scores": scores}
    return {"answer": word} if name == "blip" else {"output": word}


class Bench:
    """Runs all three."""

    def __init__(self, desk: desks.Desk) -> None:
        self.desk = desk

    def same(self, source: str, respond: Any = answer) -> desks.Told:
        """How a program ends, which must be the same for all three."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desks, "prepare", lambda text, **how: as_module(prepare(text, **how)))
            return self._same(source, respond)

    def _same(self, source: str, respond: Any) -> desks.Told:
        wanted = self.desk.cpython(source, respond)
        made = runnable(source)
        for run in (self.desk.sandboxed, self.desk.cpython):
            got = run(made, respond)
            if got.error is not None and wanted.error is not None and got.error[0] == wanted.error[0]:
                got = replace(got, error=(wanted.error[0], in_words_of_3_11(wanted.error[1], got.error[1])))
            assert got == wanted, made
        return wanted


def in_words_of_3_11(wanted: str, got: str) -> str:
    """`wanted` if `got` is known to say the same in the words of another release."""
    for old, new in KNOWN_WORDS:
        found = re.fullmatch(old, wanted)
        if found is not None and re.fullmatch(new, got):
            return wanted
    return got


KNOWN_WORDS = (
    (r"(min|max)\(\) arg is an empty sequence", r"(min|max)\(\) iterable argument is empty"),
    (r".* is not in list", r"list.index\(x\): x not in list"),
    (r"[\w.<>]+\.(\w+\(\) .*)", r"\w+\(\) .*"),
    (r"too many values to unpack \(expected \d+\)", r"too many values to unpack \(expected \d+, got \d+\)"),
    (r"unhashable type: .*", r"cannot use .* \(unhashable type: .*\)"),
    (r".*(division or modulo|modulo|division) by zero", r"division by zero"),
)
"""What 3.11 says, and what the sandbox, which has the words of later releases, says instead."""


def as_module(program: Program) -> Program:
    """A program whose module runs itself, whatever it calls its entry from."""
    last = ast.parse(program.source).body[-1]
    if program.form == "module" or not ast.unparse(last).startswith("asyncio.run("):
        return program
    return replace(program, form="module", runnable=program.runnable.rstrip().rpartition("\n")[0] + "\nNone\n")
