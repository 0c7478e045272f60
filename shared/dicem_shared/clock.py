"""Time as an argument.

The core never reads the wall clock or sleeps: it is handed a `Clock`.  On a vehicle that is `SystemClock`; in tests and
in `dicem simulate` it is `VirtualClock`, on which an hour takes as long as its events take to compute.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    @property
    def real(self) -> bool:
        """Whether its seconds are the machine's own, so that computing takes some of them."""

    def utc(self) -> float:
        """Seconds since 1970-01-01 UTC; may step when a GPS fix or NTP corrects it."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""


class SystemClock:
    """The machine's own clock."""

    real = True

    def utc(self) -> float:
        """See `Clock.utc`."""
        return time.time()

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


class VirtualClock:
    """Time that moves only when somebody asks for the next event.

    Events at the same instant run in the order in which they were scheduled, so a run is a function of its inputs.
    """

    real = False

    def __init__(self, start_utc: float = 0.0) -> None:
        self._start = start_utc
        self._now = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def utc(self) -> float:
        """See `Clock.utc`."""
        return self._start + self._now

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._now

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        """Run `action` at virtual second `when`; a moment that has passed means now."""
        heapq.heappush(self._events, (max(when, self._now), next(self._order), action))

    def call_later(self, delay: float, action: Callable[[], None]) -> None:
        """Run `action` after `delay` virtual seconds."""
        self.call_at(self._now + delay, action)

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run events in order until none is left or `until()` holds."""
        while self._events and not until():
            self._now, _, action = heapq.heappop(self._events)
            action()
