"""What a choice of sites comes to: one pass over the jobs, on one edge, one uplink and one cloud.

A device with several slots is a queue that is so many times as fast; a call still takes its own time.  The uplink
carries one message after the other.  The calls of a loop follow each other closely: the first is on its way before the
last is encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .jobs import FRAME, Job, World

EDGE, CLOUD, NOWHERE = 0, 1, -1
EPSILON = 1e-9
"""below this, two plans are equally good"""


@dataclass(slots=True)
class State:
    """How far everything is."""

    edge: float
    encoder: float
    uplink: float
    cloud: float
    """when each has done what it was given so far"""
    end: float
    """of the last job so far"""
    end_at_best: float
    """when all could have ended if what is left had everything to itself"""
    usd: float
    bytes_up: float
    on_board: frozenset[int]
    """the models in the edge's memory"""
    seen: list[float]
    """of each key, the probability that its pixels have gone to the cloud"""

    def copy(self, seen: list[float]) -> State:
        """One that goes on by itself, with `seen` for its own."""
        return State(
            self.edge, self.encoder, self.uplink, self.cloud, self.end, self.end_at_best, self.usd, self.bytes_up,
            self.on_board, seen,
        )  # fmt: skip


class _InCloud(NamedTuple):
    """What a job takes in the cloud, ready for `Schedule.play`; see `jobs.Figures`."""

    share: float
    encode_s: float
    up_s: float
    pixels_up_s: float
    go_s: float
    pixels_go_s: float
    work_s: float
    call_s: float
    back_s: float
    usd: float
    pixels_usd: float
    bytes_up: float
    pixels_up: float
    key: int
    upto: float
    p: float


