"""A network link as config: rates, round trip, loss, outages, price; and what a message on it is expected to take."""

from __future__ import annotations

import bisect
import csv
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from .camera import Strict
from .config import load_config
from .errors import ConfigError
from .resources import find, need

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

    @property
    def carries(self) -> bool:
        """Whether anything moves, both ways."""
        return self.up and self.up_kbps > 0 and self.down_kbps > 0


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

    def next_up(self, t: float) -> tuple[Condition, float] | None:
        """The first condition from second `t` on that carries anything, and the seconds until then; None if none."""
        if self.at(t).carries:
            return self.at(t), 0.0
        return next(((c, c.t_s - t) for c in self.conditions if c.t_s > t and c.carries), None)

    @property
    def longest_outage_s(self) -> float | None:
        """Seconds of the longest time in which nothing moves; None where the link knows of no outage."""
        longest, since = 0.0, None
        for condition in self.conditions:
            if condition.carries:
                longest = longest if since is None else max(longest, condition.t_s - since)
                since = None
            elif since is None:
                since = condition.t_s
        return longest or None


def wire_bytes(payload: int) -> int:
    """Bytes of a message with the headers of its packets."""
    return payload + max(1, -(-payload // SEGMENT_BYTES)) * HEADER_BYTES


@lru_cache(maxsize=1024)
def expected_retries(payload: int, loss: float) -> float:
    """Round trips that a message of so many bytes is expected to lose to lost packets.

    A round is lost with its first packet, another where one of those sent again is lost too, and so on.
    """
    packets = max(1, -(-payload // SEGMENT_BYTES))
    return sum(1.0 - (1.0 - loss**k) ** packets for k in range(1, MAX_RETRY_ROUNDS + 1))


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
    if not conditions[-1].carries:
        raise ConfigError(f"link trace {path} ends in an outage", todo="Add a last row with the link up.")
    return tuple(conditions)
