"""What the cloud adds to its functions: full batches, a short way for those who matter, memory that stays flat.

    python benchmarks/cloud.py [--seconds 10] [--overload 60] [--json]        (`make bench-cloud`)

Everything goes through `Service`, as MQTT and HTTP call it, in this process.  The function is a device that is busy for
30 ms a batch of up to 8 (it sleeps, so this machine's cores are free for what is measured).

- batched: 32 callers, each with one call at a time; calls a second over the ceiling of 8 / 30 ms.
- no-op: a call of a function that does nothing, over the bare function; the difference of the medians.
- overload: 3 times the ceiling is offered for --overload seconds, one sixth of it live (priority 2) and the rest
  survey work (priority 8).  The live calls' latency over the same live calls alone, what became of all of them, and
  this process's memory.

Exits with 1 where a bar of the project is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

from rich.console import Console
from rich.table import Table

from dicem_cloud.gateway import Gateway
from dicem_cloud.service import Service
from dicem_shared import catalog
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.clock import SystemClock
from dicem_shared.functions import Batch
from dicem_shared.ids import blob_id
from dicem_shared.implementations import Implementation, Work
from dicem_shared.types import FrameInfo, ModelId, Reply, Request

BATCH_S, BATCH, CALLERS = 0.030, 8, 32
CEILING = BATCH / BATCH_S
LIVE, SURVEY = 2, 8
DEADLINE_S = 10.0
"""of every call in the overload"""
BARS = {"batched": 0.98, "no-op ms": 0.1, "live latency": 2.0, "memory MB": 50.0}

CLOCK = SystemClock()
FRAME = FrameInfo(camera="bow", sequence=0, t_utc=CLOCK.utc(), blob=blob_id(b""), width=1, height=1)
NUMBERS = count()


class Busy(Implementation):
    """A device that is busy for `seconds` a batch."""

    model = ModelId(function="llm", name="sleeper", sha256="0" * 64)

    def __init__(self, seconds: float, batch: Batch) -> None:
        self.spec, self._seconds = replace(catalog.llm, batch=batch), seconds

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        if self._seconds:
            time.sleep(self._seconds)
        return [{"output": ""} for _ in batch]


@dataclass
class Figures:
    """What is printed."""

    batched_per_s: float = 0.0
    ceiling_per_s: float = CEILING
    noop_ms: float = 0.0
    bare_ms: float = 0.0
    live_alone_ms: tuple[float, float] = (0.0, 0.0)
    """median and 95th percentile"""
    live_overloaded_ms: tuple[float, float] = (0.0, 0.0)
    offered: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    memory_mb: tuple[float, float] = (0.0, 0.0)
    """after a tenth of the overload, and the most after that"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the batched part")
    parser.add_argument("--overload", type=float, default=60.0, help="seconds of it")
    parser.add_argument("--json", action="store_true", help="for machines")
    given = parser.parse_args()
    figures = Figures()
    figures.batched_per_s = batched(given.seconds)
    figures.bare_ms, figures.noop_ms = noop()
    overload(figures, given.overload)
    rows = judged(figures)
    if given.json:
        print(json.dumps({"machine": machine(), "figures": asdict(figures), "bars": BARS}, indent=2))
    else:
        show(rows)
    sys.exit(0 if all(met for *_, met in rows) else 1)


def serving(implementation: Implementation) -> Service:
    """A cloud of one function."""
    return Service(Gateway({"llm": implementation}, MemoryBlobStore(CLOCK), CLOCK))


def request(*, priority: int = 5, vehicle: str = "boat", deadline_s: float = 60.0) -> Request:
    """A new call."""
    return Request(
        call_id=f"{next(NUMBERS):032x}", vehicle=vehicle, program="bench", frame=FRAME, function="llm",
        params={"prompt": "?"}, deadline_utc=CLOCK.utc() + deadline_s, priority=priority, reply_topic="",
    )  # fmt: skip


def batched(seconds: float) -> float:
    """Calls a second of 32 callers."""
    with serving(Busy(BATCH_S, Batch(BATCH, 0.005))) as service:

        def ask(number: int) -> object:
            return service.submit(request(vehicle=f"v{number}"), vehicle=f"v{number}").result()

        return calls_per_s(ask, seconds)


def calls_per_s(ask: Callable[[int], object], seconds: float, *, warm_s: float = 1.0) -> float:
    """Calls a second of 32 callers, each with one call at a time; `ask` makes one of a caller's."""
    over, done = threading.Event(), [0] * CALLERS

    def caller(number: int) -> None:
        while not over.is_set():
            ask(number)
            done[number] += 1

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    time.sleep(warm_s)
    before, began = sum(done), time.monotonic()
    time.sleep(seconds)
    per_s = (sum(done) - before) / (time.monotonic() - began)
    over.set()
    for thread in threads:
        thread.join()
    return per_s


