"""What `benchmarks/compiler.py` measures, part by part; each part can be measured in a process of its own."""

from __future__ import annotations

import contextlib
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from dicem_codegen import CompiledProgram, compile_program
from dicem_codegen.ranking import Policy, first_come, longest_way, looking_ahead
from dicem_codegen.schedule import list_schedule, optimum, policy_schedule
from dicem_codegen.verify.barriers import barriers_in
from dicem_codegen.verify.batch import Entry, Ran, run_batch
from dicem_codegen.verify.chance import Traits, hints_of
from dicem_codegen.verify.drive import LIMITS, load_twin
from dicem_codegen.verify.naive import naive_seconds
from dicem_codegen.verify.trace import CriticalPath, TraceError, critical_path
from dicem_codegen.verify.world import World, with_effects
from dicem_shared.errors import CompileError
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"configs": ROOT / "configs/programs", "gqa": ROOT / "benchmarks/programs/gqa",
           "marine": ROOT / "benchmarks/programs/marine"}  # fmt: skip
SECONDS = {"yolov8": 0.05, "glip": 0.4, "blip2": 0.6, "blip": 0.6, "xvlm": 0.25, "depth": 0.15, "llm": 0.9,
           "log_event": 0.02, "counter": 0.02}  # fmt: skip
"""Declared, of the order that such models take on a data-centre GPU."""
WORKERS = (2, 4, 8)
FEW = (2, 3, 4)
"""Workers where the optimum is sought."""
SMALL = 9
"""It is sought for programs of so many calls."""
PATH_BAR, OPTIMUM_BAR = 1.02, 1.05
LATE = "calls start late"
"""Why a program misses a bar, where it is the compiled program's doing and not the order's."""
BATCH_SEEDS = 1000
"""Frames of batches have seeds from here on."""
FUNCTIONS = with_effects()
_NEARLY = 1e-9


@dataclass(frozen=True)
class Given(World):
    """A world without failures where each function takes what `SECONDS` says."""

    boxes: int = 6

    @cached_property
    def traits(self) -> Traits:
        known = ("litter", "boat", "buoy") if self.seed % 2 else ()
        return Traits((640, 480), known, 0.0, "", "equal", self.boxes, 100, self.hints)

    def latency(self, name: str, params: dict[str, Any], occurrence: int = 0) -> float:
        return SECONDS[name]


@dataclass(frozen=True)
class Subject:
    """A program, compiled."""

    name: str
    source: str
    compiled: CompiledProgram

    def entry(self, world: World, policy: Policy = first_come) -> Entry:
        """The compiled program in a world."""
        return Entry(load_twin(self.compiled.source, prepare(self.source)), world, policy)

    def world(self, seed: int, boxes: int = 6) -> Given:
        """A frame on which its guards go both ways."""
        return Given(seed, FUNCTIONS, hints_of(self.source), boxes)

    @cached_property
    def policy(self) -> Policy:
        """Which call goes first."""
        return looking_ahead(self.source, self.compiled, SECONDS)

    @cached_property
    def simple_policy(self) -> Policy:
        """The one that it is compared with."""
        return longest_way(self.source, self.compiled, SECONDS)


@dataclass(frozen=True)
class Case:
    """A program in a world, and the bound of every schedule."""

    subject: Subject
    world: World
    bound: CriticalPath

    def ran(self, workers: int | None = None, policy: Policy = first_come) -> Ran:
        """The compiled program, played."""
        return run_batch([self.subject.entry(self.world, policy)], interpreter(), workers)

    @property
    def parallel(self) -> float:
        """Serial time over the critical path: what enough workers can gain."""
        return self.bound.serial_seconds / self.bound.seconds


@cache
def interpreter() -> Interpreter:
    """One for each process."""
    return Interpreter(FUNCTIONS, LIMITS, max_runs=64).__enter__()


@cache
def subjects(group: str) -> tuple[Subject, ...]:
    """The programs of a folder."""
    return tuple(subject(path.stem, path.read_text(encoding="utf-8")) for path in sorted(FOLDERS[group].glob("*.py")))


