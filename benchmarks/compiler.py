"""What the compiler gains: serial, gathered statement by statement, compiled; and the shortest that there can be.

    python benchmarks/compiler.py [--frames 8] [--batch 100] [--generated 100] [--jobs N] [--json]

Programs of configs/programs and benchmarks/programs run in made-up worlds with declared latencies: **all times but
those of compiling are simulated**.  The compiled programs run in the real runner on a virtual clock.  `path` is the
critical path of the oracle's graph, which is drawn from a traced run of the serial program, not by the compiler;
`naive` is reckoned from that graph too (`dicem_codegen.verify.naive`).  A program meets the same worlds in each column.

Then DiCE's own experiment, 100 programs as ViperGPT writes them for GQA on 2, 4 and 8 workers.  The published figures
come from other programs, models and machines.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any

import compiler_parts as parts
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dicem_shared.errors import DicemError

PUBLISHED = {2: 2.0, 4: 2.95, 8: 3.7}
"""DiCE: the average speed-up of 100 GQA examples on 2, 4 and 8 nodes; its efficiency 1, 0.74 and 0.48."""
WIDE_BAR, WIDE_SHARE = 0.95, 20
COMPILE_BAR_MS = 50.0
POLICIES = ("looking ahead", "longest way", "first come", "knowing all")
SEVERAL = 10
"""Generated programs that one task takes."""
BOXES = (6, 20)

Task = tuple[str, Callable[..., Any], tuple[Any, ...]]


def tasks(frames: int, batch: int, made_up: int, jobs: int) -> list[Task]:
    """What there is to do beside compiling; the longest first."""
    chunks = [range(first, min(first + SEVERAL, made_up)) for first in range(0, made_up, SEVERAL)]
    return [
        *[("workers", parts.on_workers, (batch, boxes)) for boxes in sorted(BOXES, reverse=True)],
        *[("optimum", parts.gqa_beside, (batch, first, jobs)) for first in range(jobs)],
        *[(group, parts.group_rows, (group, n, jobs, frames)) for group in parts.FOLDERS for n in range(jobs)],
        *[("generated", parts.generated_rows, (chunk,)) for chunk in chunks],
        *[("optimum", parts.generated_beside, (chunk,)) for chunk in chunks],
        ("wide", parts.wide, ()),
    ]


def measure(frames: int, batch: int, made_up: int, jobs: int) -> dict[str, Any]:
    """Everything.  Compiling is timed before the other processes start."""
    todo = tasks(frames, batch, made_up, jobs)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bars:
        bar = bars.add_task("compiling", total=len(parts.LINES) + len(todo))
        compiling = []
        for lines in parts.LINES:
            compiling.append(parts.compile_time(lines))
            bars.advance(bar)
        people = [path.read_text(encoding="utf-8") for path in sorted(parts.FOLDERS["gqa"].glob("*.py"))]
        ordinary = parts.compile_time(0, source=parts.joined_program(people, parts.LINES[0]))
        bars.update(bar, description="running")
        found = _carried_out(todo, jobs, lambda: bars.advance(bar))
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "seconds": parts.SECONDS,
        "frames": frames,
        "batch": batch,
        "compile": compiling,
        "compile_ordinary": ordinary,
        **_gathered(found),
    }


def _carried_out(todo: Sequence[Task], jobs: int, advance: Callable[[], None]) -> dict[str, list[Any]]:
    """What came of the tasks, by kind, in the order of the tasks."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        futures: list[tuple[str, Future[Any]]] = [(kind, pool.submit(do, *given)) for kind, do, given in todo]
        try:
            for future in as_completed(future for _, future in futures):
                future.result()
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    found: dict[str, list[Any]] = defaultdict(list)
    for kind, future in futures:
        found[kind].append(future.result())
    return found


