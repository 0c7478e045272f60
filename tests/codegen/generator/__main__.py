"""Holds generated programs against their compiled forms: `make verify`.

    python -m tests.codegen.generator [--first SEED] [--count 50000] [--jobs N] [--worlds 2]
    python -m tests.codegen.generator --seed SEED

Ends with 1 at the first program that means something else once compiled, and prints a small one that does so too.
What was done is not done again: `--first` goes on where an earlier run was stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dicem_codegen.verify import Verifier

from .checking import Trouble, report
from .program import generate
from .ranges import check_range
from .rows import ROWS


def main() -> int:
    """Check a range of seeds; 1 if there is a difference."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.codegen.generator", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=50_000, help="how many programs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--worlds", type=int, default=2, help="worlds for each program, one of them without failures")
    parser.add_argument("--seed", type=int, help="show the program of this seed and check it alone")
    options = parser.parse_args()
    if options.first < 0 or min(options.count, options.jobs, options.worlds) < 1:
        parser.error("--first must be 0 or more, --count, --jobs and --worlds at least 1")
    if options.seed is not None:
        print(generate(options.seed).source)
        options.first, options.count, options.jobs = options.seed, 1, 1
    rows: Counter[str] = Counter()
    trouble = _check(options, rows)
    if trouble is not None:
        with Verifier() as verifier:
            print(report(verifier, trouble))
        return 1
    print(f"{options.count} programs from seed {options.first} on: no difference")
    if options.seed is None:
        print("programs that reach a row: " + ", ".join(f"{row} {rows[row]}" for row in ROWS))
    return 0


def _check(options: argparse.Namespace, rows: Counter[str]) -> Trouble | None:
    done = 0
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as bars:
        bar = bars.add_task("programs", total=options.count)

        def progress(count: int) -> None:
            nonlocal done
            done = count
            bars.update(bar, completed=count)

        try:
            return check_range(
                options.first, options.count, jobs=options.jobs, worlds=options.worlds, rows=rows, progress=progress
            )
        except KeyboardInterrupt:
            bars.stop()
            first, left = options.first + done, options.count - done
            print(f"stopped after {done} programs; go on with --first {first} --count {left}", file=sys.stderr)
            sys.exit(130)


if __name__ == "__main__":
    sys.exit(main())
