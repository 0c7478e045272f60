"""The routes of what is stored: answers, vehicles, programs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import ValidationError
from sse_starlette import EventSourceResponse

from dicem_shared.types import Id, Status

from ..store.answers import MAX_NAME, MAX_PAGE, AnswerFilter
from .doors import Doors
from .errors import InvalidQuery, NotFound
from .live import Live
from .models import AnswerPage, AnswerRecord, ProgramPage, ProgramRecord, VehiclePage, VehicleRecord
from .records import Records

MAX_NUMBER: Final = 1 << 62
LIVE_EXAMPLE: Final = 'id: 42\nevent: answer\ndata: {"number":42,"fleet":"demo","answer":{}}\n\n'
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many at most")]
Cursor = Annotated[str | None, Query(min_length=1, max_length=256, description="`cursor` of the page before")]


def which(
    fleet: Annotated[Id | None, Query()] = None,
    vehicle: Annotated[Id | None, Query()] = None,
    program: Annotated[str | None, Query(min_length=1, max_length=MAX_NAME, description="a program's id")] = None,
    status: Annotated[Status | None, Query()] = None,
    from_: Annotated[
        datetime | None,
        Query(
            alias="from",
            description="frames of this moment or later; ISO 8601 (UTC where it says no zone) or seconds since 1970",
            examples=["2026-05-01T12:00:00Z"],
        ),
    ] = None,
    to: Annotated[datetime | None, Query(description="frames before this moment")] = None,
    bbox: Annotated[
        str | None,
        Query(
            max_length=128,
            description="min_lon,min_lat,max_lon,max_lat in degrees; min_lon > max_lon crosses the date line",
            examples=["9.9,53.5,10.1,53.6"],
        ),
    ] = None,
) -> AnswerFilter:
    """The filters of a request.

    :raises InvalidQuery: no part of the earth, or a time that is none or ends before it begins
    """
    begin, end = _seconds(from_), _seconds(to)
    if begin is not None and end is not None and begin > end:
        raise InvalidQuery("from lies after to", expected="from <= to", got=f"{begin:.0f} > {end:.0f}")
    box = None if bbox is None else _box(bbox)
    try:
        return AnswerFilter(
            fleet=fleet, vehicle=vehicle, program=program, status=status, since=begin, until=end, box=box
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = {"since": "from", "until": "to"}.get(str(first["loc"][0]), str(first["loc"][0]))
        raise InvalidQuery(f"{name}: {first['msg']}") from None


def _box(text: str) -> tuple[float, float, float, float]:
    """`min_lon,min_lat,max_lon,max_lat`.

    :raises InvalidQuery: no part of the earth
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        west = south = east = north = float("nan")
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise InvalidQuery(
            "bbox is no part of the earth",
            expected="min_lon,min_lat,max_lon,max_lat in degrees, min_lat <= max_lat",
            got=text[:64],
        )
    return west, south, east, north


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _number(cursor: str | None) -> int | None:
    """The number behind which a stream goes on; None: from now on.

    :raises InvalidQuery: none that we have given
    """
    if not cursor:
        return None
    if cursor.isascii() and cursor.isdecimal() and len(cursor) < 20 and int(cursor) < MAX_NUMBER:
        return int(cursor)
    raise InvalidQuery("no such cursor", expected="the id of an event that was sent", got=repr(cursor[:60]))


def record_routes(records: Records, live: Live, doors: Doors) -> APIRouter:
    """See the module's text."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(doors.to("read"))])

    @router.get("/answers", tags=["answers"])
    def answers(
        which: Annotated[AnswerFilter, Depends(which)],
        limit: Limit = 100,
        cursor: Cursor = None,
        order: Annotated[Literal["newest", "oldest"], Query(description="by the time of the frame")] = "newest",
    ) -> AnswerPage:
        """What programs answered, newest first unless `order` says otherwise."""
        page = records.answers.page(which, limit=limit, cursor=cursor, newest_first=order == "newest")
        return AnswerPage(items=[AnswerRecord.of(one) for one in page.answers], cursor=page.cursor)

    @router.get(
        "/answers/live",
        tags=["answers"],
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": {"example": LIVE_EXAMPLE}}}},
    )
    async def watch(
        which: Annotated[AnswerFilter, Depends(which)],
        cursor: Annotated[str | None, Query(max_length=256, description="go on after the event of this id")] = None,
        last_event_id: Annotated[str | None, Header(max_length=256)] = None,
    ) -> EventSourceResponse:
        """Answers as they come in, as server-sent events; `id` is a cursor, so that who was cut off misses nothing.

        Begins with what comes from now on, or after `Last-Event-ID` (browsers send it by themselves) or `cursor`.
        """
        return await live.watch(which, _number(last_event_id or cursor))

    @router.get("/answers/{id}", tags=["answers"])
    def answer(id: str) -> AnswerRecord:
        """One answer."""
        found = records.answers.get(id)
        if found is None:
            raise NotFound(f"no answer {id[:64]!r} is here", todo="It may have been too old to be kept.")
        return AnswerRecord.of(found)

    @router.get("/vehicles", tags=["vehicles"])
    def vehicles(
        fleet: Annotated[Id | None, Query()] = None, limit: Limit = 100, cursor: Cursor = None
    ) -> VehiclePage:  # fmt: skip
        """Every vehicle that was heard of: where it is, what it runs, what it answered."""
        after = None if cursor is None else _place(cursor)
        found = records.vehicles.all(fleet=fleet, after=after, limit=limit)
        last = found[-1] if len(found) == limit else None
        return VehiclePage(
            items=[VehicleRecord.of(one) for one in found],
            cursor=None if last is None else f"{last.fleet}/{last.vehicle}",
        )

    @router.get("/vehicles/{fleet}/{vehicle}", tags=["vehicles"])
    def vehicle(fleet: Annotated[Id, Path()], vehicle: Annotated[Id, Path()]) -> VehicleRecord:
        """One vehicle."""
        found = records.vehicles.get(fleet, vehicle)
        if found is None:
            raise NotFound(f"no vehicle {fleet}/{vehicle} was heard of", todo="GET /v1/vehicles lists them.")
        return VehicleRecord.of(found)

    @router.get("/programs", tags=["programs"])
    def programs(
        fleet: Annotated[Id | None, Query()] = None, limit: Limit = 100, cursor: Cursor = None
    ) -> ProgramPage:  # fmt: skip
        """Every program that was heard of: where it is to run, where it runs, what it answered."""
        found = [one for one in records.programs.all(fleet=fleet) if cursor is None or one.id > cursor]
        more = len(found) > limit
        return ProgramPage(
            items=[ProgramRecord.of(one) for one in found[:limit]], cursor=found[limit - 1].id if more else None
        )

    @router.get("/programs/{id}", tags=["programs"])
    def program(id: str) -> ProgramRecord:
        """One program."""
        found = records.programs.get(id)
        if found is None:
            raise NotFound(f"no program {id[:64]!r} was heard of", todo="GET /v1/programs lists them.")
        return ProgramRecord.of(found)

    return router


def _place(cursor: str) -> tuple[str, str]:
    """Fleet and name of a vehicle.

    :raises InvalidQuery: no cursor that we have given
    """
    fleet, slash, vehicle = cursor.partition("/")
    if not slash:
        raise InvalidQuery("no such cursor", expected="the cursor of the page before", got=repr(cursor[:60]))
    return fleet, vehicle
