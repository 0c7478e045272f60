"""How many replicas a function should have: a decision without clocks, threads or Ray.

More at once where calls wait: by their number, and by one where the oldest waits too long though all replicas are up.
Fewer only when fewer have been enough for a while, and then as many as were needed in that while.  None at all only
when nobody has asked for long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .settings import ReplicasConfig


@dataclass(frozen=True)
class Demand:
    """What a function has to do; of several gateways, the sum."""

    waiting: int = 0
    """calls that wait"""
    running: int = 0
    """batches under way"""
    oldest_s: float = 0.0
    """for how long the first of the calls has waited"""

    def __add__(self, other: Demand) -> Demand:
        return Demand(
            self.waiting + other.waiting, self.running + other.running, max(self.oldest_s, other.oldest_s)
        )  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self.waiting > 0 or self.running > 0


@dataclass(frozen=True)
class Memory:
    """What is remembered from one decision to the next."""

    busy_s: float
    """when there was last something to do, or when we began to look"""
    low_since_s: float | None = None
    """since when fewer replicas are enough; None: they are not"""
    low_most: int = 0
    """the most that were needed since then"""


def decide(
    rule: ReplicasConfig, demand: Demand, *, target: int, up: int, memory: Memory, now_s: float
) -> tuple[int, Memory]:  # fmt: skip
    """The replicas that there should be, and what to remember.

    :param target: how many there should be so far
    :param up: how many of them run
    """
    busy_s = now_s if demand.busy else memory.busy_s
    idle = now_s - busy_s >= rule.idle_s
    least = rule.min_replicas if idle else max(rule.min_replicas, min(target, 1), int(demand.busy))
    wanted = min(max(_needed(rule, demand, target, up), least), rule.max_replicas)
    if wanted >= target or idle:
        return wanted, Memory(busy_s)
    since_s = now_s if memory.low_since_s is None else memory.low_since_s
    most = max(memory.low_most, wanted)
    if now_s - since_s >= rule.down_after_s:
        return most, Memory(busy_s)
    return target, Memory(busy_s, since_s, most)


def _needed(rule: ReplicasConfig, demand: Demand, target: int, up: int) -> int:
    by_number = math.ceil(demand.waiting / rule.waiting_per_replica)
    by_age = target + 1 if demand.waiting and demand.oldest_s > rule.target_age_s and up >= target else 0
    at_work = min(demand.running, target)
    return max(by_number, by_age, at_work)
