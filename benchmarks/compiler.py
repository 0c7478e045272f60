"""What the compiler gains: serial, gathered statement by statement, compiled; and the shortest that there can be.

    python benchmarks/compiler.py [--frames 8] [--batch 100] [--generated 100] [--json]

Programs of configs/programs and benchmarks/programs run in made-up worlds with the latencies of `SECONDS`: **all times
but those of compiling are simulated**.  The compiled programs run in the real runner on a virtual clock.  `path` is the
critical path of the oracle's graph, which is drawn from a traced run of the serial program, not by the compiler;
`naive` is reckoned from that graph too (`dicem_codegen.verify.naive`).  A program meets the same worlds in each column.

Then DiCE's own experiment, 100 programs as ViperGPT writes them for GQA on 2, 4 and 8 workers: the mean over the
programs of serial time over time on P workers.  The published figures come from other programs, models and machines.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dicem_codegen import CompiledProgram, compile_program
from dicem_codegen.ranking import Policy, first_come, longest_way
from dicem_codegen.schedule import list_schedule, optimum
from dicem_codegen.verify.barriers import barriers_in
from dicem_codegen.verify.batch import Entry, run_batch
from dicem_codegen.verify.chance import Traits, hints_of
from dicem_codegen.verify.drive import LIMITS, load_twin
from dicem_codegen.verify.naive import naive_seconds
from dicem_codegen.verify.trace import CriticalPath, critical_path
from dicem_codegen.verify.world import World, with_effects
from dicem_shared.errors import CompileError, DicemError
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"configs": ROOT / "configs/programs", "gqa": ROOT / "benchmarks/programs/gqa",
           "marine": ROOT / "benchmarks/programs/marine"}  # fmt: skip
SECONDS = {"yolov8": 0.05, "glip": 0.4, "blip2": 0.6, "blip": 0.6, "xvlm": 0.25, "depth": 0.15, "llm": 0.9,
           "log_event": 0.02, "counter": 0.02}  # fmt: skip
"""Declared, of the order that such models take on a data-centre GPU."""
WORKERS = (2, 4, 8)
PUBLISHED = {2: 2.0, 4: 2.95, 8: 3.7}
"""DiCE: mean speed-up of 100 GQA examples on 2, 4 and 8 nodes."""
PATH_BAR, OPTIMUM_BAR, WIDE_BAR = 1.02, 1.05, 0.95
COMPILE_BAR_MS = 50.0
LINES = (100, 200, 500, 1000, 2000)
SMALL = 9
"""The optimum is sought for programs of so many calls."""
POLICIES = ("longest way", "first come", "knowing all")
FUNCTIONS = with_effects()


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
        return longest_way(self.source, self.compiled, SECONDS)


def subject(name: str, source: str) -> Subject:
    """Compile a program."""
    return Subject(name, source, compile_program(source, FUNCTIONS, name=name))


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


def measured(subject: Subject, worlds: Iterable[World], interpreter: Interpreter) -> Row:
    """A program with as many workers as it asks for."""
    row = Row(subject.name, False, 0, 0.0, 0.0, 0.0, 0.0)
    for world in worlds:
        bound = critical_path(subject.source, world)
        ours = run_batch([subject.entry(world)], interpreter).makespan_s
        row = replace(
            row, barriers=bool(bound.barriers), calls=row.calls + len(bound.graph.calls),
            serial=row.serial + bound.serial_seconds, naive=row.naive + naive_seconds(bound.graph),
            ours=row.ours + ours, path=row.path + bound.seconds,
        )  # fmt: skip
    return row


def geometric(values: Sequence[float]) -> float:
    """The geometric mean; 1 of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 1.0


def means(rows: Sequence[Row]) -> dict[str, float]:
    """Over programs: what each way takes over the critical path."""
    return {
        "programs": len(rows),
        **{way: geometric([getattr(r, way) / r.path for r in rows]) for way in ("serial", "naive", "ours")},
        "worst": max((r.ours / r.path for r in rows), default=1.0),
    }


