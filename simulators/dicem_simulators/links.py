"""A network link on the virtual clock: one message after the other, through changes of rate, loss and outages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from dicem_shared.clock import VirtualClock
from dicem_shared.links import MAX_RETRY_ROUNDS, SEGMENT_BYTES, Link, wire_bytes


class Channel:
    """One direction of a link: messages go one after the other, then travel half a round trip.

    A lost packet costs one round trip; what is lost again costs another.  During an outage nothing moves, and what was
    under way goes on afterwards, as a TCP connection that survives does.
    """

    def __init__(
        self, link: Link, direction: Literal["up", "down"], clock: VirtualClock, random: np.random.Generator
    ) -> None:
        self._link, self._direction, self._clock, self._random = link, direction, clock, random
        self._free_at = 0.0
        self.bytes = 0

    def send(self, payload: int, on_arrival: Callable[[], None]) -> int:
        """Carry `payload` bytes and call back when they have arrived; the bytes with their headers."""
        packets = max(1, -(-payload // SEGMENT_BYTES))
        size = wire_bytes(payload)
        self.bytes += size
        start = max(self._clock.monotonic(), self._free_at)
        self._free_at = self._finish(start, size * 8 / 1000)
        condition = self._link.at(self._free_at)
        rounds = 0.5 + self._retries(packets, condition.loss)
        self._clock.call_at(self._free_at + rounds * condition.rtt_ms / 1000, on_arrival)
        return size

    def _finish(self, start: float, kbits: float) -> float:
        """When the last bit has left, through changes of rate and outages."""
        t = start
        while True:
            condition = self._link.at(t)
            rate = (condition.up_kbps if self._direction == "up" else condition.down_kbps) if condition.up else 0.0
            change = self._link.next_change(t)
            if change is None or (rate > 0 and t + kbits / rate <= change):
                return t + kbits / rate
            kbits -= rate * (change - t)
            t = change

    def _retries(self, packets: int, loss: float) -> int:
        rounds = 0
        while packets and loss and rounds < MAX_RETRY_ROUNDS:
            packets = int(self._random.binomial(packets, loss))
            rounds += bool(packets)
        return rounds
