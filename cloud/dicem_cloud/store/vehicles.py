"""What is known of each vehicle: whether it is there, when and where it was last seen, what it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import sqlalchemy as sa

from dicem_shared.clock import Clock
from dicem_shared.errors import InvalidCall
from dicem_shared.types import Answer

from .answers import Tally, tallies
from .database import Database
from .deployments import Placed, placed
from .tables import answers, deployments, vehicles

Presence = Literal["online", "offline", "stopped", "unknown"]
"""
online    its daemon is connected
offline   it went without a word
stopped   its daemon has ended
unknown   it has never said
"""
MAX_LISTED: Final = 1000


@dataclass(frozen=True)
class Vehicle:
    """One vehicle; times in seconds since 1970-01-01 UTC, by the gateway's clock."""

    fleet: str
    vehicle: str
    status: Presence
    status_utc: float | None
    """since when, where we heard it happen"""
    seen_utc: float | None
    """when it last spoke"""
    lat: float | None
    lon: float | None
    """of the vehicle, from its last answer that said where it was"""
    position_utc: float | None
    """of that answer's frame"""
    programs: list[Placed] = field(default_factory=list)
    answers: Tally = field(default_factory=Tally)
    """of those that are kept"""


class Vehicles:
    """See the module's text.  Every message may come several times, and to several gateways."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def status(self, fleet: str, vehicle: str, status: Presence, *, is_news: bool = True) -> None:
        """A vehicle comes or goes.

        :param is_news: whether it has just happened; else it is what the broker has kept, from whenever it was
        :raises StoreUnavailable: not now
        """
        now = self._clock.utc()
        since = now if is_news else None
        values: dict[str, Any] = {"fleet": fleet, "vehicle": vehicle, "status": status, "status_utc": since}
        spoke = status == "online" or (status == "stopped" and is_news)
        insert = self._database.insert(vehicles).values(values | {"seen_utc": now if spoke else None})
        changed = insert.on_conflict_do_update(
            index_elements=list(vehicles.primary_key),
            set_={
                "status": status,
                "status_utc": sa.case((vehicles.c.status == status, vehicles.c.status_utc), else_=since),
                "seen_utc": _later(now) if spoke else vehicles.c.seen_utc,
            },
        )
        self._database.write(lambda connection: connection.execute(changed))

    def spoke(self, fleet: str, vehicle: str) -> None:
        """A vehicle has said something.

        :raises StoreUnavailable: not now
        """
        self.answered([(fleet, vehicle, None)])

    def answered(self, arrivals: Sequence[tuple[str, str, Answer | None]]) -> None:
        """Vehicles, by fleet and name, have said something just now: an answer, or whatever else.

        :raises StoreUnavailable: not now
        """
        now = self._clock.utc()
        heard: dict[tuple[str, str], tuple[float, float, float] | None] = {}
        for fleet, vehicle, answer in arrivals:
            known, new = heard.get((fleet, vehicle)), None if answer is None else _position(answer, now)
            heard[fleet, vehicle] = new if known is None or (new is not None and new[0] >= known[0]) else known
        # In one order, so that two gateways do not wait for each other.
        self._database.write(lambda connection: self._note(connection, sorted(heard.items(), key=_key), now))

    def get(self, fleet: str, vehicle: str) -> Vehicle | None:
        """One vehicle; None: never heard of.

        :raises StoreUnavailable: not now
        """
        which = (vehicles.c.fleet == fleet, vehicles.c.vehicle == vehicle)
        found = self._database.read(lambda connection: _listed(connection, which, 1))
        return found[0] if found else None

    def all(
        self, *, fleet: str | None = None, after: tuple[str, str] | None = None, limit: int = MAX_LISTED
    ) -> list[Vehicle]:
        """Vehicles in the order of fleet and name.

        :param after: fleet and name of the last one of the page before
        :raises InvalidCall: a limit that is not 1 to 1000
        :raises StoreUnavailable: not now
        """
        if not 1 <= limit <= MAX_LISTED:
            raise InvalidCall("the limit is out of bounds", expected=f"1 to {MAX_LISTED}", got=str(limit)[:20])
        which = [] if fleet is None else [vehicles.c.fleet == fleet]
        if after is not None:
            beyond = sa.tuple_(*vehicles.primary_key) > sa.tuple_(*map(sa.literal, after))
            which.append(beyond)
        return self._database.read(lambda connection: _listed(connection, which, limit))

    def forget(self, fleet: str, vehicle: str) -> None:
        """A vehicle that is no more; its answers stay.

        :raises StoreUnavailable: not now
        """

        def work(connection: sa.Connection) -> None:
            for table in (vehicles, deployments):
                connection.execute(table.delete().where(table.c.fleet == fleet, table.c.vehicle == vehicle))

        self._database.write(work)

    def _note(
        self, connection: sa.Connection,
        heard: Sequence[tuple[tuple[str, str], tuple[float, float, float] | None]], now: float,
    ) -> None:  # fmt: skip
        for (fleet, vehicle), position in heard:
            values: dict[str, Any] = {"fleet": fleet, "vehicle": vehicle, "status": "unknown", "seen_utc": now}
            changes: dict[str, Any] = {"seen_utc": _later(now)}
            if position is not None:
                new = dict(zip(("position_utc", "lat", "lon"), position, strict=True))
                is_later = sa.func.coalesce(vehicles.c.position_utc, 0.0) <= position[0]
                values |= new
                changes |= {name: sa.case((is_later, value), else_=vehicles.c[name]) for name, value in new.items()}
            insert = self._database.insert(vehicles).values(values)
            connection.execute(
                insert.on_conflict_do_update(index_elements=list(vehicles.primary_key), set_=changes)
            )  # fmt: skip


def _listed(connection: sa.Connection, which: Sequence[sa.ColumnElement[bool]], limit: int) -> list[Vehicle]:
    query = sa.select(vehicles).where(*which).order_by(*vehicles.primary_key).limit(limit)
    found = {(row.fleet, row.vehicle): Vehicle(**row._mapping) for row in connection.execute(query)}
    if not found:
        return []
    first, last = min(found), max(found)

    def among(table: sa.Table) -> list[sa.ColumnElement[bool]]:
        """By fleet only: what falls between the first and the last is a page's worth, or little more."""
        return [table.c.fleet.between(first[0], last[0])] + ([table.c.vehicle == first[1]] if first == last else [])

    for one in placed(connection, among(deployments)):
        if (one.fleet, one.vehicle) in found:
            found[one.fleet, one.vehicle].programs.append(one)
    for fleet, vehicle, _, status, count, *times in tallies(connection, *among(answers)):
        if (fleet, vehicle) in found:
            found[fleet, vehicle].answers.add(status, count, *times)
    return list(found.values())


def _key(item: tuple[tuple[str, str], Any]) -> tuple[str, str]:
    return item[0]


def _later(now: float) -> sa.ColumnElement[Any]:
    """The later of what is there and now."""
    seen = vehicles.c.seen_utc
    return sa.case((sa.func.coalesce(seen, 0.0) < now, sa.literal(now, sa.Double)), else_=seen)


def _position(answer: Answer, now: float) -> tuple[float, float, float] | None:
    """When and where the vehicle was, as far as an answer says.  Nothing was seen in the future: a vehicle's clock that
    was wrong once would hide all positions that come after."""
    for one in answer.observations:
        if one.vehicle_lat is not None and one.vehicle_lon is not None:
            return min(answer.t_utc, now), one.vehicle_lat, one.vehicle_lon
    return None