def _gathered(found: dict[str, list[Any]]) -> dict[str, Any]:
    programs = {g: sorted((row for rows in found[g] for row in rows), key=lambda r: r.name) for g in parts.FOLDERS}
    made_up = [row for rows, _ in found["generated"] for row in rows]
    kinds = {
        **programs,
        "generated, no barrier": [row for row in made_up if not row.barriers],
        "generated, barriers": [row for row in made_up if row.barriers],
    }
    free = [row for rows in kinds.values() for row in rows if not row.barriers]
    return {
        "programs": {group: [asdict(row) for row in rows] for group, rows in programs.items()},
        "means": {kind: means(rows) for kind, rows in kinds.items()},
        "refused": sum(refused for _, refused in found["generated"]),
        "over_path": {row.name: row.ours / row.path for row in free if row.ours > parts.PATH_BAR * row.path},
        "without_barrier": len(free),
        "workers": sorted(found["workers"], key=lambda setting: setting["boxes"]),
        "optimum": [row for rows in found["optimum"] for row in rows],
        "wide": found["wide"][0],
    }


def geometric(values: Sequence[float]) -> float:
    """The geometric mean; 1 of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 1.0


def means(rows: Sequence[parts.Row]) -> dict[str, float]:
    """Over programs: what each way takes over the critical path."""
    return {
        "programs": len(rows),
        **{way: geometric([getattr(r, way) / r.path for r in rows]) for way in ("serial", "naive", "ours")},
        "worst": max((r.ours / r.path for r in rows), default=1.0),
    }


# For a reader

EXPERIMENT = """
DiCE's experiment: GQA-shaped programs on P workers; speed-up over the serial programs, one after the other.
DiCE's abstract gives an average over 100 examples on P nodes. It says neither what they ask, nor whether an example
has the nodes for itself; and a mean of 2 on 2 nodes needs programs with that much to gain. So:
alone: the mean over all programs, each with P workers for itself;
twice as fast: the mean over those of them that enough workers could make twice as fast, by the oracle's graph;
together: all programs as one batch, 4 P of them at once; work: the same without what merging equal calls saves;
best: the most that P workers could gain: the oracle's graph, scheduled by who knows every call beforehand.
"""
OPTIMUM = f"""
over the optimum, which knows all answers beforehand and may leave workers idle: mean, worst, share within 5 %;
GQA-shaped programs, and generated ones without a barrier, of at most {parts.SMALL} calls and more than P
"""


def verdict(met: bool, bar: object) -> str:
    """Against what was promised."""
    return f"{'meets' if met else 'MISSES'} {bar}"


def table(result: dict[str, Any]) -> str:
    """The figures for a reader."""
    given = ", ".join(f"{name} {seconds}" for name, seconds in result["seconds"].items())
    lines = [
        f"{result['machine']}; one run; baseline: the serial program, one call after the other",
        f"simulated seconds; a call takes: {given}",
        f"{result['frames']} frames a program (seeds 0 to {result['frames'] - 1}; in batches from {parts.BATCH_SEEDS})",
        "",
        *path_lines(result), "", *worker_lines(result), "", *optimum_lines(result), "", *compile_lines(result),
    ]  # fmt: skip
    return "\n".join(lines)


def path_lines(result: dict[str, Any]) -> list[str]:
    """With as many workers as a program asks for."""
    lines = [f"{'program':34}{'calls':>7}{'serial':>9}{'naive':>9}{'ours':>9}{'path':>9}{'ours/path':>11}"]
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
    over = result["over_path"]
    lines.append(f"{result['without_barrier']} programs without a barrier: " + verdict(not over, parts.PATH_BAR))
    lines += [f"    {name}: {ratio:.3f}" for name, ratio in over.items()]
    lines.append(f"generated programs that the compiler refused: {result['refused']}")
    return lines


def worker_lines(result: dict[str, Any]) -> list[str]:
    """DiCE's experiment, and the bounds."""
    lines = [
        *EXPERIMENT.strip().split("\n"),
        f"{'':32}{'DiCE':>6}  {'alone':>7}{'best':>7}{'twice as fast':>15}{'best':>7}{'together':>10}{'work':>7}",
    ]
    for setting in result["workers"]:
        lines.append(
            f"a find sees 0 to {setting['boxes']} things: {setting['programs']} programs,"
            f" {setting['calls']:.1f} calls each; {setting['wide']} of them could be twice as fast"
        )
        for row in setting["rows"]:
            p = row["workers"]
            for name, scale in (("speed-up", 1), ("efficiency", p)):
                shown = [row[key] / scale for key in ("alone", "alone_best", "wide", "wide_best", "together")]
                shown.append(row["together_work"] / scale)
                ours = "".join(f"{v:{w}.2f}" for v, w in zip(shown, (9, 7, 15, 7, 10, 7), strict=True))
                lines.append(f"{f'P = {p}' if scale == 1 else '':>10}{name:>20}  {PUBLISHED[p] / scale:6.2f}{ours}")
    over = {name for setting in result["workers"] for row in setting["rows"] for name in row["over_bound"]}
    over |= {row["program"] for row in result["optimum"] if row["over_bound"]}
    lines += [
        "makespan at most work/P + critical path: " + verdict(not over, "it"),
        *(f"    {n}" for n in sorted(over)),
    ]
    for row in result["wide"]:
        p, share = row["workers"], row["work_over_path_a_worker"]
        bar = verdict(row["speedup"] >= WIDE_BAR * p, f"{WIDE_BAR} P") if share >= WIDE_SHARE else "below 20: no bar"
        lines.append(f"work/path {share:.0f} a worker, P = {p}: speed-up {row['speedup']:.2f}: {bar}")
    return lines


