"""The litter mission at 5 %, 15 % and 50 % near litter, so that nobody has to trust one mix.

    python benchmarks/mixes.py [--link coastal-lte] [--seed 0]

Prints a table a mix and, for each, the figures that the project promises.  The 15 % recording is the shipped one; the
others are rendered on the spot.  Time and cost are simulated; every ratio comes from one run.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from dicem_simulators.scenes.mission import Mix, write_recording
from dicem_simulators.scoring import near_litter
from dicem_simulators.simulate import Result, Setting, simulate
from dicem_simulators.table import print_tables

MIXES = {"5 %": Mix(0.70, 0.25, 0.05), "15 %": None, "50 %": Mix(0.25, 0.25, 0.50)}
SEED = 5050


def promised(result: Result) -> list[tuple[str, str, bool]]:
    """What split promises against cloud-only: the promise, what was reached, whether it holds."""
    modes = result.summary()["modes"]
    base, ours = modes["cloud-only"], modes["split"]
    near = {f.info.sequence for f in result.frames if near_litter(f.truth)}
    elsewhere = sum(a.cost.cloud_s for n, a in result.answers["split"].items() if n not in near)
    sooner = base["latency_s"]["empty"]["p50"] / ours["latency_s"]["empty"]["p50"]
    uplink = ours["bytes_up"] / base["bytes_up"]
    lost = base["recall"] - ours["recall"]
    agreed = ours["agreement_litter"]
    return [
        ("median latency without litter at least 5x lower", f"{sooner:.1f}x", sooner >= 5),
        ("uplink bytes at most 10 %", f"{uplink:.1%}", uplink <= 0.10),
        ("no cloud seconds on frames without near litter", f"{elsewhere:.2f} s", elsewhere == 0),
        ("answers agree on at least 95 % of litter frames", f"{agreed:.1%}", agreed >= 0.95),
        ("recall at most 2 points below", f"{lost * 100:+.1f} points", lost <= 0.02),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--link", default="coastal-lte")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console(width=110)
    console.print(f"{platform.machine()}, Python {platform.python_version()}, simulation seed {arguments.seed}")
    all_hold = True
    with tempfile.TemporaryDirectory() as folder:
        for name, mix in MIXES.items():
            recording = "litter-mission"
            if mix is not None:
                recording = str(Path(folder) / f"mix-{name.split()[0]}")
                write_recording(Path(recording), SEED, 120, mix)
            started = time.monotonic()
            result = simulate(Setting(recording, link=arguments.link, seed=arguments.seed))
            console.print(f"\n[bold]{name} near litter[/bold], three modes in {time.monotonic() - started:.1f} s")
            print_tables(result, console)
            for promise, reached, holds in promised(result):
                console.print(f"  {'ok ' if holds else 'NOT'} {promise}: {reached}")
                all_hold = all_hold and holds
    sys.exit(0 if all_hold else 1)


if __name__ == "__main__":
    main()
