"""Compiled programs are as parallel as the data allows: the makespan beside the critical path of the oracle's graph.

The graph comes from a trace of the serial program (`dicem_codegen.verify.trace`), the makespan from the compiled one in
the real runner with as many workers as it asks for.  Where a row of the compiler's table has a barrier, nothing is
promised but that it is no slower than the serial program.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicem_codegen import compile_program
from dicem_codegen.ranking import longest_way
from dicem_codegen.schedule import list_schedule
from dicem_codegen.verify.barriers import barriers_in
from dicem_codegen.verify.batch import Entry, run_batch
from dicem_codegen.verify.chance import hints_of
from dicem_codegen.verify.drive import LIMITS, load_twin
from dicem_codegen.verify.trace import critical_path
from dicem_codegen.verify.world import World, with_effects
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter, Outcome

from .generator import generate
from .generator.reached import Reading

ROOT = Path(__file__).resolve().parents[2]
BAR = 1.02
FRAMES = range(3)
GENERATED = 200
REACHED = 0.85
"""The share of generated programs without a barrier that reach the bar; what keeps others stands in `makespan.txt`."""
FUNCTIONS = with_effects()
FOLDERS = (ROOT / "configs" / "programs", ROOT / "benchmarks" / "programs")
PROGRAMS = {path.stem: path for folder in FOLDERS for path in sorted(folder.rglob("*.py"))}


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(FUNCTIONS, LIMITS, max_runs=16) as running:
        yield running


def world(source: str, seed: int) -> World:
    return World(seed, FUNCTIONS, hints_of(source))


def over_the_path(source: str, seed: int, interpreter: Interpreter) -> float:
    """Makespan over critical path; 1 where nothing takes time."""
    bound = critical_path(source, world(source, seed)).seconds
    twin = load_twin(compile_program(source, FUNCTIONS).source, prepare(source))
    took = run_batch([Entry(twin, world(source, seed))], interpreter).makespan_s
    return took / bound if bound else 1.0 + took


# Programs that people write


NOT_YET = {
    "fishing_gear",  # a call that failed ahead is made twice
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason="not reached yet") if name in NOT_YET else ())
        for name in PROGRAMS
        if not barriers_in(PROGRAMS[name].read_text(encoding="utf-8"))
    ],
)
def test_programs_reach_the_critical_path(name: str, interpreter: Interpreter) -> None:
    source = PROGRAMS[name].read_text(encoding="utf-8")
    assert max(over_the_path(source, seed, interpreter) for seed in range(8)) <= BAR


# Small programs, a row each


def small_programs() -> dict[str, str]:
    """By name, as `makespan.txt` has them."""
    text = Path(__file__).with_name("makespan.txt").read_text(encoding="utf-8")
    blocks = (block.partition("]\n") for block in text.split("\n[")[1:])
    return {name: f"import asyncio\nimport hermod\n\n\n{source}" for name, _, source in blocks}


SMALL = small_programs()
MISSED = [name for name in SMALL if name.startswith("missed: ")]
REACHED_ROWS = [name for name in SMALL if name not in MISSED]


@pytest.mark.parametrize("row", REACHED_ROWS)
def test_rows_reach_the_critical_path(row: str, interpreter: Interpreter) -> None:
    for seed in range(12):
        assert over_the_path(SMALL[row], seed, interpreter) <= BAR


@pytest.mark.xfail(strict=True, reason="not reached yet")
@pytest.mark.parametrize("what", MISSED)
def test_what_is_missed_so_far(what: str, interpreter: Interpreter) -> None:
    assert max(over_the_path(SMALL[what], seed, interpreter) for seed in range(12)) <= BAR


# Generated programs


def without_barrier(source: str) -> bool:
    return not barriers_in(source) and "unprovable" not in Reading(source).rows()


def test_generated_programs_reach_the_critical_path(interpreter: Interpreter) -> None:
    sources = {seed: generate(seed).source for seed in range(GENERATED)}
    ratios = {s: over_the_path(source, s, interpreter) for s, source in sources.items() if without_barrier(source)}
    missed = {seed: round(ratio, 3) for seed, ratio in ratios.items() if ratio > BAR}
    assert len(ratios) >= GENERATED / 8
    assert len(missed) <= (1 - REACHED) * len(ratios), missed


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_no_generated_program_is_slower_than_the_serial_one(first: int, interpreter: Interpreter) -> None:
    for seed in range(first, first + 20):
        source = generate(seed).source
        bound = critical_path(source, world(source, seed))
        twin = load_twin(compile_program(source, FUNCTIONS).source, prepare(source))
        took = run_batch([Entry(twin, world(source, seed))], interpreter).makespan_s
        assert took <= bound.serial_seconds + 1e-9, seed


# With few workers


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_few_workers_keep_to_the_bound(workers: int, interpreter: Interpreter) -> None:
    """Graham's, wherever a program reaches the critical path with enough of them."""
    checked = 0
    for name, path in PROGRAMS.items():
        source = path.read_text(encoding="utf-8")
        compiled = compile_program(source, FUNCTIONS)
        twin = load_twin(compiled.source, prepare(source))
        for seed in FRAMES:
            bound = critical_path(source, world(source, seed))
            given = world(source, seed)
            if run_batch([Entry(twin, given)], interpreter).makespan_s > bound.seconds * (1 + 1e-9):
                continue
            seconds = {node.function: node.seconds for node in bound.graph.calls}
            policy = longest_way(source, compiled, seconds)
            ran = run_batch([Entry(twin, given, policy)], interpreter, workers)
            if ran.surplus:  # the program raised, and calls behind that had been started: work that the graph has not
                continue
            took = ran.makespan_s
            assert took <= bound.work_seconds / workers + bound.seconds + 1e-9, (name, seed)
            assert took >= bound.work_seconds / workers - 1e-9, (name, seed)
            assert took <= 2 * list_schedule(bound.graph, workers).makespan_s, (name, seed)
            checked += 1
    assert checked >= len(PROGRAMS)


WIDE = """
def execute_command(image):
    p = ImagePatch(image)
    report = []
    for name in ["litter", "bottle", "bag", "net"]:
        for q in p.find(name):
            report.append((q.simple_query("What is this?"), q.compute_depth(), q.simple_query("Whose?")))
    return report
"""


@pytest.mark.parametrize("workers", [2, 4])
def test_much_work_for_each_worker(workers: int, interpreter: Interpreter) -> None:
    """At least 0.95 P where there is 20 times the critical path of work for each."""

    class Wide(World):
        def outcome(self, name: str, params: dict[str, Any], occurrence: int = 0) -> Outcome:
            if name not in ("glip", "yolov8"):
                return super().outcome(name, params, occurrence)
            row = ["litter", "bottle", "bag", "net"].index(params.get("object_name") or params["classes"][0])
            boxes = [{"x": 2 * n, "y": 2 * row, "width": 2, "height": 2, "score": 0.5} for n in range(28)]
            found = boxes if name == "glip" else {"objects": [{"class": "litter", **box} for box in boxes]}
            return Outcome(result=found)

    wide = Wide(next(seed for seed in range(100) if not World(seed).traits.failure_rate), FUNCTIONS)
    bound = critical_path(WIDE, wide)
    assert bound.work_seconds / bound.seconds >= 20 * workers
    twin = load_twin(compile_program(WIDE, FUNCTIONS).source, prepare(WIDE))
    assert bound.work_seconds / run_batch([Entry(twin, wide)], interpreter, workers).makespan_s >= 0.95 * workers