class Schedule:
    """The jobs with all that does not depend on the choice.

    `jobs` are put as they become ready where nothing has to wait for a device; `before` are the indexes of those that
    each waits for, `tail[i]` is how long what follows a job takes at least.
    """

    def __init__(self, jobs: Sequence[Job], world: World) -> None:
        self.world = world
        self.start_s = world.edge.program_s
        self.link_s = self.start_s + world.starts_in_s
        self.usd_s = world.cloud.usd_per_hour / 3600
        self.usd_byte = world.link.usd_per_mb / 1e6
        self.ends = [0.0] * len(jobs)
        self._order(jobs)
        self.free = [i for i, job in enumerate(self.jobs) if len(job.sites) == 2]
        self.fixed = [
            NOWHERE if len(job.sites) != 1 else EDGE if job.sites == ("edge",) else CLOUD for job in self.jobs
        ]
        self.keys = 1 + max([FRAME, *(job.key for job in jobs)])
        self._know_models(world)

    def _order(self, jobs: Sequence[Job]) -> None:
        """Put the jobs in the order in which they become ready."""
        shortest = []
        in_cloud = []
        for job in jobs:
            cloud = self._in_cloud(job)
            in_cloud.append(cloud)
            times = [job.figures.edge_alone_s if site == "edge" else _alone(cloud, 0.0) for site in job.sites]
            shortest.append(min(times, default=0.0))
        ready = [0.0] * len(jobs)
        for i, job in enumerate(jobs):
            if job.before:
                ready[i] = max([ready[b] + shortest[b] for b in job.before])
        order = sorted(range(len(jobs)), key=ready.__getitem__)
        place = {old: new for new, old in enumerate(order)}
        self.jobs = [jobs[i] for i in order]
        self.before = [tuple([place[b] for b in job.before]) for job in self.jobs]
        self.shortest = [shortest[i] for i in order]
        self.in_cloud = [in_cloud[i] for i in order]
        self.on_edge = [(job.figures.edge_s, job.figures.edge_alone_s) for job in self.jobs]
        self.tail = [0.0] * len(jobs)
        for i in range(len(jobs) - 1, -1, -1):
            after = self.shortest[i] + self.tail[i]
            for b in self.before[i]:
                self.tail[b] = max(self.tail[b], after)

    def _in_cloud(self, job: Job) -> _InCloud:
        of = job.figures
        return _InCloud(
            of.first_share, of.encode_s, of.up_s, of.pixels_up_s, of.go_s, of.pixels_go_s,
            of.cloud_s / self.world.cloud.slots, of.cloud_call_s, of.back_s,
            of.cloud_s * self.usd_s + (of.bytes_up + of.bytes_down) * self.usd_byte, of.pixels_up * self.usd_byte,
            of.bytes_up, of.pixels_up, job.key, job.upto, job.p,
        )  # fmt: skip

    def _know_models(self, world: World) -> None:
        """Number the functions and note what their models take on board."""
        self.functions = sorted({job.function for job in self.jobs})
        number = {name: i for i, name in enumerate(self.functions)}
        self.model = [number[job.function] for job in self.jobs]
        self.always = frozenset(self.model[i] for i, site in enumerate(self.fixed) if site == EDGE)
        """the models that are on board whatever is chosen"""
        known, limit = world.edge.functions, world.constraints.edge_memory_mb
        self.memory = [known[name].memory_mb if name in known else 0.0 for name in self.functions]
        self.memory_limit = world.edge.memory_mb if limit is None else limit

    def cloud_alone(self, i: int, unsent: float) -> float:
        """Seconds of a job in the cloud with everything to itself, if that part of its pixels is still to be sent."""
        return _alone(self.in_cloud[i], unsent)

    def start(self) -> State:
        """Before the first job."""
        best = max([s + t for s, t in zip(self.shortest, self.tail, strict=True)], default=0.0)
        now = self.start_s
        return State(now, now, now, now, now, now + best, 0.0, 0.0, self.always, [0.0] * self.keys)

    def play(self, state: State, first: int, last: int, at: Sequence[int] | Mapping[int, int]) -> None:
        """Let the jobs from `first` up to `last` take place where `at` says."""
        before, ends, tail, start = self.before, self.ends, self.tail, self.start_s
        for i in range(first, last):
            ready = start
            for b in before[i]:
                if ends[b] > ready:  # noqa: PLR1730  (`max` takes five times as long, and this is the innermost loop)
                    ready = ends[b]
            site = at[i]
            if site == CLOUD:
                end = self._there(state, self.in_cloud[i], ready)
            elif site == EDGE:
                work, alone = self.on_edge[i]
                state.edge = (state.edge if state.edge > ready else ready) + work
                end = state.edge if state.edge > ready + alone else ready + alone
                if self.model[i] not in state.on_board:
                    state.on_board |= {self.model[i]}
            else:
                end = ready
            ends[i] = end
            if end > state.end:  # noqa: PLR1730
                state.end = end
            if end + tail[i] > state.end_at_best:  # noqa: PLR1730
                state.end_at_best = end + tail[i]

    def _there(self, state: State, of: _InCloud, ready: float) -> float:
        """Encode, send, compute, and send back; when the last reply is in."""
        share, encode, up, pixels_up, go, pixels_go, work, call, back, usd, pixels_usd, size, pixels, key, *_ = of
        first = last = ready
        if key >= 0:
            unsent = self.unsent(state, of)
            seen = state.seen
            if of.upto > seen[key]:  # noqa: PLR1730
                seen[key] = of.upto
            if unsent:
                begin = state.encoder if state.encoder > ready else ready
                state.encoder = last = begin + unsent * encode
                first = begin + unsent * encode * share
                up += unsent * pixels_up
                go += unsent * pixels_go
                usd += unsent * pixels_usd
                size += unsent * pixels
        begin = max(state.uplink, first, self.link_s)
        state.uplink = max(begin + up, last + up * share)
        first, last = begin + up * share + go, state.uplink + go
        begin = state.cloud if state.cloud > first else first
        state.cloud = max(begin + work, last + work * share)
        state.usd += usd
        state.bytes_up += size
        done = last + call
        return (state.cloud if state.cloud > done else done) + back

    def unsent(self, state: State, of: _InCloud) -> float:
        """The part of a job's pixels that the cloud does not have yet.

        What is reached less often is taken to be reached only where what is reached more often is: then the pixels of
        the second went with the first.  The whole frame holds all crops.
        """
        if of.key < 0 or of.p == 0:
            return 0.0
        seen = state.seen
        missing = of.upto - max(seen[of.key], seen[FRAME])
        return 0.0 if missing <= 0 else min(missing / of.p, 1.0)

    def memory_of(self, state: State) -> float:
        """MB that the models on board take."""
        return sum(self.memory[model] for model in state.on_board)

    def fits(self, state: State) -> bool:
        """Whether the models on board have room."""
        return self.memory_limit is None or self.memory_of(state) <= self.memory_limit + EPSILON


def _alone(of: _InCloud, unsent: float) -> float:
    """Seconds in the cloud where nothing has to wait."""
    encode, up = unsent * of.encode_s, of.up_s + unsent * of.pixels_up_s
    first, last = (encode + up) * of.share, max(encode * of.share + up, encode + up * of.share)
    return max(first + of.work_s, last + of.call_s) + of.go_s + unsent * of.pixels_go_s + of.back_s
