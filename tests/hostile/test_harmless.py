"""Programs that only look suspicious, and those that models and people wrote: none is refused, raw or compiled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicem_codegen import compile_program
from dicem_shared.catalog import catalog
from dicem_shared.runner import Interpreter

from .corpus import Case, cases, run

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = list(cases("harmless"))
KEPT = [
    Case(path.parent.name, path.stem, path.read_text(encoding="utf-8"), "")
    for folder in ("configs/programs", "benchmarks/programs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
FUNCTIONS = catalog()


@pytest.fixture(scope="module")
def running() -> Iterator[Interpreter]:
    with Interpreter(FUNCTIONS) as opened:  # with the limits that everybody has who says nothing
        yield opened


def test_there_are_enough_of_them() -> None:
    assert len({case.source for case in WRITTEN}) == len(WRITTEN) >= 100
    assert len(WRITTEN) + len(KEPT) >= 150


@pytest.mark.parametrize("case", WRITTEN, ids=str)
def test_it_ends_as_it_should(running: Interpreter, case: Case) -> None:
    assert run(case, running).how == case.expected


@pytest.mark.parametrize("case", [case for case in WRITTEN if case.kind != "runtime"], ids=str)
def test_it_ends_as_it_should_once_compiled(running: Interpreter, case: Case) -> None:
    source = compile_program(case.source, FUNCTIONS, name="p").source
    assert run(case, running, source).how == case.expected


@pytest.mark.parametrize("case", KEPT, ids=str)
def test_what_was_kept_runs_to_its_end_once_compiled(running: Interpreter, case: Case) -> None:
    source = compile_program(case.source, FUNCTIONS, name=case.name).source
    end = run(case, running, source)
    assert end.calls
    assert end.how.startswith("returns ") or end.how == "raises Exception", end  # a box of no area, as found here
