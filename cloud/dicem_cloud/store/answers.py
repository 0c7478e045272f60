"""The answers that vehicles have published, to be searched, counted, and followed as they come.

Every answer has a number, and every change of one a new number.  The last number given lies in a row that stays locked
until its transaction ends, so numbers become visible in their order, without a gap, also where several gateways write
to PostgreSQL: who has seen number n could have seen everything before it.  Numbers are never given again.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import sqlalchemy as sa
from pydantic import Field, model_validator
from typing_extensions import Self

from dicem_shared import messages
from dicem_shared.camera import Strict
from dicem_shared.clock import Clock
from dicem_shared.errors import InvalidCall, MessageError
from dicem_shared.types import Answer, Id, Lat, Lon, Status, Utc

from .database import Database, StoreUnavailable
from .tables import answers, counter, places

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = 16_000_000
MAX_NAME: Final = 200
"""characters of an answer's and a program's id"""
MAX_PAGE: Final = 1000
PRUNE_EVERY: Final = 64
PRUNE_ROWS: Final = 256
FEW: Final = 2000
"""places"""
RANK: Final[dict[Status, int]] = {"pending": 0, "expired": 1, "failed": 2, "final": 3}
"""Of two answers with one id the higher stays, whichever comes first; of two that are alike, the first."""
_COUNTER: Final = "answers"
_CURSOR: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?)_([0-9]{1,18})")


class AnswerFilter(Strict):
    """Which answers; what is left out does not matter."""

    fleet: Id | None = None
    vehicle: Id | None = None
    program: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None
    """a program's id"""
    status: Status | None = None
    since: Utc | None = None
    """of the frame; this moment included"""
    until: Utc | None = None
    """of the frame; this moment not included"""
    box: tuple[Lon, Lat, Lon, Lat] | None = None
    """west, south, east, north in degrees; a box that crosses the 180th meridian has its west east of its east.  An
    answer lies in it if one of its observations does, by its own position or, where it has none, the vehicle's"""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.box is not None and self.box[1] > self.box[3]:
            raise ValueError("box must be west, south, east, north, with south not above north")
        return self


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as it lies in the store."""

    number: int
    fleet: str
    received_utc: float
    answer: Answer


@dataclass(frozen=True)
class Page:
    """Some of the answers that were asked for."""

    answers: list[StoredAnswer]
    cursor: str | None
    """where the next page begins; None: this is the last"""


@dataclass(frozen=True)
class News:
    """What has come since."""

    answers: list[StoredAnswer]
    number: int
    """up to which everything has been seen: what the reader gives next time"""


class Answers:
    """See the module's text.  Safe to be used by any thread and several processes."""

    def __init__(
        self, database: Database, clock: Clock, *, keep: int = 500_000, max_age_s: float = 90 * 86_400.0
    ) -> None:
        """`keep` answers at most, about, none that came longer ago than `max_age_s` seconds."""
        self._database, self._clock = database, clock
        self._keep, self._max_age_s = keep, max_age_s
        self._put = 0

    def put(self, arrivals: Sequence[tuple[str, Answer]]) -> list[StoredAnswer]:
        """Store answers with their fleets, all or none; what is new or changed, with its numbers.

        An answer that is there already, with the same status or one that says more, is passed over (see `RANK`).

        :raises MessageError: one of them can never be stored; see `check_storable`
        :raises StoreUnavailable: not now; none was stored
        """
        rows = [_row(fleet, answer, self._clock.utc()) for fleet, answer in arrivals]
        stored = self._database.write(lambda connection: _store(connection, rows)) if rows else []
        before, self._put = self._put, self._put + len(rows)
        if before // PRUNE_EVERY != self._put // PRUNE_EVERY:
            with suppress(StoreUnavailable):
                self.prune()
        return [
            StoredAnswer(row.columns["number"], row.columns["fleet"], row.columns["received_utc"], row.answer)
            for row in stored
        ]

    def get(self, answer_id: str, *, vehicle: str | None = None) -> StoredAnswer | None:
        """The answer of that id; None: not here, or no more.

        :raises StoreUnavailable: not now
        """
        query = _SELECT.where(answers.c.id == answer_id).order_by(answers.c.number.desc()).limit(1)
        if vehicle is not None:
            query = query.where(answers.c.vehicle == vehicle)
        if not _is_name(answer_id):
            return None
        rows: Sequence[Any] = self._database.read(lambda connection: connection.execute(query).all())
        found = _readable(rows)
        return found[0] if found else None

    def page(
        self,
        which: AnswerFilter | None = None,
        *,
        cursor: str | None = None,
        limit: int = 100,
        newest_first: bool = True,
    ) -> Page:
        """Answers in the order of their frames' time.

        :param cursor: of the page before, which was asked for in the same order
        :raises InvalidCall: no such cursor, or a limit that is not 1 to 1000
        :raises StoreUnavailable: not now
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidCall("a page's limit is out of bounds", expected=f"1 to {MAX_PAGE}", got=str(limit)[:20])
        key = (answers.c.t_utc, answers.c.number)
        query = _SELECT.order_by(*(column.desc() if newest_first else column.asc() for column in key)).limit(limit + 1)
        if cursor is not None:
            place, there = sa.tuple_(*key), sa.tuple_(*(sa.literal(value) for value in _parsed(cursor)))
            query = query.where(place < there if newest_first else place > there)

        def look(connection: sa.Connection) -> Sequence[Any]:
            by_place = which is not None and which.box is not None and _are_few(connection, which.box)
            return connection.execute(query.where(*_conditions(which, by_place=by_place))).all()

        rows = self._database.read(look)
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(_readable(rows[:limit]), None if last is None else f"{last.t_utc!r}_{last.number}")

    def news(self, after: int, which: AnswerFilter | None = None, *, limit: int = 100) -> News:
        """What has come, or has changed, since the number `after`, oldest first.

        Where there are more than `limit`, the rest comes with the next call.  A number that was never given here (the
        store is another one now) counts as 0.

        :raises InvalidCall: a limit that is not 1 to 1000
        :raises StoreUnavailable: not now
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidCall("the limit is out of bounds", expected=f"1 to {MAX_PAGE}", got=str(limit)[:20])

        def look(connection: sa.Connection) -> tuple[int, Sequence[Any]]:
            last = _last(connection)
            first = after if 0 <= after <= last else 0
            query = _SELECT.where(answers.c.number > first, answers.c.number <= last, *_conditions(which))
            return last, connection.execute(query.order_by(answers.c.number).limit(limit)).all()

        last, rows = self._database.read(look)
        return News(_readable(rows), rows[-1].number if len(rows) == limit else last)

    def last_number(self) -> int:
        """The last number that was given: who follows from here on gets what comes from now on.

        :raises StoreUnavailable: not now
        """
        return self._database.read(_last)

    def count(self, which: AnswerFilter | None = None) -> int:
        """How many there are.

        :raises StoreUnavailable: not now
        """
        query = sa.select(sa.func.count()).select_from(answers).where(*_conditions(which, by_place=True))
        return self._database.read(lambda connection: connection.scalar(query)) or 0

    def prune(self) -> int:
        """Delete some of what is too old or too much, a few hundred answers at most; how many went.

        :raises StoreUnavailable: not now
        """
        return self._database.write(self._pruned)

    def _pruned(self, connection: sa.Connection) -> int:
        """A change takes a new number and leaves a hole, so numbers bound the rows from above."""
        first_kept = _alone(connection) - self._keep
        oldest = sa.select(answers.c.number, answers.c.received_utc).order_by(answers.c.number).limit(PRUNE_ROWS)
        expired = self._clock.utc() - self._max_age_s
        gone = [
            row.number
            for row in connection.execute(oldest)
            if row.received_utc < expired or row.number <= first_kept
        ]  # fmt: skip
        _delete(connection, gone)
        return len(gone)


