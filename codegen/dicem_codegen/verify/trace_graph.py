"""The oracle's graph: the calls that a serial run made, and what each of them had to wait for.

Equal pure calls are one call: the later ones share the result of the first that is made.  `run` plays the graph on any
number of workers; with enough of them, the end is the critical path.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Node:
    """A call that was made, or something that was printed."""

    number: int
    """from 1, in the order of the serial run"""
    kind: Literal["call", "print"]
    function: str
    params: dict[str, Any] = field(hash=False)
    occurrence: int = 0
    """how many equal calls there were before"""
    pure: bool = True
    line: int = 0
    failed: bool = False
    data: tuple[int, ...] = ()
    """the nodes that its arguments come from"""
    control: tuple[int, ...] = ()
    """the nodes that decided that it is made"""
    effects: tuple[int, ...] = ()
    """of an impure call or a print: what must have ended before, because it has an effect or might have failed"""
    same_as: int | None = None
    """the earlier, equal, pure call whose result it shares"""
    seconds: float = 0.0
    where: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """the functions that were under way, by number, and the statement that each was at; outermost first"""

    @property
    def after(self) -> frozenset[int]:
        """All that it waits for."""
        return frozenset(self.data) | frozenset(self.control) | frozenset(self.effects)

    @property
    def job(self) -> int:
        """The number of the call that is carried out for it."""
        return self.number if self.same_as is None else self.same_as


@dataclass(frozen=True)
class Graph:
    """The nodes in the order of the serial run: each waits for earlier ones only."""

    nodes: tuple[Node, ...]

    @property
    def calls(self) -> tuple[Node, ...]:
        """Those that are calls."""
        return tuple(node for node in self.nodes if node.kind == "call")

    @property
    def jobs(self) -> tuple[Node, ...]:
        """The calls that are carried out: of equal ones the first."""
        return tuple(node for node in self.calls if node.same_as is None)

    @property
    def work_seconds(self) -> float:
        """What one worker would take."""
        return sum(node.seconds for node in self.jobs)

    @property
    def serial_seconds(self) -> float:
        """What the serial program takes: each call, one after the other."""
        return sum(node.seconds for node in self.nodes)

    def bottom_levels(self) -> dict[int, float]:
        """For each node, the seconds from its start to the end of all that waits for it, with enough workers."""
        levels: dict[int, float] = {}
        behind: dict[int, float] = defaultdict(float)
        for node in reversed(self.nodes):
            own = node.seconds if node.same_as is None else 0.0
            levels[node.number] = own + behind[node.number]
            for earlier in node.after:
                behind[earlier] = max(behind[earlier], levels[node.number])
        for node in self.nodes:  # who shares a call stands behind it
            if node.same_as is not None:
                levels[node.same_as] = max(levels[node.same_as], self_seconds(self, node.same_as) + behind[node.number])
        return levels

    def run(self, workers: int | None = None, priority: Callable[[Node], float] | None = None) -> Played:
        """Carry it out.  A call starts when what it waits for has ended and one of `workers` is free (None: there is
        always one); of several that wait, the one of highest `priority` first, of equals the earliest in the program.
        """
        return Play(self, workers, priority or (lambda node: 0.0)).play()

    def text(self) -> str:
        """A line a node."""
        return "\n".join(_line(node) for node in self.nodes)


def self_seconds(graph: Graph, number: int) -> float:
    """How long a node takes."""
    return graph.nodes[number - 1].seconds


def _line(node: Node) -> str:
    said = ", ".join(
        f"{key}={value['box'] if isinstance(value, dict) else value!r}" for key, value in node.params.items()
    )
    parts = [f"{node.number:3} line {node.line}: {node.function}({said})"]
    for name in ("data", "control", "effects"):
        numbers = getattr(node, name)
        if numbers:
            parts.append(f"{name} {' '.join(map(str, numbers))}")
    if node.same_as:
        parts.append(f"the same as {node.same_as}")
    return "; ".join(parts)


@dataclass(frozen=True)
class Played:
    """When everything happened; seconds from the start of the program."""

    makespan_s: float
    started: dict[int, float]
    """of each job"""
    ended: dict[int, float]
    """of each node"""
    path: tuple[int, ...]
    """the nodes that the last one to end had to wait for, one after the other, first to last"""


class Play:
    """An event simulation; `job`s are carried out, nodes end when their job and all that they wait for have."""

    def __init__(self, graph: Graph, workers: int | None, priority: Callable[[Node], float]) -> None:
        self.graph, self.free, self.priority = graph, workers, priority
        self.node = {node.number: node for node in graph.nodes}
        self.waits = {node.number: len(node.after) for node in graph.nodes}
        self.dependants: dict[int, list[int]] = defaultdict(list)
        for node in graph.nodes:
            for earlier in node.after:
                self.dependants[earlier].append(node.number)
        self.queue: list[tuple[float, int, int]] = []
        self.under_way: list[tuple[float, int]] = []
        self.started: dict[int, float] = {}
        self.ended: dict[int, float] = {}
        self.asked: dict[int, list[int]] = defaultdict(list)
        self.job_ended: set[int] = set()
        self.cause: dict[int, int] = {}

    def play(self) -> Played:
        """From the start of the program to its end."""
        now = 0.0
        for node in self.graph.nodes:
            if not node.after:
                self._ready(node, now)
        self._start(now)
        while self.under_way:
            now = self.under_way[0][0]
            while self.under_way and self.under_way[0][0] == now:
                _, job = heapq.heappop(self.under_way)
                if self.free is not None:
                    self.free += 1
                self.job_ended.add(job)
                for number in self.asked[job]:
                    self._end(self.node[number], now)
            self._start(now)
        if len(self.ended) != len(self.graph.nodes):
            raise AssertionError("a graph that waits for itself")
        return Played(now, self.started, self.ended, self._path())

    def _ready(self, node: Node, now: float) -> None:
        if node.kind == "print" or node.job in self.job_ended:
            self._end(node, now)
            return
        if node.job not in self.asked:
            heapq.heappush(self.queue, (-self.priority(self.node[node.job]), node.number, node.job))
        self.asked[node.job].append(node.number)

    def next_job(self, now: float) -> int:
        """Of those that wait, the one to start; it leaves the queue."""
        return heapq.heappop(self.queue)[2]

    def _start(self, now: float) -> None:
        while self.queue and (self.free is None or self.free > 0):
            job = self.next_job(now)
            self.started[job] = now
            heapq.heappush(self.under_way, (now + self.node[job].seconds, job))
            if self.free is not None:
                self.free -= 1

    def _end(self, node: Node, now: float) -> None:
        self.ended[node.number] = now
        for number in self.dependants[node.number]:
            self.waits[number] -= 1
            if not self.waits[number]:
                self.cause[number] = node.number
                self._ready(self.node[number], now)

    def _path(self) -> tuple[int, ...]:
        if not self.ended:
            return ()
        number: int | None = max(self.ended, key=lambda n: (self.ended[n], n))
        path: list[int] = []
        while number is not None:
            path.append(number)
            asked = self.asked.get(self.node[number].job)
            number = self.cause.get(asked[0] if asked else number)
        return tuple(reversed(path))


def speedup(graph: Graph, workers: Sequence[int]) -> dict[int, float]:
    """Work over makespan by list scheduling, for each number of workers."""
    levels = graph.bottom_levels()
    return {p: graph.work_seconds / graph.run(p, lambda node: levels[node.number]).makespan_s for p in workers}
