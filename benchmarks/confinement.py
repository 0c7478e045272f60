"""What hostile programs get: how long past their deadline they run, and by how much the host's memory grows.

    python benchmarks/confinement.py [--kinds memory text] [--json]

Runs the corpus of `tests/hostile`, every program in this process's interpreter as an agent would, and prints a table:
programs, how many were stopped as they must be, the worst overshoot past `cpu_s` in seconds of wall clock (the start
of the run and the answering of its calls included), and how far this process's memory rose at most above what it was
before the first program, MB (2**20 bytes); the same for compiling them.  Exits with 1 where a bar of the project is not
met: all stopped, within the deadline and a second, with less than 50 MB of growth.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dicem_codegen import compile_program
from dicem_shared.catalog import catalog
from dicem_shared.errors import CompileError
from dicem_shared.runner import Interpreter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.hostile.corpus import LIMITS, SECRET, Case, as_expected, cases, run  # noqa: E402
from tests.hostile.sources import source_bombs  # noqa: E402

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FUNCTIONS = catalog()
PAST_S, GROWTH_MB = 1.0, 50.0
"""The bars."""


@dataclass
class Row:
    """One line of the table."""

    kind: str
    programs: int = 0
    stopped: int = 0
    overshoot_s: float = 0.0
    growth_mb: float = 0.0
    compile_growth_mb: float = 0.0
    worst: str = ""

    def add(self, other: Row) -> None:
        """Take in another line."""
        self.programs += other.programs
        self.stopped += other.stopped
        if other.growth_mb > self.growth_mb:
            self.worst = other.worst
        self.overshoot_s = max(self.overshoot_s, other.overshoot_s)
        self.growth_mb = max(self.growth_mb, other.growth_mb)
        self.compile_growth_mb = max(self.compile_growth_mb, other.compile_growth_mb)

    @property
    def meets_the_bars(self) -> bool:
        """Whether all were stopped, in time and in little memory."""
        grown = max(self.growth_mb, self.compile_growth_mb)
        return self.stopped == self.programs and self.overshoot_s <= PAST_S and grown < GROWTH_MB


class Growth:
    """How far this process's memory rises above what it was at the start: what one program leaves behind counts for
    all that come after it."""

    def __init__(self) -> None:
        gc.collect()
        self._start_mb = _memory("VmRSS")

    def reset(self) -> None:
        """The peak begins anew."""
        CLEAR.write_text("5", encoding="ascii")

    @property
    def mb(self) -> float:
        """The highest since the last `reset`."""
        return max(0.0, _memory("VmHWM") - self._start_mb)


def _memory(name: str) -> float:
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def measure(case: Case, interpreter: Interpreter, growth: Growth) -> Row:
    """One program's line."""
    growth.reset()
    end = run(case, interpreter)
    stopped = as_expected(case, end) and SECRET not in end.said
    return Row(case.kind, 1, int(stopped), max(0.0, end.seconds - LIMITS.cpu_s), growth.mb, worst=case.name)


def measure_compiling(case: Case, growth: Growth) -> Row:
    """How much compiling takes."""
    growth.reset()
    with contextlib.suppress(CompileError):
        compile_program(case.source, FUNCTIONS, name="p")
    return Row(case.kind, compile_growth_mb=growth.mb)


def table_of(rows: Iterable[Row]) -> Table:
    """For people."""
    table = Table("kind", "programs", "stopped", "over, s", "growth, MB", "by", "compiling, MB")
    for row in rows:
        table.add_row(
            row.kind, str(row.programs), str(row.stopped), f"{row.overshoot_s:.2f}", f"{row.growth_mb:.1f}",
            row.worst, f"{row.compile_growth_mb:.1f}",
        )  # fmt: skip
    return table


def main() -> int:
    """Measure, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--kinds", nargs="*", default=[], help="only these")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    options = parser.parse_args()
    if not CLEAR.exists():
        print("memory can be measured on Linux only")
        return 2
    rows: dict[str, Row] = {}
    warm = Case("", "", "def execute_command(image):\n    return ImagePatch(image).find('litter')\n", "")
    corpus = [c for c in (*cases("programs"), *source_bombs()) if not options.kinds or c.kind in options.kinds]
    with Interpreter(FUNCTIONS, LIMITS) as interpreter:
        run(warm, interpreter)
        growth = Growth()
        for case in corpus:
            rows.setdefault(case.kind, Row(case.kind)).add(measure(case, interpreter, growth))
    compile_program(warm.source, FUNCTIONS, name="p")
    growth = Growth()
    for case in corpus:
        rows[case.kind].add(measure_compiling(case, growth))
    total = Row("all")
    for row in rows.values():
        total.add(row)
    if options.json:
        print(json.dumps([asdict(row) for row in (*rows.values(), total)]))
    else:
        Console(width=120).print(table_of([*rows.values(), total]))
        print(
            f"cpu_s {LIMITS.cpu_s:g}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        )
    return 0 if total.meets_the_bars else 1


if __name__ == "__main__":
    sys.exit(main())
