"""How much a caller may ask, and how much all of them may hold at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dicem_shared.clock import Clock
from dicem_shared.errors import Overloaded

from .errors import RateLimited
from .settings import Key, RateConfig

BUSY_RETRY_S = 1.0


@dataclass
class _Bucket:
    rate: RateConfig
    left: float
    at_s: float


class Rates:
    """A token bucket for each caller that has a limit.  One event loop's: it takes no lock."""

    def __init__(self, keys: Sequence[Key], anonymous: RateConfig | None, clock: Clock) -> None:
        now_s, self._clock = clock.monotonic(), clock
        limits = {key.name: key.rate for key in keys} if keys else {"": anonymous}
        self._buckets = {
            name: _Bucket(rate, float(rate.burst), now_s) for name, rate in limits.items() if rate is not None
        }

    def take(self, caller: str) -> None:
        """One request of a caller.

        :raises RateLimited: it has asked too much; says when to try again
        """
        bucket = self._buckets.get(caller)
        if bucket is None:
            return
        now_s, rate = self._clock.monotonic(), bucket.rate
        bucket.left = min(float(rate.burst), bucket.left + max(0.0, now_s - bucket.at_s) * rate.per_s)
        bucket.at_s = now_s
        if bucket.left < 1.0:
            raise RateLimited(
                "too many requests",
                expected=f"at most {rate.per_s:g} a second, {rate.burst} at once",
                retry_after_s=(1.0 - bucket.left) / rate.per_s,
            )
        bucket.left -= 1.0


class Room:
    """Bytes of all bodies that are here at once.  One event loop's: it takes no lock."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self._used

    @contextmanager
    def share(self) -> Iterator[Share]:
        """What one request takes of it; given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._used -= share.held

    def _grow(self, more: int) -> None:
        if self._used + more > self._limit:
            raise Overloaded(
                "the cloud holds as many calls as it can", expected=f"at most {self._limit} bytes of them",
                retry_after_s=BUSY_RETRY_S,
            )  # fmt: skip
        self._used += more


class Share:
    """A request's part of a `Room`."""

    def __init__(self, room: Room) -> None:
        self._room, self.held = room, 0

    def grow_to(self, size: int) -> None:
        """Hold `size` bytes, or what it holds already if that is more.

        :raises Overloaded: there is no room for them now
        """
        more = size - self.held
        if more > 0:
            self._room._grow(more)
            self.held = size
