"""What Ray costs: full batches through a replica, and a call of a function that does nothing.

    python benchmarks/ray_backend.py [--seconds 10] [--kill] [--json]

Everything goes through our batcher and one replica of a Ray that is started for it.  The function is a device that is
busy for 30 ms a batch of up to 8 (it sleeps), and 32 callers have one call each at a time.

- text: calls with a prompt; calls a second over the ceiling of 8 / 30 ms.
- images: the same with 224 x 224 pixels in each call, which cross to the replica.
- no-op: a call of a function that does nothing, alone; median and 95th percentile.
- --kill: two nodes, a replica on each, and the second node is taken away under load: what became of every call.

Exits with 1 where the bar of the project (75 % of the ceiling) is missed, or a call was lost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
from cloud import calls_per_s

from dicem_cloud.batcher import Batcher, Done
from dicem_cloud.ray_backend.backend import RayBackend, serving, wanting
from dicem_cloud.ray_backend.cluster import Cluster, connected, load
from dicem_cloud.ray_backend.settings import RayConfig, ReplicasConfig
from dicem_cloud.waiting import Bounds, Flow
from dicem_shared import catalog
from dicem_shared.clock import SystemClock
from dicem_shared.errors import DicemError
from dicem_shared.functions import Batch
from dicem_shared.implementations import Implementation, Work
from dicem_shared.patches import Patch
from dicem_shared.types import FrameInfo, ModelId

BATCH_S, BATCH, CALLERS = 0.030, 8, 32
CEILING = BATCH / BATCH_S
BAR = 0.75
CLOCK = SystemClock()


class Busy(Implementation):
    """A device that is busy for `seconds` a batch."""

    model = ModelId(function="blip2", name="sleeper", sha256="0" * 64)

    def __init__(self, seconds: float) -> None:
        self.spec = replace(catalog.blip2, batch=Batch(BATCH, 0.005))
        self._seconds = seconds

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        if self._seconds:
            time.sleep(self._seconds)
        return [{"output": work.params.get("query", "")} for work in batch]


@dataclass(frozen=True)
class Source:
    """Makes the function in the replica."""

    seconds: float

    def __call__(self) -> Mapping[str, Implementation]:
        """One function."""
        return {"blip2": Busy(self.seconds)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--kill", action="store_true", help="take a node away, instead of measuring")
    parser.add_argument("--json", action="store_true", help="for machines")
    given = parser.parse_args()
    figures = kill(given.seconds) if given.kill else measure(given.seconds)
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:>28}  {value}")
    good = figures["lost"] == 0 if given.kill else figures["text of the ceiling"] >= BAR
    sys.exit(0 if good else 1)


def measure(seconds: float) -> dict[str, Any]:
    """The figures of one replica on a Ray of our own."""
    figures: dict[str, Any] = {}
    with connected(None) as cluster:
        with one_function(cluster, BATCH_S, RayConfig()) as backend:
            function = backend.functions["blip2"]
            text, images = (lambda n: Work({"query": str(n)})), picture
            for name, work in (("text", text), ("images", images)):
                per_s = throughput(function, work, seconds)
                figures[f"{name}, calls a second"] = round(per_s, 1)
                figures[f"{name} of the ceiling"] = round(per_s / CEILING, 3)
        with one_function(cluster, 0.0, RayConfig()) as backend:
            function = backend.functions["blip2"]
            taken = sorted(alone(function) for _ in range(1000))
            figures["no-op, median ms"] = round(1e3 * statistics.median(taken), 2)
            figures["no-op, 95 % ms"] = round(1e3 * taken[int(0.95 * len(taken))], 2)
    return figures


def one_function(cluster: Cluster, seconds: float, settings: RayConfig) -> Any:
    """A function that takes so long a batch, on replicas."""
    wanted = wanting("blip2", Source(seconds), replicas=settings, version=f"bench{seconds}".replace(".", "p"))
    return serving(cluster, [wanted], settings)


def picture(number: int) -> Work:
    """A call with 150 kB of pixels."""
    pixels = np.full((224, 224, 3), number % 256, dtype=np.uint8)
    frame = FrameInfo(camera="bow", sequence=number, t_utc=0.0, blob="0" * 64, width=224, height=224)
    return Work({"query": str(number), "image": Patch(pixels, frame.handle.box, frame)})


def throughput(function: Implementation, work: Callable[[int], Work], seconds: float) -> float:
    """Calls a second of 32 callers."""
    with batching(function) as batcher:
        return calls_per_s(lambda number: ask(batcher, work(number), f"v{number}").result(), seconds, warm_s=2.0)


def batching(function: Implementation, max_batch: int = BATCH) -> Batcher:
    """The batcher that stands in front of it in a gateway."""
    bounds = Bounds(max_batch, function.spec.batch.max_wait_s, 1024)
    return Batcher(function, bounds, CLOCK, at_once=lambda: function.at_once)


def ask(batcher: Batcher, work: Work, vehicle: str) -> Future[Done]:
    """One call."""
    return batcher.submit(lambda: work, Flow(vehicle), deadline_s=CLOCK.monotonic() + 600.0)


def alone(function: Implementation) -> float:
    """Seconds of one call without any batching."""
    began = time.perf_counter()
    function.run([Work({"query": "?"})])
    return time.perf_counter() - began


def kill(seconds: float) -> dict[str, Any]:
    """Two nodes; the second goes while 32 callers ask."""
    load()
    from ray.cluster_utils import Cluster as Nodes  # type: ignore[import-untyped, unused-ignore]

    with ExitStack() as stack:
        nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        stack.callback(nodes.shutdown)
        second = nodes.add_node(num_cpus=1)
        settings = RayConfig(
            address=nodes.address, default=ReplicasConfig(min_replicas=2, max_replicas=2, num_cpus=0.9)
        )
        cluster = stack.enter_context(connected(settings.address))
        backend: RayBackend = stack.enter_context(one_function(cluster, BATCH_S, settings))
        while backend.functions["blip2"].remote.up < 2:
            time.sleep(0.1)
        return under_load(backend, seconds, lambda: nodes.remove_node(second, allow_graceful=False))


def under_load(backend: RayBackend, seconds: float, strike: Callable[[], None]) -> dict[str, Any]:
    """Callers ask; in the middle of it something is taken away.  Gives what became of every call."""
    function = backend.functions["blip2"]
    numbers, asked, answers = count(), [0] * CALLERS, Counter[str]()
    slowest, over, lock = [0.0], threading.Event(), threading.Lock()
    with batching(function) as batcher:

        def caller(me: int) -> None:
            while not over.is_set():
                number, began = next(numbers), time.monotonic()
                asked[me] += 1
                try:
                    outcome = ask(batcher, Work({"query": str(number)}), f"v{me}").result().outcome
                except DicemError as error:
                    outcome = error
                right = outcome == {"output": str(number)}
                with lock:
                    answers["right" if right else type(outcome).__name__] += 1
                    slowest[0] = max(slowest[0], time.monotonic() - began)

        threads = [threading.Thread(target=caller, args=(me,)) for me in range(CALLERS)]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 2)
        strike()
        time.sleep(seconds / 2)
        over.set()
        for thread in threads:
            thread.join()
    return {
        "calls": sum(asked), **{f"answered: {kind}": number for kind, number in answers.items()},
        "lost": sum(asked) - answers["right"], "batches sent again": function.retries,
        "slowest call, s": round(slowest[0], 2),
    }  # fmt: skip


if __name__ == "__main__":
    main()
