"""What was answered before: a call that arrives twice is answered once, whichever gateway it came to."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from threading import Lock
from typing import Protocol

from dicem_shared.types import Reply


class Claim(Enum):
    """Who computes a call that has no result yet."""

    OURS = "ours"
    ELSEWHERE = "elsewhere"
    """another gateway, which has not given up yet: its result comes, or its claim runs out"""


class ResultStore(Protocol):
    """Replies by authenticated vehicle and call id.  Failures do not belong here: the next attempt may fare better.

    Safe to be used by any thread; several gateways may share what lies behind it.
    """

    def known(self, vehicle: str, call_id: str) -> Reply | None:
        """The reply, where it is at hand: no database is asked."""
        return None

    def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
        """The reply that is known, or who computes it.  OURS is a lease: it ends with `put`, `release`, or in time."""

    def put(self, vehicle: str, reply: Reply) -> Reply:
        """Remember a reply that holds a result, and end the claim.  The first one stays: it is what comes back."""

    def release(self, vehicle: str, call_id: str) -> None:
        """End a claim without a result."""


class MemoryResults(ResultStore):
    """For one gateway alone; the least recently asked for go first beyond `keep`."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._replies: OrderedDict[tuple[str, str], Reply] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._replies)

    def known(self, vehicle: str, call_id: str) -> Reply | None:
        """See `ResultStore.known`."""
        with self._lock:
            reply = self._replies.get((vehicle, call_id))
            if reply is not None:
                self._replies.move_to_end((vehicle, call_id))
            return reply

    def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
        """See `ResultStore.claim`."""
        return self.known(vehicle, call_id) or Claim.OURS

    def put(self, vehicle: str, reply: Reply) -> Reply:
        """See `ResultStore.put`."""
        with self._lock:
            kept = self._replies.setdefault((vehicle, reply.call_id), reply)
            self._replies.move_to_end((vehicle, reply.call_id))
            while len(self._replies) > self._keep:
                self._replies.popitem(last=False)
            return kept

    def release(self, vehicle: str, call_id: str) -> None:
        """See `ResultStore.release`."""


def repeated(reply: Reply, *, attempt: int) -> Reply:
    """A known reply for another attempt.  Its cost stays what it was: the sender counts one reply a call, and may never
    have seen the first."""
    return reply.model_copy(update={"cached": True, "attempt": attempt})