def optimum_lines(result: dict[str, Any]) -> list[str]:
    """Beside the best that any order could reach."""
    lines = [
        *OPTIMUM.strip().split("\n"),
        f"{'P':>3}{'cases':>7}   " + "".join(f"{name:>22}" for name in POLICIES),
    ]
    rows = result["optimum"]
    for workers in parts.FEW:
        few = [row for row in rows if row["workers"] == workers]
        shown = ""
        for policy in POLICIES:
            ratios = [row[policy] for row in few]
            within = sum(ratio <= parts.OPTIMUM_BAR for ratio in ratios) / max(len(ratios), 1)
            shown += f"{geometric(ratios):10.3f}{max(ratios, default=1.0):6.2f}{within:6.0%}"
        lines.append(f"{workers:3}{len(few):7}   {shown}")
    missed = [row for row in rows if "why" in row]
    late = sum(row["why"].startswith(parts.LATE) for row in missed)
    over = f"{parts.OPTIMUM_BAR} ({len(missed)} over, {late} of them because {parts.LATE})"
    lines.append(f"looking ahead, {len(rows)} cases: " + verdict(not missed, over if missed else parts.OPTIMUM_BAR))
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in missed:
        case = f"P = {row['workers']}, seed {row['seed']}: {row['looking ahead']:.2f}"
        by_reason[row["program"], row["why"]].append(case)
    lines += [f"    {program}: {why} ({'; '.join(of)})" for (program, why), of in by_reason.items()]
    return lines


def compile_lines(result: dict[str, Any]) -> list[str]:
    """Compile times."""
    rows = result["compile"]
    lines = ["compiling, real milliseconds of CPU, the least of several"]
    for row in rows:
        lines.append(f"{row['lines']:6} lines {row['ms']:9.1f} ms {row['ms'] / row['lines']:7.3f} ms a line")
    first, second, last = rows[0], rows[1], rows[-1]
    usual = result["compile_ordinary"]
    lines += [
        f"{usual['lines']:6} lines {usual['ms']:9.1f} ms {usual['ms'] / usual['lines']:7.3f} ms a line"
        ": GQA-shaped programs, each a function of one",
        f"{usual['lines']} lines, GQA-shaped: {verdict(usual['ms'] <= COMPILE_BAR_MS, f'{COMPILE_BAR_MS:.0f} ms')}",
        f"100 lines with 63 calls: {verdict(first['ms'] <= COMPILE_BAR_MS, f'{COMPILE_BAR_MS:.0f} ms')}",
    ]
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
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if min(options.frames, options.batch, options.generated, options.jobs) < 1:
        parser.error("--frames, --batch, --generated and --jobs must be at least 1")
    try:
        result = measure(options.frames, options.batch, options.generated, options.jobs)
    except DicemError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