def check_storable(answer: Answer) -> None:
    """Whether an answer can be stored, whatever the database.

    :raises MessageError: an id that is empty, longer than 200 characters or not printable; or no message at all
    """
    for what, name in (("id", answer.id), ("program", answer.program_id)):
        if not _is_name(name):
            expected = f"1 to {MAX_NAME} printable characters"
            raise MessageError(f"an answer's {what} cannot be kept", expected=expected, got=repr(name[:40]))
    messages.encode(answer, limit=MAX_ANSWER_BYTES)


@dataclass
class Tally:
    """Answers that are kept, counted."""

    statuses: dict[str, int] = field(default_factory=dict)
    first_utc: float = math.inf
    """of the first frame"""
    last_utc: float = -math.inf

    def add(self, status: str, count: int, first_utc: float, last_utc: float) -> None:
        """Count some more."""
        self.statuses[status] = self.statuses.get(status, 0) + count
        self.first_utc, self.last_utc = min(first_utc, self.first_utc), max(last_utc, self.last_utc)


def tallies(
    connection: sa.Connection, *which: sa.ColumnElement[bool]
) -> Iterator[tuple[str, str, str, str, int, float, float]]:
    """Fleet, vehicle, program, status, how many, and the first and last frame's time."""
    table = answers.c
    group = (table.fleet, table.vehicle, table.program_id, table.status)
    query = sa.select(*group, sa.func.count(), sa.func.min(table.t_utc), sa.func.max(table.t_utc))
    for row in connection.execute(query.where(*which).group_by(*group)):
        yield row.fleet, row.vehicle, row.program_id, row.status, row[4], row[5], row[6]


_SELECT: Final = sa.select(
    answers.c.number, answers.c.fleet, answers.c.received_utc, answers.c.t_utc, answers.c.answer
)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    answer: Answer
    columns: dict[str, Any]
    places: frozenset[tuple[float, float]]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.columns["id"], self.columns["vehicle"], self.columns["fleet"]


