"""A network link on the virtual clock: rates, round trip, loss, outages, price."""

from __future__ import annotations

import bisect
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dicem_shared.camera import Strict
from dicem_shared.clock import VirtualClock
from dicem_shared.config import load_config
from dicem_shared.errors import ConfigError
from dicem_shared.resources import find, need

SEGMENT_BYTES = 1460
"""TCP payload of one packet"""
HEADER_BYTES = 40
"""IP and TCP header of one packet"""
MAX_RETRY_ROUNDS = 20

Kbps = Annotated[float, Field(ge=0, le=1e8)]


class LinkConfig(Strict):
    """A link that stays as it is."""

    name: str
    up_kbps: Annotated[float, Field(gt=0, le=1e8)]
    down_kbps: Annotated[float, Field(gt=0, le=1e8)]
    rtt_ms: Annotated[float, Field(ge=0, le=60_000)]
    loss: Annotated[float, Field(ge=0, lt=0.9)] = 0.0
    """share of packets that are lost"""
    usd_per_mb: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """price of a megabyte (10^6 bytes), both ways"""
    source: str = "given by the user"


class Condition(Strict):
    """The link from second `t_s` of the mission on."""

    t_s: Annotated[float, Field(ge=0)]
    up_kbps: Kbps
    down_kbps: Kbps
    rtt_ms: Annotated[float, Field(ge=0, le=60_000)]
    loss: Annotated[float, Field(ge=0, lt=0.9)]
    up: bool = True


@dataclass(frozen=True)
class Link:
    """A link over time; the last condition holds to the end."""

    name: str
    conditions: tuple[Condition, ...]
    usd_per_mb: float
    source: str

    def at(self, t: float) -> Condition:
        """The condition at second `t`."""
        return self.conditions[max(bisect.bisect_right([c.t_s for c in self.conditions], t) - 1, 0)]

    def next_change(self, t: float) -> float | None:
        """When the condition after the one at `t` begins; None for the last."""
        return next((c.t_s for c in self.conditions if c.t_s > t), None)


def load_link(given: str, *, usd_per_mb: float = 0.005) -> Link:
    """A preset by name, a YAML file, or a CSV trace `t_s,up_kbps,down_kbps,rtt_ms,loss,up`.

    :raises ConfigError: not there, or not a link; says which line
    """
    known = find(given, "configs/links", suffix=".yaml") or find(given, "configs/links", suffix=".csv")
    path = known or need(given, "link", "configs/links")
    if path.suffix == ".csv":
        return Link(path.stem, _trace(path), usd_per_mb, f"trace {path.name}")
    config = load_config(LinkConfig, path)
    steady = Condition(
        t_s=0, up_kbps=config.up_kbps, down_kbps=config.down_kbps, rtt_ms=config.rtt_ms, loss=config.loss
    )
    return Link(config.name, (steady,), config.usd_per_mb, config.source)


def _trace(path: Path) -> tuple[Condition, ...]:
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise ConfigError(f"link trace {path} cannot be read", got=str(cause)) from None
    conditions = []
    for line, row in rows:
        try:
            conditions.append(Condition.model_validate(row))
        except ValueError as cause:
            first = str(cause).splitlines()[1:3]
            raise ConfigError(f"{path}:{line}: no condition of a link", got=" ".join(first)) from None
    times = [c.t_s for c in conditions]
    if not times or times[0] != 0 or times != sorted(set(times)):
        raise ConfigError(f"link trace {path}", expected="rows from t_s 0 on, in time order", got=str(times[:3]))
    if not conditions[-1].up or not conditions[-1].up_kbps or not conditions[-1].down_kbps:
        raise ConfigError(f"link trace {path} ends in an outage", todo="Add a last row with the link up.")
    return tuple(conditions)


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
        size = payload + packets * HEADER_BYTES
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