@dataclass(frozen=True)
class Case:
    """A program in a world, and the bound of every schedule."""

    subject: Subject
    world: World
    bound: CriticalPath

    def on(self, workers: int, interpreter: Interpreter, policy: Policy) -> float:
        """Simulated seconds of the compiled program."""
        return run_batch([self.subject.entry(self.world, policy)], interpreter, workers).makespan_s


def cases(subjects: Sequence[Subject], count: int, boxes: int, first: int = 1000) -> list[Case]:
    """The programs in turn, on one frame after the other."""
    made = []
    for number in range(count):
        each = subjects[number % len(subjects)]
        world = each.world(first + number // len(subjects), boxes)
        made.append(Case(each, world, critical_path(each.source, world)))
    return [case for case in made if case.bound.seconds]


def on_workers(batch: Sequence[Case], interpreter: Interpreter) -> list[dict[str, Any]]:
    """DiCE's experiment: each program alone on 2, 4 and 8 workers; then all of them side by side."""
    rows = []
    serial = sum(case.bound.serial_seconds for case in batch)
    work = sum(case.bound.work_seconds for case in batch)
    for workers in WORKERS:
        took = [case.on(workers, interpreter, case.subject.policy) for case in batch]
        best = [list_schedule(case.bound.graph, workers).makespan_s for case in batch]
        entries = [case.subject.entry(case.world, case.subject.policy) for case in batch]
        together = run_batch(entries, interpreter, workers, in_flight=4 * workers)
        over = [
            (seconds - case.bound.work_seconds / workers - case.bound.seconds, case.subject.name)
            for case, seconds in zip(batch, took, strict=True)
        ]
        rows.append({
            "workers": workers, "published": PUBLISHED[workers],
            "speedup": statistics.mean(c.bound.serial_seconds / t for c, t in zip(batch, took, strict=True)),
            "at_best": statistics.mean(c.bound.serial_seconds / t for c, t in zip(batch, best, strict=True)),
            "together": serial / together.makespan_s, "together_work": work / together.makespan_s,
            "busy": together.busy_s / together.makespan_s / workers,
            "over_bound": sorted({name for excess, name in over if excess > 1e-9}),
        })  # fmt: skip
    return rows


def near_optimum(batch: Sequence[Case], interpreter: Interpreter) -> list[dict[str, Any]]:
    """How near the optimum the compiled programs come, where it can be found: by policy; and the graph itself, by a
    scheduler that knows the future."""
    rows = []
    for workers in (2, 3, 4):
        small = [case for case in batch if workers < len(case.bound.graph.jobs) <= SMALL]
        best = [optimum(case.bound.graph, workers) for case in small]
        ways = {
            "longest way": [case.on(workers, interpreter, case.subject.policy) for case in small],
            "first come": [case.on(workers, interpreter, first_come) for case in small],
            "knowing all": [list_schedule(case.bound.graph, workers).makespan_s for case in small],
        }
        row: dict[str, Any] = {"workers": workers, "programs": len(small)}
        for name, took in ways.items():
            ratios = [seconds / least for seconds, least in zip(took, best, strict=True)]
            within = sum(ratio <= OPTIMUM_BAR for ratio in ratios) / max(len(ratios), 1)
            row[name] = {"mean": geometric(ratios), "worst": max(ratios, default=1.0), "within": within}
        rows.append(row)
    return rows


WIDE = """
def execute_command(image):
    image_patch = ImagePatch(image)
    report = []
    for name in ["litter", "bottle", "bag", "net"]:
        for patch in image_patch.find(name):
            report.append((patch.simple_query("What is this?"), patch.compute_depth(), patch.simple_query("Whose?")))
    return report
"""


def wide(interpreter: Interpreter) -> list[dict[str, float]]:
    """Where there is 20 times as much work as the critical path a worker."""
    each = subject("wide", WIDE)
    rows = []
    for workers in WORKERS:
        world = each.world(3, boxes=64)
        bound = critical_path(each.source, world)
        took = run_batch([each.entry(world, each.policy)], interpreter, workers).makespan_s
        share = bound.work_seconds / bound.seconds / workers
        rows.append({"workers": workers, "work_over_path_a_worker": share, "speedup": bound.work_seconds / took})
    return rows


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


def compile_times(repeats: int = 5) -> list[dict[str, float]]:
    """Milliseconds of CPU, real ones: the least of some."""
    rows = []
    for lines in LINES:
        source, best = long_program(lines), math.inf
        for _ in range(repeats if lines <= 500 else 2):
            started = time.process_time()
            compile_program(source, FUNCTIONS)
            best = min(best, time.process_time() - started)
        rows.append({"lines": source.count("\n"), "ms": best * 1e3})
    return rows


def generated(count: int) -> tuple[list[Subject], int]:
    """Programs that the test-suite makes up; and how many the compiler refused."""
    sys.path.insert(0, str(ROOT))
    from tests.codegen.generator import generate

    made = []
    for seed in range(count):
        with contextlib.suppress(CompileError):
            made.append(subject(f"generated {seed}", generate(seed).source))
    return made, count - len(made)


def measure(frames: int, batch: int, made_up: int) -> dict[str, Any]:
    """Everything."""
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "seconds": SECONDS,
        "frames": frames,
        "compile": compile_times(),
        "programs": {},
        "means": {},
    }
    with Interpreter(FUNCTIONS, LIMITS, max_runs=64) as interpreter:
        gqa: list[Subject] = []
        for group, folder in FOLDERS.items():
            subjects = [subject(path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.py"))]
            gqa = subjects if group == "gqa" else gqa
            rows = [measured(each, [each.world(seed) for seed in range(frames)], interpreter) for each in subjects]
            result["programs"][group] = [asdict(row) for row in rows]
            result["means"][group] = means(rows)
        made, result["refused"] = generated(made_up)
        rows = [row for each in made if (row := measured(each, [each.world(0)], interpreter)).path and row.ours]
        result["means"]["generated, no barrier"] = means([row for row in rows if not row.barriers])
        result["means"]["generated, barriers"] = means([row for row in rows if row.barriers])
        small = [each for each in made if not barriers_in(each.source)]
        sparse = cases(gqa, batch, boxes=6)
        result["batch"] = batch
        result["workers"] = {
            "0 to 6 things": on_workers(sparse, interpreter),
            "0 to 20 things": on_workers(cases(gqa, batch, boxes=20), interpreter),
        }
        result["optimum"] = near_optimum(sparse + cases(small, len(small) * 2, boxes=3), interpreter)
        result["wide"] = wide(interpreter)
    return result


def verdict(met: bool, bar: object) -> str:
    """Against what was promised."""
    return f"{'meets' if met else 'MISSES'} {bar}"


def table(result: dict[str, Any]) -> str:
    """The figures for a reader."""
    given = ", ".join(f"{name} {seconds}" for name, seconds in result["seconds"].items())
    lines = [
        f"{result['machine']}; one run; baseline: the serial program, one call after the other",
        f"simulated seconds; a call takes: {given}",
        f"{result['frames']} frames a program (seeds 0 to {result['frames'] - 1}; in the batch from 1000)",
        "",
        f"{'program':34}{'calls':>7}{'serial':>9}{'naive':>9}{'ours':>9}{'path':>9}{'ours/path':>11}",
    ]
    for group, rows in result["programs"].items():
        lines.append(f"-- {group}")
        for row in rows:
            times = "".join(f"{row[way]:9.2f}" for way in ("serial", "naive", "ours", "path"))
            mark = " barrier" if row["barriers"] else ""
            lines.append(f"{row['name']:34}{row['calls']:7}{times}{row['ours'] / row['path']:11.3f}{mark}")
    lines += ["", f"{'over the critical path (geometric)':34}{'n':>7}{'serial':>9}{'naive':>9}{'ours':>9}{'worst':>9}"]
    for group, mean in result["means"].items():
        ways = "".join(f"{mean[way]:9.3f}" for way in ("serial", "naive", "ours", "worst"))
        lines.append(f"{group:34}{mean['programs']:7}{ways}")
    free = [row for rows in result["programs"].values() for row in rows if not row["barriers"]]
    worst = max(row["ours"] / row["path"] for row in free)
    lines.append(f"without a barrier, {len(free)} programs: worst {worst:.3f}: " + verdict(worst <= PATH_BAR, PATH_BAR))
    lines.append(f"generated programs that the compiler refused: {result['refused']}")
    return "\n".join([*lines, "", *worker_lines(result), "", *optimum_lines(result), "", *compile_lines(result)])


def worker_lines(result: dict[str, Any]) -> list[str]:
    """DiCE's experiment, and the bounds."""
    lines = [
        f"DiCE's experiment: {result['batch']} GQA-shaped programs, each alone on P workers; mean speed-up over serial",
        f"{'a find sees':>16}{'P':>3}{'speed-up':>10}{'efficiency':>12}{'at best':>9}{'DiCE, published':>17}"
        f"{'together':>10}{'its work':>10}{'busy':>7}",
    ]
    for seen, rows in result["workers"].items():
        for row in rows:
            p = row["workers"]
            lines.append(
                f"{seen:>16}{p:3}{row['speedup']:10.2f}{row['speedup'] / p:12.2f}{row['at_best']:9.2f}"
                f"{row['published']:17.2f}{row['together']:10.2f}{row['together_work']:10.2f}{row['busy']:7.2f}"
            )
    over = sorted({name for rows in result["workers"].values() for row in rows for name in row["over_bound"]})
    lines += [
        "at best: the oracle's graph, knowing every call; together: side by side, 4 P programs at once, over serial;",
        "its work: without the calls that merging saves; busy: the share of time that the workers work",
        "makespan at most work/P + critical path: "
        + verdict(not over, "it")
        + (f" ({', '.join(over)})" if over else ""),
    ]
    for row in result["wide"]:
        p, share = row["workers"], row["work_over_path_a_worker"]
        bar = verdict(row["speedup"] >= WIDE_BAR * p, f"{WIDE_BAR} P") if share >= 20 else "below 20: no bar"
        lines.append(f"work/path {share:.0f} a worker, P = {p}: speed-up {row['speedup']:.2f}: {bar}")
    return lines


def optimum_lines(result: dict[str, Any]) -> list[str]:
    """Beside the best that any order could reach."""
    lines = [
        f"over the optimum: GQA-shaped programs, generated ones without a barrier; at most {SMALL} calls, more than P",
        f"{'P':>3}{'programs':>10}   " + "".join(f"{name + ': mean, worst, within 5 %':>40}" for name in POLICIES),
    ]
    for row in result["optimum"]:
        ways = "".join(
            f"{way['mean']:20.3f}{way['worst']:8.3f}{way['within']:12.0%}" for way in (row[name] for name in POLICIES)
        )
        lines.append(f"{row['workers']:3}{row['programs']:10}   {ways}")
    return lines


def compile_lines(result: dict[str, Any]) -> list[str]:
    """Compile times."""
    rows = result["compile"]
    lines = ["compiling, real milliseconds of CPU, the least of several"]
    for row in rows:
        lines.append(f"{row['lines']:6} lines {row['ms']:9.1f} ms {row['ms'] / row['lines']:7.3f} ms a line")
    first, second, last = rows[0], rows[1], rows[-1]
    lines.append("100 lines: " + verdict(first["ms"] <= COMPILE_BAR_MS, f"{COMPILE_BAR_MS:.0f} ms"))
    growth = last["ms"] / last["lines"] / (second["ms"] / second["lines"])
    lines.append(
        f"a line at {int(last['lines'])} lines costs {growth:.2f} times what it costs at {int(second['lines'])}"
    )
    return lines


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, default=8, help="frames a program")
    parser.add_argument("--batch", type=int, default=100, help="programs in DiCE's experiment")
    parser.add_argument("--generated", type=int, default=100, help="programs made up by the test-suite's generator")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        result = measure(options.frames, options.batch, options.generated)
    except DicemError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