@cache
def generated(seed: int) -> Subject | None:
    """A program that the test-suite makes up; None where the compiler refuses it."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from tests.codegen.generator import generate  # type: ignore[import-not-found,unused-ignore]

    with contextlib.suppress(CompileError):
        return subject(f"generated {seed}", generate(seed).source)
    return None


def subject(name: str, source: str) -> Subject:
    """Compile a program."""
    return Subject(name, source, compile_program(source, FUNCTIONS, name=name))


def cases(of: Sequence[Subject], count: int, boxes: int) -> list[Case]:
    """The programs in turn, on one frame after the other; those that ask nothing are left out."""
    made = []
    for number in range(count):
        each = of[number % len(of)]
        world = each.world(BATCH_SEEDS + number // len(of), boxes)
        with contextlib.suppress(TraceError):
            made.append(Case(each, world, critical_path(each.source, world)))
    return [case for case in made if case.bound.seconds]


# With as many workers as a program asks for


@dataclass(frozen=True)
class Row:
    """Simulated seconds of a program, all its frames together."""

    name: str
    barriers: bool
    calls: int
    serial: float
    naive: float
    ours: float
    path: float


def measured(each: Subject, worlds: Iterable[World]) -> Row:
    """A program with as many workers as it asks for.

    :raises TraceError: nobody can say what its critical path is
    """
    row = Row(each.name, False, 0, 0.0, 0.0, 0.0, 0.0)
    for world in worlds:
        case = Case(each, world, critical_path(each.source, world))
        bound = case.bound
        row = replace(
            row, barriers=bool(bound.barriers), calls=row.calls + len(bound.graph.calls),
            serial=row.serial + bound.serial_seconds, naive=row.naive + naive_seconds(bound.graph),
            ours=row.ours + case.ran().makespan_s, path=row.path + bound.seconds,
        )  # fmt: skip
    return row


def group_rows(group: str, first: int, step: int, frames: int) -> list[Row]:
    """Every `step`th program of a folder."""
    return [measured(each, [each.world(seed) for seed in range(frames)]) for each in subjects(group)[first::step]]


def generated_rows(seeds: Sequence[int]) -> tuple[list[Row], int]:
    """Generated programs that ask something, on one frame; and how many the compiler refused."""
    made = [generated(seed) for seed in seeds]
    rows = []
    for each in made:
        if each is not None:
            with contextlib.suppress(TraceError):
                rows.append(measured(each, [each.world(0)]))
    return [row for row in rows if row.path and row.ours], sum(each is None for each in made)


# DiCE's experiment


def on_workers(batch: int, boxes: int) -> dict[str, Any]:
    """Programs on 2, 4 and 8 workers: each alone; those alone that have as much to gain as two workers can give; and
    all side by side."""
    all_cases = cases(subjects("gqa"), batch, boxes)
    wide_cases = [case for case in all_cases if case.parallel >= 2]
    rows = [_on(workers, all_cases, wide_cases) for workers in WORKERS]
    calls = statistics.mean(len(case.bound.graph.calls) for case in all_cases)
    return {"boxes": boxes, "programs": len(all_cases), "wide": len(wide_cases), "calls": calls, "rows": rows}


def _on(workers: int, all_cases: Sequence[Case], wide_cases: Sequence[Case]) -> dict[str, Any]:
    took = {id(case): case.ran(workers, case.subject.policy).makespan_s for case in all_cases}
    least = {id(case): list_schedule(case.bound.graph, workers).makespan_s for case in all_cases}

    def gain(over: dict[int, float], of: Sequence[Case]) -> float:
        return statistics.mean(case.bound.serial_seconds / over[id(case)] for case in of)

    entries = [case.subject.entry(case.world, case.subject.policy) for case in all_cases]
    together = run_batch(entries, interpreter(), workers, in_flight=4 * workers)
    return {
        "workers": workers,
        "alone": gain(took, all_cases), "alone_best": gain(least, all_cases),
        "wide": gain(took, wide_cases), "wide_best": gain(least, wide_cases),
        "together": sum(case.bound.serial_seconds for case in all_cases) / together.makespan_s,
        "together_work": sum(case.bound.work_seconds for case in all_cases) / together.makespan_s,
        "over_bound": [case.subject.name for case in all_cases if _over_bound(case, workers, took[id(case)])],
    }  # fmt: skip


def _over_bound(case: Case, workers: int, took: float) -> bool:
    return took > case.bound.work_seconds / workers + case.bound.seconds + _NEARLY


# Beside the best order


def beside_the_optimum(pick: Callable[[], Sequence[Case]]) -> list[dict[str, Any]]:
    """Each small enough case on 2, 3 and 4 workers, over the optimum of the oracle's graph."""
    return [_beside(case, p) for case in pick() for p in FEW if p < len(case.bound.graph.jobs) <= SMALL]


def gqa_beside(batch: int, first: int, step: int) -> list[dict[str, Any]]:
    """GQA-shaped programs."""
    return beside_the_optimum(lambda: cases(subjects("gqa"), batch, 6)[first::step])


