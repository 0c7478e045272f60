"""DiCE's scaling experiment on the Ray backend: the same calls on 1, 2, 4 and 8 nodes of one GPU each.

    python benchmarks/ray_scale.py [--tasks 192] [--seconds 0.5] [--nodes 1 2 4 8] [--json]

The nodes are processes of this machine and their GPUs are pretended: a call takes its time asleep, so that one machine
can stand for many.  Every call goes through our batcher, one a batch, and through Ray to a replica that has a node's
GPU to itself.  Speed-up is over one node, efficiency that over the number of nodes.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass

from ray_backend import ask, batching, one_function

from dicem_cloud.ray_backend.cluster import Cluster, connected, load
from dicem_cloud.ray_backend.settings import RayConfig, ReplicasConfig
from dicem_shared.implementations import Work

WARM = 4
"""calls to each replica before the clock starts"""


@dataclass(frozen=True)
class Row:
    """One size of the cluster."""

    nodes: int
    seconds: float
    speed_up: float
    efficiency: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=192, help="calls")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each call")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--json", action="store_true", help="for machines")
    given = parser.parse_args()
    rows = measure(sorted(given.nodes), given.tasks, given.seconds)
    if given.json:
        print(json.dumps([vars(row) for row in rows], indent=2))
        return
    print(f"{given.tasks} calls of {given.seconds:g} s")
    for row in rows:
        print(f"{row.nodes:>3} nodes {row.seconds:8.2f} s {row.speed_up:6.2f} x  efficiency {row.efficiency:.2f}")


def measure(sizes: list[int], tasks: int, seconds: float) -> list[Row]:
    """A row for each number of nodes."""
    load()
    from ray.cluster_utils import Cluster as Nodes

    taken: dict[int, float] = {}
    with ExitStack() as stack:
        nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0, "include_dashboard": False})
        stack.callback(nodes.shutdown)
        for _ in range(sizes[-1]):
            nodes.add_node(num_cpus=1, num_gpus=1)
        cluster = stack.enter_context(connected(nodes.address))
        for size in sizes:
            taken[size] = run(cluster, nodes.address, size, tasks, seconds)
    first = taken[sizes[0]] * sizes[0]
    return [Row(size, one, first / one, first / one / size) for size, one in taken.items()]


def run(cluster: Cluster, address: str, size: int, tasks: int, seconds: float) -> float:
    """Seconds until all calls are answered by so many replicas."""
    rule = ReplicasConfig(min_replicas=size, max_replicas=size, num_gpus=1)
    with one_function(cluster, seconds, RayConfig(address=address, default=rule)) as backend:
        function = backend.functions["blip2"]
        while function.at_once < size:
            time.sleep(0.1)
        with batching(function, max_batch=1) as batcher:
            wait([ask(batcher, Work({"query": "warm"}), "v") for _ in range(WARM * size)])
            began = time.monotonic()
            asked = [ask(batcher, Work({"query": str(number)}), "v") for number in range(tasks)]
            answers = [future.result().outcome for future in asked]
            took = time.monotonic() - began
    assert answers == [{"output": str(number)} for number in range(tasks)]
    return took


if __name__ == "__main__":
    main()
