"""A few workers and more calls than they can take: what the best order of the calls could reach.

Any order that never leaves a worker idle while a call waits ends by `work/P + critical path` (Graham, 1966); the order
decides how near it comes to the optimum.

What runs programs chooses by a policy: `ranking` has them.  `policy_schedule` plays one on a graph.  `list_schedule`
takes the call with the longest way to the end first and knows the future, every call and every latency; `optimum` tries
all orders, for graphs of a dozen calls.  They say how good a policy is.
"""

from __future__ import annotations

from dataclasses import dataclass

from dicem_shared.runner import ProgramCall

from .ranking import Policy, Workers
from .verify.trace_graph import Graph, Play, Played

MAX_JOBS = 14
"""More than that are not tried out."""
_INFINITY = float("inf")
_NEARLY = 1 - 1e-12
_SOON = 1e-12


def list_schedule(graph: Graph, workers: int | None) -> Played:
    """The graph on `workers`, the call with the longest way to the end of the program first."""
    levels = graph.bottom_levels()
    return graph.run(workers, lambda node: levels[node.number])


def policy_schedule(graph: Graph, workers: int, policy: Policy) -> Played:
    """The graph on `workers`: each call can start as soon as what it waits for has ended, and a policy says which of
    those that wait goes first."""
    return _ByPolicy(graph, workers, policy).play()


class _ByPolicy(Play):
    def __init__(self, graph: Graph, workers: int, policy: Policy) -> None:
        super().__init__(graph, workers, lambda node: 0.0)
        self.policy = policy

    def next_job(self, now: float) -> int:
        waiting = [self.node[job] for *_, job in sorted(self.queue)]
        calls = [ProgramCall(number=n.number, id=str(n.number), function=n.function, params=n.params) for n in waiting]
        busy = tuple((self.node[job].function, now - self.started[job]) for _, job in self.under_way)
        chosen = self.policy(calls, Workers(self.free or 1, busy)).number
        self.queue = [each for each in self.queue if each[2] != chosen]
        return chosen


@dataclass(frozen=True)
class Job:
    """A call that is carried out; it can start once all of one of `after` have ended: equal calls are one, and any of
    them may be the first that can be made."""

    seconds: float
    after: tuple[frozenset[int], ...]

    @property
    def needs(self) -> frozenset[int]:
        """What must have ended whichever of them is the first."""
        return frozenset.intersection(*self.after)


def jobs_of(graph: Graph) -> dict[int, Job]:
    """The calls that are carried out, by the number of their first node."""
    needs: dict[int, frozenset[int]] = {}
    after: dict[int, list[frozenset[int]]] = {}
    for node in graph.nodes:
        own = {needed for number in node.after for needed in needs[number]}
        if node.kind == "call":
            if node.job not in own:
                after.setdefault(node.job, []).append(frozenset(own))
            own.add(node.job)
        needs[node.number] = frozenset(own)
    return {node.number: Job(node.seconds, tuple(after[node.number])) for node in graph.jobs}


def optimum(graph: Graph, workers: int, *, idle: bool = True) -> float:
    """The smallest makespan that any order reaches; with `idle` also one that leaves a worker idle while a call waits,
    because it knows that a more urgent one is about to.

    Branch and bound over the orders in which calls start.

    :raises ValueError: more calls than can be tried out, or no worker
    """
    jobs = jobs_of(graph)
    if len(jobs) > MAX_JOBS or workers < 1:
        raise ValueError(f"expected at most {MAX_JOBS} calls and a worker, got {len(jobs)} calls, {workers} workers")
    if not jobs:
        return 0.0
    search = _Search(jobs, workers, list_schedule(graph, workers).makespan_s, idle)
    search.place({}, (0.0,) * workers)
    return search.best


class _Search:
    """The tree of orders.  Calls are placed in the order in which they start; `free`: from when each worker can take
    the next, ascending."""

    def __init__(self, jobs: dict[int, Job], workers: int, best: float, idle: bool) -> None:
        self.jobs, self.workers, self.best, self.idle = jobs, workers, best, idle
        self.needs = {number: job.needs for number, job in jobs.items()}
        self.behind = {n: [m for m, needs in self.needs.items() if n in needs] for n in jobs}
        self.twins = {n: (job.seconds, job.after, self._named_in(n)) for n, job in jobs.items()}
        """equal for calls of which it does not matter which is first"""
        self.levels = self._levels()
        self.least = max(sum(job.seconds for job in jobs.values()) / workers, *self.levels.values())
        self.seen: dict[frozenset[int], list[tuple[float, ...]]] = {}

    def _named_in(self, number: int) -> tuple[tuple[int, int], ...]:
        """Where others name it among what they wait for."""
        return tuple((n, i) for n, job in self.jobs.items() for i, way in enumerate(job.after) if number in way)

    def _levels(self) -> dict[int, float]:
        """For each call, the least seconds from its start to the end of all."""
        levels: dict[int, float] = {}
        for number in sorted(self.jobs, key=lambda n: len(self.behind[n])):  # what stands behind others has fewer
            levels[number] = self.jobs[number].seconds + max((levels[m] for m in self.behind[number]), default=0.0)
        return levels

    def place(self, ends: dict[int, float], free: tuple[float, ...]) -> None:
        """Try every call that can be the next to start."""
        left = [number for number in self.jobs if number not in ends]
        if not left:
            self.best = min(self.best, max(ends.values()))
            return
        if self.best * _NEARLY <= self.least or self._bound(ends, free, left) >= self.best * _NEARLY:
            return
        if self._was_better(ends, free):
            return
        ready = [(max(free[0], self._ready_at(number, ends)), -self.levels[number], number) for number in left]
        tried, latest = set(), _INFINITY if self.idle else min(ready)[0] + _SOON
        for start, _, number in sorted(ready):
            if start < latest and self.twins[number] not in tried:
                tried.add(self.twins[number])
                end = start + self.jobs[number].seconds
                self.place({**ends, number: end}, tuple(sorted(max(start, time) for time in (*free[1:], end))))

    def _ready_at(self, number: int, ends: dict[int, float]) -> float:
        """When it can start, as far as that is known."""
        ways = [after for after in self.jobs[number].after if after <= ends.keys()]
        return min((max((ends[n] for n in way), default=0.0) for way in ways), default=_INFINITY)

    def _bound(self, ends: dict[int, float], free: tuple[float, ...], left: list[int]) -> float:
        """No order of what is left ends sooner."""
        by_work = (sum(free) + sum(self.jobs[n].seconds for n in left)) / self.workers
        by_path = max(
            max([free[0], *(ends[n] for n in self.needs[number] if n in ends)]) + self.levels[number] for number in left
        )
        return max(by_work, by_path)

    def _was_better(self, ends: dict[int, float], free: tuple[float, ...]) -> bool:
        """Whether the same calls were placed before, none of them later and no worker free later.  Where no worker may
        be idle, sooner can be worse: then only the same counts."""
        now = (*free, *(ends[number] for number in sorted(ends)))
        before = self.seen.setdefault(frozenset(ends), [])
        if any(all(a <= b if self.idle else a == b for a, b in zip(then, now, strict=True)) for then in before):
            return True
        before.append(now)
        return False
