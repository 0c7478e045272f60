"""Holds generated programs against their compiled forms: `make verify`.

    python -m tests.codegen.generator [--first SEED] [--count 50000] [--jobs N] [--worlds 2] [--json]
    python -m tests.codegen.generator --seed SEED

Prints each program that means something else once compiled, as small as still shows it, and goes on; ends with 1 if
there was one.  What was done is not done again: `--first` goes on where an earlier run was stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from types import FrameType
from typing import NoReturn

from .program import generate
from .ranges import check_range
from .tally import Line, Tally

DIFFERENCES = 20


def main() -> int:
    """Check a range of seeds; 1 if there is a difference, 130 if somebody stopped it."""
    options = _options()
    if options.seed is not None:
        if not options.json:
            print(generate(options.seed).source)
        options.first, options.count, options.jobs = options.seed, 1, 1
    tally = Tally(options.first, options.count)
    line = Line(tally, sys.stderr)
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        stopping.append(number)  # an exception alone can be lost where nobody may raise one, as in a `__del__`
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        _check(options, tally, line, stopping)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the rest takes no time
    stopped = bool(stopping)
    line.end()
    print(tally.document() if options.json else tally.text())
    return 130 if stopped else int(bool(tally.differing))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.codegen.generator", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=50_000, help="how many programs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--worlds", type=int, default=2, help="worlds for each program, one of them without failures")
    parser.add_argument("--differences", type=int, default=DIFFERENCES, help="stop after so many")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, and programs to standard error")
    parser.add_argument("--seed", type=int, help="show the program of this seed and check it alone")
    options = parser.parse_args()
    if min(options.first, options.seed or 0) < 0:
        parser.error("--first and --seed must be 0 or more")
    if min(options.count, options.jobs, options.worlds, options.differences) < 1:
        parser.error("--count, --jobs, --worlds and --differences must be at least 1")
    return options


def _check(options: argparse.Namespace, tally: Tally, line: Line, stopping: Sequence[int]) -> None:
    with closing(check_range(options.first, options.count, jobs=options.jobs, worlds=options.worlds)) as checked:
        for each in checked:
            if stopping:
                return
            tally.add(each)
            if each.trouble:
                line.clear()
                print(f"{each.trouble}\n", file=sys.stderr if options.json else sys.stdout, flush=True)
                if len(tally.differing) >= options.differences:
                    return
            line.update()


if __name__ == "__main__":
    sys.exit(main())
