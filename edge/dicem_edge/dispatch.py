"""What goes out next: a window, live calls before backlog, and no more of either than the link was given.

No I/O, no clock of its own: times are monotonic seconds that it is told.  An entry waits, is in flight, or waits for a
moment that a busy cloud named; it stays here until its reply is in (`remove`), however often it goes out.

- At most `window` calls are in flight, at a reconnect too.
- Live is what was added since the connection came up.  What is older is backlog: it goes out at `backlog_per_s`, and
  leaves `live_places` of the window alone.
- Within both the lower priority number first, then what was added first.
- What gets no reply goes out again after `resend_s`; what was in flight when the connection broke, after it is back.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BURST_S: Final = 0.5
"""Backlog may go out so far ahead of its rate."""


@dataclass(frozen=True)
class Pace:
    """How much of the link calls may take."""

    window: int = 64
    live_places: int = 16
    backlog_per_s: float = 50.0
    resend_s: float = 10.0


@dataclass(eq=False)
class Entry:
    """One call that has no reply yet."""

    call_id: str
    priority: int = 5
    size_bytes: int = 0
    number: int = 0
    """counts what was added: the tie-breaker that makes the order the same each time"""
    live: bool = True
    in_flight: bool = False
    sends: int = 0
    """how often it has gone out"""
    version: int = field(default=0, repr=False)
    """which of its places in the heaps is the present one"""


Due = tuple[float, int, Entry, int]
"""when, number, entry, version"""


class Dispatch:
    """See the module's text."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._numbers = itertools.count()
        self._entries: dict[str, Entry] = {}
        self._ready: dict[bool, list[tuple[int, int, Entry, int]]] = {True: [], False: []}
        """by live: heaps by priority, then number"""
        self._later: list[Due] = []
        """what waits for a moment, in flight or not"""
        self.in_flight = 0
        self._backlog_in_flight = 0
        self._up = False
        self._allowance, self._allowed_at = 0.0, 0.0

    def __len__(self) -> int:
        """Calls without a reply."""
        return len(self._entries)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        """What has no reply yet, in the order in which it was added."""
        return iter(self._entries.values())

    @property
    def backlog(self) -> int:
        """Calls that were added before the connection came up."""
        return sum(not entry.live for entry in self._entries.values())

    def add(self, call_id: str, *, priority: int, size_bytes: int) -> Entry:
        """A call that is to go out; one that is here already stays as it is."""
        if call_id in self._entries:
            return self._entries[call_id]
        entry = Entry(call_id, priority, size_bytes, next(self._numbers), live=self._up)
        self._entries[call_id] = entry
        self._make_ready(entry)
        return entry

    def remove(self, call_id: str) -> Entry | None:
        """Its reply is in, or nobody wants it any more."""
        entry = self._entries.pop(call_id, None)
        if entry is not None:
            self._land(entry)
            entry.version += 1
        return entry

    def connected(self, now_s: float) -> None:
        """The connection came up: nothing is in flight, and all that is here is backlog."""
        self._up = True
        self._allowance, self._allowed_at = 0.0, now_s
        for entry in self._entries.values():
            self._land(entry)
            entry.live = False
        self._ready, self._later = {True: [], False: []}, []
        for entry in self._entries.values():
            self._make_ready(entry)

    def disconnected(self) -> None:
        """Nothing goes out until it is back."""
        self._up = False

    def put_off(self, call_id: str, until_s: float) -> None:
        """The cloud is busy, or nobody listens: not before `until_s`."""
        entry = self._entries.get(call_id)
        if entry is not None:
            self._land(entry)
            entry.version += 1
            heapq.heappush(self._later, (until_s, entry.number, entry, entry.version))

    def next(self, now_s: float) -> Entry | None:
        """The call that goes out now, marked as in flight; None: nothing may."""
        if not self._up:
            return None
        self._wake(now_s)
        if (entry := self._again(now_s)) is not None:
            return entry
        if self.in_flight >= self.pace.window:
            return None
        entry = self._first(live=True)
        if entry is None and self._backlog_may(now_s):
            entry = self._first(live=False)
            if entry is not None:
                self._allowance -= 1.0
        if entry is not None:
            self._fly(entry, now_s)
        return entry

    def due_s(self, now_s: float) -> float:
        """When `next` may have something: `now_s` or earlier means now, infinity that only an event can change it."""
        if not self._up:
            return math.inf
        self._drop_stale()
        soonest = self._later[0][0] if self._later else math.inf
        if self.in_flight >= self.pace.window:
            return soonest
        if self._ready[True]:
            return now_s
        if self._ready[False] and self._backlog_in_flight < self._backlog_places:
            wait_s = (1.0 - self._allowance) / self.pace.backlog_per_s
            return min(soonest, max(now_s, self._allowed_at + wait_s))
        return soonest

    # Inside

    @property
    def _backlog_places(self) -> int:
        return max(1, self.pace.window - self.pace.live_places)

    def _backlog_may(self, now_s: float) -> bool:
        most = max(1.0, BURST_S * self.pace.backlog_per_s)
        earned = (now_s - self._allowed_at) * self.pace.backlog_per_s
        self._allowance, self._allowed_at = min(most, self._allowance + max(0.0, earned)), max(now_s, self._allowed_at)
        return self._allowance >= 1.0 - 1e-9 and self._backlog_in_flight < self._backlog_places

    def _make_ready(self, entry: Entry) -> None:
        entry.version += 1
        heapq.heappush(self._ready[entry.live], (entry.priority, entry.number, entry, entry.version))

    def _first(self, *, live: bool) -> Entry | None:
        heap = self._ready[live]
        while heap:
            *_, entry, version = heapq.heappop(heap)
            if version == entry.version:
                return entry
        return None

    def _fly(self, entry: Entry, now_s: float) -> None:
        if not entry.in_flight:
            entry.in_flight = True
            self.in_flight += 1
            self._backlog_in_flight += not entry.live
        entry.sends += 1
        entry.version += 1
        heapq.heappush(self._later, (now_s + self.pace.resend_s, entry.number, entry, entry.version))

    def _land(self, entry: Entry) -> None:
        if entry.in_flight:
            entry.in_flight = False
            self.in_flight -= 1
            self._backlog_in_flight -= not entry.live

    def _wake(self, now_s: float) -> None:
        """What was put off and whose moment has come is ready."""
        again: list[Due] = []
        self._drop_stale()
        while self._later and self._later[0][0] <= now_s:
            due = heapq.heappop(self._later)
            *_, entry, _version = due
            if entry.in_flight:
                again.append(due)
            else:
                self._make_ready(entry)
            self._drop_stale()
        for due in again:
            heapq.heappush(self._later, due)

    def _again(self, now_s: float) -> Entry | None:
        """One that is in flight and has had no reply for too long."""
        if self._later and self._later[0][0] <= now_s and self._later[0][2].in_flight:
            entry = heapq.heappop(self._later)[2]
            self._fly(entry, now_s)
            return entry
        return None

    def _drop_stale(self) -> None:
        while self._later and self._later[0][3] != self._later[0][2].version:
            heapq.heappop(self._later)
        for heap in self._ready.values():
            while heap and heap[0][3] != heap[0][2].version:
                heapq.heappop(heap)