def generated_beside(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Generated programs without a barrier, on two frames each."""
    made = [each for each in map(generated, seeds) if each is not None and not barriers_in(each.source)]
    return beside_the_optimum(lambda: cases(made, 2 * len(made), 3)) if made else []


def _beside(case: Case, workers: int) -> dict[str, Any]:
    graph, policy = case.bound.graph, case.subject.policy
    best = optimum(graph, workers)
    took = case.ran(workers, policy)
    row: dict[str, Any] = {
        "program": case.subject.name, "seed": case.world.seed, "workers": workers, "optimum": best,
        "looking ahead": took.makespan_s / best,
        "longest way": case.ran(workers, case.subject.simple_policy).makespan_s / best,
        "first come": case.ran(workers, first_come).makespan_s / best,
        "knowing all": list_schedule(graph, workers).makespan_s / best,
        "over_bound": not took.surplus and _over_bound(case, workers, took.makespan_s),
    }  # fmt: skip
    if row["looking ahead"] > OPTIMUM_BAR:
        row["why"] = _why(case, workers, best)
    return row


def _why(case: Case, workers: int, best: float) -> str:
    """Why a program is not near the optimum."""
    at_once = case.ran().makespan_s / case.bound.seconds
    if at_once > PATH_BAR:
        return f"{LATE}: {at_once:.2f} times the critical path with enough workers"
    if policy_schedule(case.bound.graph, workers, case.subject.policy).makespan_s / best <= OPTIMUM_BAR:
        return f"{LATE} where workers are few"
    if optimum(case.bound.graph, workers, idle=False) / best > OPTIMUM_BAR:
        return "the optimum leaves a worker idle while calls wait"
    return "the order hangs on answers that are not there yet"


WIDE = """
def execute_command(image):
    image_patch = ImagePatch(image)
    report = []
    for name in ["litter", "bottle", "bag", "net", "can", "rope"]:
        for patch in image_patch.find(name):
            report.append((patch.simple_query("What is this?"), patch.compute_depth(), patch.simple_query("Whose?")))
    return report
"""


def wide() -> list[dict[str, float]]:
    """Where there is 20 times as much work as the critical path a worker."""
    each = subject("wide", WIDE)
    world = each.world(3, boxes=64)
    case = Case(each, world, critical_path(each.source, world))
    work = case.bound.work_seconds
    return [
        {"workers": workers, "work_over_path_a_worker": work / case.bound.seconds / workers,
         "speedup": work / case.ran(workers, each.policy).makespan_s}
        for workers in WORKERS
    ]  # fmt: skip


# Compiling

LINES = (100, 200, 500, 1000, 2000)
BLOCK = """\
    found_{n} = image_patch.find("thing {n}")
    if not found_{n}:
        names.append("nothing {n}")
    for patch in found_{n}:
        depth = patch.compute_depth()
        if depth < {n} and patch.verify_property("thing {n}", "red"):
            names.append(patch.simple_query("What is this?"))
    near_{n} = [patch for patch in found_{n} if patch.compute_depth() < 5]
    best_{n} = min(near_{n}, key=lambda patch: patch.compute_depth(), default=None)
    answer_{n} = best_{n}.simple_query("Whose is it?") if best_{n} else "nobody's"
"""


def long_program(lines: int) -> str:
    """A program of so many lines."""
    blocks = "".join(BLOCK.format(n=n) for n in range((lines - 4) // 10))
    rest = "    names.append('x')\n" * ((lines - 4) % 10)
    head = "def execute_command(image):\n    image_patch = ImagePatch(image)\n    names = []\n"
    return f"{head}{blocks}{rest}    return names\n"


def joined_program(sources: Sequence[str], lines: int) -> str:
    """Programs as people write them, each a function of one, as many as fit in so many lines."""
    text, names = "", list[str]()
    for source in sources:
        name = f"part_{len(names) + 1}"
        part = source.replace("def execute_command(", f"def {name}(") + "\n\n"
        if text.count("\n") + part.count("\n") + 3 + len(names) > lines:
            break
        text, names = text + part, [*names, name]
    asked = "".join(f"        {name}(image),\n" for name in names)
    return f"{text}def execute_command(image):\n    return [\n{asked}    ]\n"


def compile_time(lines: int, repeats: int = 5, source: str | None = None) -> dict[str, float]:
    """Milliseconds of CPU, real ones: the least of some.  `source`: the program; None: a long one, full of calls."""
    source, best = source or long_program(lines), math.inf
    for _ in range(repeats if lines <= 500 else 2):
        started = time.process_time()
        compile_program(source, FUNCTIONS)
        best = min(best, time.process_time() - started)
    return {"lines": source.count("\n"), "ms": best * 1e3}
