"""The best choice of sites: by trying all where they are few, else by moving calls together and one by one.

Branch and bound is exact.  Its work is counted in jobs that are played, not in seconds, so that the same graph gives
the same plan everywhere; where that is not enough, the plan says how far from the best it may be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..types import Objective
from .schedule import CLOUD, EDGE, EPSILON, Schedule, State

STEPS = 6_000
"""jobs that may be played to find a good plan"""
EXACT_STEPS = 2_000
"""jobs that may be played to find the best one"""
FEW = 10
"""with so many free calls or fewer, all choices are within reach"""
FEW_STEPS = 6_000
MAX_WEIGHTS = 32
"""kinds of calls that are looked at for a bound"""
MAX_FREE = 40
"""with more free calls than this nobody waits for the exact search"""

Score = tuple[float, float, float]
"""by how much the deadline and the budget are missed, then what is to be small, then the other one"""
TOLERANCE: Score = (1e-9, EPSILON, EPSILON)


@dataclass(frozen=True)
class Found:
    """The choice, and how good it is."""

    at: tuple[int, ...]
    score: Score
    proved: bool
    bound: float
    """no choice makes what is to be small smaller"""


def better(one: Score, other: Score) -> bool:
    """Whether `one` is smaller, by more than rounding."""
    for a, b, tolerance in zip(one, other, TOLERANCE, strict=True):
        if a < b - tolerance:
            return True
        if a > b + tolerance:
            return False
    return False


class Search:
    """One search; see `best`."""

    def __init__(self, schedule: Schedule, objective: Objective) -> None:
        self.schedule, self.objective = schedule, objective
        self.steps = STEPS
        self._rest: _Rest | None = None
        self._at: list[int] = []
        self._score: Score = (float("inf"),) * 3

    def best(self) -> Found:
        """The best choice that was found."""
        schedule = self.schedule
        if not schedule.free:
            self._offer(schedule.fixed)
            return Found(tuple(self._at), self._score, True, self._score[1])
        root = schedule.start()
        lowest = self.bound(root, 0)
        for at in self._first_choices():
            self._offer(at)
        if better(lowest, self._score):
            self._move_groups()
        if better(lowest, self._score) and len(schedule.free) * len(schedule.jobs) <= self.steps // 2:
            self._move_one_by_one()
        proved = not better(lowest, self._score)
        if not proved and len(schedule.free) <= MAX_FREE:
            self.steps = FEW_STEPS if len(schedule.free) <= FEW else EXACT_STEPS
            proved = self._branch(root, 0, schedule.fixed.copy())
        missed, value, other = self._score
        proved = proved or not better((*lowest[:2], other), self._score)
        return Found(tuple(self._at), self._score, proved, value if proved or missed else min(lowest[1], value))

    def score_of(self, at: Sequence[int]) -> tuple[Score, State]:
        """What a choice comes to."""
        state = self.schedule.start()
        self.schedule.play(state, 0, len(at), at)
        self.steps -= len(at)
        return self._score_at(state.end, state.usd), state

    def bound(self, state: State, k: int) -> Score:
        """What a choice comes to at least, whatever is chosen from job `k` on."""
        self._rest = self._rest or _Rest(self.schedule)
        return self._score_at(self._rest.end(state, k), state.usd + self._rest.usd[k])

    def _score_at(self, end: float, usd: float) -> Score:
        limits = self.schedule.world.constraints
        missed = 0.0
        if limits.deadline_s is not None:
            missed += max(0.0, end - limits.deadline_s) / max(limits.deadline_s, EPSILON)
        if limits.budget_usd is not None:
            missed += max(0.0, usd - limits.budget_usd) / max(limits.budget_usd, EPSILON)
        return (missed, end, usd) if self.objective == "latency" else (missed, usd, end)

    def _offer(self, at: Sequence[int]) -> bool:
        """Keep a choice if it is allowed and better than what we have."""
        score, state = self.score_of(at)
        if not self.schedule.fits(state) or not better(score, self._score):
            return False
        self._at, self._score = list(at), score
        return True

    # Where to begin

    def _first_choices(self) -> list[list[int]]:
        schedule = self.schedule
        free = set(schedule.free)
        everywhere = [
            [site if i in free else fixed for i, fixed in enumerate(schedule.fixed)] for site in (EDGE, CLOUD)
        ]
        return [*everywhere, self._one_after_the_other()]

    def _one_after_the_other(self) -> list[int]:
        """Each call, when its turn comes, where it ends first, or where it costs less."""
        schedule, at, state = self.schedule, self.schedule.fixed.copy(), self.schedule.start()
        done = 0
        for i in schedule.free:
            schedule.play(state, done, i, at)
            at[i] = min((EDGE, CLOUD), key=lambda site: self._next(state, i, site))
            done = i
        self.steps -= len(at)
        return at

    def _next(self, state: State, i: int, site: int) -> Score:
        """What comes of a job being next, and there; the state stays as it is."""
        schedule, key = self.schedule, self.schedule.jobs[i].key
        tried, seen = state.copy(state.seen), state.seen[key]
        schedule.play(tried, i, i + 1, {i: site})
        state.seen[key] = seen
        end, usd = schedule.ends[i], tried.usd
        return (
            (not schedule.fits(tried), end, usd)
            if self.objective == "latency"
            else (not schedule.fits(tried), usd, end)
        )

    # From there

    def _move_groups(self) -> None:
        """Move calls that are alike together, as long as it helps."""
        groups: dict[int, list[int]] = {}
        for i in self.schedule.free:
            groups.setdefault(id(self.schedule.jobs[i].figures), []).append(i)
        moved = True
        while moved:
            moved = False
            for group in groups.values():
                for site in (EDGE, CLOUD):
                    if self.steps < len(self._at):
                        return
                    if any(self._at[i] != site for i in group):
                        moved = self._offer(self._with(group, site)) or moved

    def _move_one_by_one(self) -> None:
        moved = True
        while moved:
            moved = False
            for i in self.schedule.free:
                if self.steps < len(self._at):
                    return
                moved = self._offer(self._with([i], 1 - self._at[i])) or moved

    def _with(self, which: Sequence[int], site: int) -> list[int]:
        at = self._at.copy()
        for i in which:
            at[i] = site
        return at

    # Exactly

    def _branch(self, state: State, k: int, at: list[int]) -> bool:
        """Try both sites of every free call from job `k` on, the more promising first; False if the steps ran out."""
        schedule, ends = self.schedule, self.schedule.ends
        here = next((i for i in schedule.free if i >= k), len(at))
        schedule.play(state, k, here, at)
        self.steps -= here - k
        if here == len(at):
            score = self._score_at(state.end, state.usd)
            if better(score, self._score):
                self._at, self._score = at.copy(), score
            return True
        ways: list[tuple[Score, int, float, State]] = []
        for site in (EDGE, CLOUD):
            at[here], tried = site, state.copy(state.seen.copy())
            schedule.play(tried, here, here + 1, at)
            if schedule.fits(tried):
                ways.append((self.bound(tried, here + 1), site, ends[here], tried))
        self.steps -= len(ways)
        known = ends[:here]
        for lowest, site, end, tried in sorted(ways, key=lambda way: way[:2]):
            if not better(lowest, self._score):
                continue
            if self.steps <= 0:
                return False
            at[here] = site
            ends[:here], ends[here] = known, end
            if not self._branch(tried, here + 1, at):
                return False
        return True


class _Rest:
    """What the jobs from each one on take at least, of every device."""

    def __init__(self, schedule: Schedule) -> None:
        slots = schedule.world.cloud.slots
        count = len(schedule.jobs)
        edge, up, cloud, self.usd = ([0.0] * (count + 1) for _ in range(4))
        for i in range(count - 1, -1, -1):
            of, site = schedule.jobs[i].figures, schedule.fixed[i]
            here, there = site == EDGE, site == CLOUD
            edge[i] = edge[i + 1] + here * of.edge_s
            up[i] = up[i + 1] + there * of.up_s
            cloud[i] = cloud[i + 1] + there * of.cloud_s / slots
            least = of.cloud_s * schedule.usd_s + (of.bytes_up + of.bytes_down) * schedule.usd_byte
            self.usd[i] = self.usd[i + 1] + there * least
        self._edge, self._up, self._cloud = edge, up, cloud
        free = [(i, schedule.jobs[i].figures) for i in schedule.free]
        self._mixed = [
            _Mixed.of([(i, of.edge_s, of.up_s) for i, of in free], edge[0], up[0], count),
            _Mixed.of([(i, of.edge_s, of.cloud_s / slots) for i, of in free], edge[0], cloud[0], count),
        ]

    def end(self, state: State, k: int) -> float:
        """When the last job ends at the earliest.

        Whatever is moved off one device falls to another, so that a weighted mean of the two cannot be avoided.
        """
        edge, up, cloud = state.edge + self._edge[k], state.uplink + self._up[k], state.cloud + self._cloud[k]
        least = max(state.end_at_best, edge, up, cloud)
        for mixed, there in zip(self._mixed, (up, cloud), strict=True):
            least = max(least, mixed.weight * edge + (1 - mixed.weight) * there + mixed.rest[k])
        return least


@dataclass(frozen=True)
class _Mixed:
    """Two devices between which free calls can choose: `rest[k]` is the weighted time of those from `k` on."""

    weight: float
    rest: list[float]

    @classmethod
    def of(cls, free: Sequence[tuple[int, float, float]], here: float, there: float, count: int) -> _Mixed:
        """From index, seconds here and seconds there of each free job, and the seconds of all fixed ones.

        The weight is the one with which the most is sure to be left.  The sum rises and then falls with the weight, in
        straight lines, so that is where the two sites are even for one of the jobs.
        """
        alike = Counter((e, c) for _, e, c in free)
        even = sorted({c / (e + c) for e, c in alike if e + c > 0})[:MAX_WEIGHTS]

        def sure(weight: float) -> float:
            mixed = sum(many * min(weight * e, (1 - weight) * c) for (e, c), many in alike.items())
            return weight * here + (1 - weight) * there + mixed

        weight = max(even, key=sure, default=0.5)
        rest = [0.0] * (count + 1)
        for i, e, c in free:
            rest[i] = min(weight * e, (1 - weight) * c)
        for i in range(count - 1, -1, -1):
            rest[i] += rest[i + 1]
        return cls(weight, rest)