def noop(calls: int = 5000) -> tuple[float, float]:
    """Median ms of the bare function, and of a call of it."""
    nothing = Busy(0.0, Batch(1, 0.0))
    work = Work({"prompt": "?"})
    with serving(nothing) as service:
        requests = [request() for _ in range(calls)]
        bare = [timed(lambda: nothing.run([work])) for _ in range(calls)]
        through = [timed(partial(service.call, one, vehicle="boat")) for one in requests]
    return 1000 * statistics.median(bare), 1000 * statistics.median(through)


def timed(action: Any) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@dataclass
class Offered:
    """Calls of one kind, and how they ended."""

    name: str
    priority: int
    per_s: float
    latencies: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    offered: int = 0

    def send(self, service: Service) -> None:
        """One more."""
        began = time.monotonic()
        vehicle = f"v{self.offered % 16}"
        self.offered += 1
        one = request(priority=self.priority, vehicle=vehicle, deadline_s=DEADLINE_S)

        def ended(future: Future[Reply]) -> None:
            error = future.exception()
            self.ends["answered" if error is None else type(error).__name__] += 1
            if error is None:
                self.latencies.append(time.monotonic() - began)

        service.submit(one, vehicle=vehicle).add_done_callback(ended)


def overload(figures: Figures, seconds: float) -> None:
    """Live calls alone, then among three times what the function can do."""
    live = CEILING / 2
    alone = Offered("live", LIVE, live)
    offer([alone], min(seconds, 10.0))
    figures.live_alone_ms = spread(alone.latencies)
    kinds = [Offered("live", LIVE, live), Offered("survey", SURVEY, 3 * CEILING - live)]
    figures.memory_mb = offer(kinds, seconds)
    figures.live_overloaded_ms = spread(kinds[0].latencies)
    figures.offered = {kind.name: kind.offered for kind in kinds}
    figures.ended = {f"{kind.name} {end}": number for kind in kinds for end, number in sorted(kind.ends.items())}


def offer(kinds: list[Offered], seconds: float) -> tuple[float, float]:
    """Send all of them at their own pace, whatever becomes of them; memory in MB early on, and the most after that."""
    began = time.monotonic()
    early, most = 0.0, 0.0
    with serving(Busy(BATCH_S, Batch(BATCH, 0.005))) as service:
        while (passed := time.monotonic() - began) < seconds:
            for kind in kinds:
                while kind.offered < passed * kind.per_s:
                    kind.send(service)
            if passed < seconds / 10:
                early = resident_mb()
            else:
                most = max(most, resident_mb())
            time.sleep(0.002)
        deadline = time.monotonic() + DEADLINE_S + 5
        while any(kind.ends.total() < kind.offered for kind in kinds) and time.monotonic() < deadline:
            time.sleep(0.01)
    return early, most


def resident_mb() -> float:
    """This process's memory, MB (10^6 bytes)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def spread(latencies: list[float]) -> tuple[float, float]:
    """Median and 95th percentile in ms."""
    ordered = sorted(latencies)
    return 1000 * statistics.median(ordered), 1000 * ordered[int(0.95 * (len(ordered) - 1))]


def judged(figures: Figures) -> list[tuple[str, str, str, bool]]:
    """What, how much, the bar, and whether it is met."""
    share = figures.batched_per_s / figures.ceiling_per_s
    over_ms = figures.noop_ms - figures.bare_ms
    live = [after / before for before, after in zip(figures.live_alone_ms, figures.live_overloaded_ms, strict=True)]
    early, most = figures.memory_mb
    unanswered = sum(figures.offered.values()) - sum(figures.ended.values())
    lost = unanswered + figures.ended.get("live CallTimeout", 0)
    ends = ", ".join(f"{number} {end}" for end, number in figures.ended.items())
    batches = f"{figures.batched_per_s:.0f}/s, {share:.1%} of {CEILING:.0f}/s"
    latency = f"median {live[0]:.2f}x ({figures.live_overloaded_ms[0]:.0f} ms), p95 {live[1]:.2f}x"
    return [
        ("batched, 32 callers", batches, ">= 98 %", share >= BARS["batched"]),
        ("a no-op call over the bare function, median", f"{over_ms:.3f} ms", "<= 0.1 ms", over_ms <= BARS["no-op ms"]),
        ("overload: live calls' latency over alone", latency, "<= 2x", max(live) <= BARS["live latency"]),
        ("overload: how calls ended", ends, "all, no live one late", lost == 0),
        (
            "overload: memory grown",
            f"{most - early:+.1f} MB on {early:.0f} MB",
            "flat",
            most - early <= BARS["memory MB"],
        ),
    ]


def machine() -> str:
    """Where this was measured."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def show(rows: list[tuple[str, str, str, bool]]) -> None:
    """The table."""
    table = Table("", "measured", "bar", "met", title=f"the cloud in process, {machine()}", title_justify="left")
    for what, measured, bar, met in rows:
        table.add_row(what, measured, bar, "yes" if met else "NO")
    Console(width=140 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    main()