def _row(fleet: str, answer: Answer, now: float) -> _Row:
    """:raises MessageError: see `check_storable`"""
    check_storable(answer)
    columns = {
        "fleet": fleet, "vehicle": answer.vehicle, "id": answer.id, "program_id": answer.program_id,
        "status": answer.status, "t_utc": answer.t_utc, "received_utc": now,
        "answer": messages.encode(answer, limit=MAX_ANSWER_BYTES),
    }  # fmt: skip
    found = set()
    for seen in answer.observations:
        own = seen.lat is not None and seen.lon is not None
        lat, lon = (seen.lat, seen.lon) if own else (seen.vehicle_lat, seen.vehicle_lon)
        if lat is not None and lon is not None:
            found.add((lat, lon))
    return _Row(answer, columns, frozenset(found))


def _store(connection: sa.Connection, rows: Sequence[_Row]) -> list[_Row]:
    """What is new or better of `rows`, stored under the next numbers."""
    last, table = _alone(connection), answers.c
    query = sa.select(table.number, table.id, table.vehicle, table.fleet, table.status)
    found = connection.execute(query.where(table.id.in_({row.columns["id"] for row in rows})))
    there = {(row.id, row.vehicle, row.fleet): row for row in found}
    best: dict[tuple[str, str, str], _Row] = {}
    for row in rows:
        known = best[row.key].answer.status if row.key in best else there[row.key].status if row.key in there else None
        if known is None or RANK[row.answer.status] > RANK[known]:
            best.pop(row.key, None)  # so that the order stays that of arrival
            best[row.key] = row
    if not best:
        return []
    _delete(connection, [there[key].number for key in best if key in there])
    for number, row in enumerate(best.values(), start=last + 1):
        row.columns["number"] = number
    connection.execute(answers.insert(), [row.columns for row in best.values()])
    where = [
        {"number": row.columns["number"], "lat": lat, "lon": lon}
        for row in best.values()
        for lat, lon in sorted(row.places)
    ]
    if where:
        connection.execute(places.insert(), where)
    connection.execute(counter.update().where(counter.c.name == _COUNTER).values(value=last + len(best)))
    return list(best.values())


def _delete(connection: sa.Connection, numbers: Sequence[int]) -> None:
    if numbers:
        connection.execute(places.delete().where(places.c.number.in_(numbers)))
        connection.execute(answers.delete().where(answers.c.number.in_(numbers)))


def _alone(connection: sa.Connection) -> int:
    """The last number; until the transaction ends, nobody else writes answers."""
    locked = sa.select(counter.c.value).where(counter.c.name == _COUNTER).with_for_update()
    return connection.scalar(locked) or 0


def _last(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(counter.c.value).where(counter.c.name == _COUNTER)) or 0


def _conditions(which: AnswerFilter | None, *, by_place: bool = False) -> list[sa.ColumnElement[bool]]:
    """`by_place`: find the places in the box first, then their answers; else look at each answer where it lies."""
    if which is None:
        return []
    table = answers.c
    equal = (
        (table.fleet, which.fleet), (table.vehicle, which.vehicle), (table.program_id, which.program),
        (table.status, which.status),
    )  # fmt: skip
    conditions: list[sa.ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if which.since is not None:
        conditions.append(table.t_utc >= which.since)
    if which.until is not None:
        conditions.append(table.t_utc < which.until)
    if which.box is not None:
        here = _in_box(which.box)
        if by_place:
            conditions.append(table.number.in_(sa.select(places.c.number).where(here)))
        else:
            conditions.append(sa.exists().where(places.c.number == table.number, here))
    return conditions


def _in_box(box: tuple[float, float, float, float]) -> sa.ColumnElement[bool]:
    west, south, east, north = box
    lon = places.c.lon
    across = lon.between(west, east) if west <= east else sa.or_(lon >= west, lon <= east)
    return sa.and_(places.c.lat.between(south, north), across)


def _are_few(connection: sa.Connection, box: tuple[float, float, float, float]) -> bool:
    """Whether so few places lie in a box that it is quicker to begin with them than with the last answers."""
    some = sa.select(sa.literal(1)).select_from(places).where(_in_box(box)).limit(FEW).subquery()
    return (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) < FEW


def _readable(rows: Iterable[Any]) -> list[StoredAnswer]:
    """What can be read: another dicem may have written, too."""
    found = []
    for row in rows:
        try:
            answer = messages.decode(Answer, row.answer, limit=MAX_ANSWER_BYTES)
        except MessageError as cause:
            log.warning("stored answer %d is passed over: %s", row.number, cause)
            continue
        found.append(StoredAnswer(row.number, row.fleet, row.received_utc, answer))
    return found


def _parsed(cursor: str) -> tuple[float, int]:
    """:raises InvalidCall: none that we have given"""
    found = _CURSOR.fullmatch(cursor)
    parsed = (float(found[1]), int(found[2])) if found else (math.inf, 0)
    if math.isinf(parsed[0]):
        raise InvalidCall("no such cursor", expected="the cursor of the page before", got=repr(cursor[:60]))
    return parsed


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isprintable()
