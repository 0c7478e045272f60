"""What the routes answer, as OpenAPI shows it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dicem_shared.types import Answer, ModelId

from ..store.answers import StoredAnswer, Tally
from ..store.deployments import Placed
from ..store.programs import ProgramSeen
from ..store.vehicles import Presence, Vehicle


class FunctionResource(BaseModel):
    """A function, as Kubernetes shows its resources."""

    model_config = ConfigDict(extra="allow")
    apiVersion: str  # noqa: N815
    kind: Literal["Function"]
    metadata: dict[str, Any]
    spec: dict[str, Any]
    """sites, batch, and what it promises"""
    status: dict[str, Any]
    """documentation, parametersSchema and resultSchema (JSON Schema as text), model, replicas"""


class FunctionList(BaseModel):
    """Every function."""

    apiVersion: Literal["v1"] = "v1"  # noqa: N815
    kind: Literal["List"] = "List"
    items: list[FunctionResource]


class CallResult(BaseModel):
    """What a call gave."""

    result: Any
    """as the function's resultSchema says"""
    model: ModelId | None
    """which model answered"""
    compute_s: float
    """seconds of the device, this call's share of its batch"""
    queue_s: float
    price_usd: float
    cached: bool
    """the same call (Idempotency-Key) was answered before"""
    call_id: str
    """its trace has this id, unless the request named another"""


class Health(BaseModel):
    """That this process answers."""

    status: Literal["ok"] = "ok"
    functions: list[str]


class Readiness(BaseModel):
    """That calls can be served."""

    status: Literal["ready"] = "ready"
    checks: dict[str, bool]


class AnswerRecord(BaseModel):
    """An answer as it is stored."""

    number: int
    """counts what was stored: where live answers go on"""
    fleet: str
    received_utc: float
    """seconds since 1970-01-01, UTC"""
    answer: Answer

    @classmethod
    def of(cls, stored: StoredAnswer) -> AnswerRecord:
        """The same, as it is sent."""
        return cls(
            number=stored.number, fleet=stored.fleet, received_utc=stored.received_utc, answer=stored.answer
        )  # fmt: skip


class AnswerPage(BaseModel):
    """Answers, and where the next page begins."""

    items: list[AnswerRecord]
    cursor: str | None
    """for the next page, with the same filters and order; null: this was the last"""


class Answered(BaseModel):
    """How many answers there are."""

    statuses: dict[str, int]
    """status -> how many"""
    first_utc: float | None
    """of the frames, seconds since 1970-01-01, UTC"""
    last_utc: float | None

    @classmethod
    def of(cls, tally: Tally) -> Answered:
        """The same, as it is sent."""
        some = bool(tally.statuses)
        return cls(
            statuses=tally.statuses,
            first_utc=tally.first_utc if some else None,
            last_utc=tally.last_utc if some else None,
        )


class PlacedRecord(BaseModel):
    """A program's name on a vehicle: what is asked for, and what is."""

    model_config = ConfigDict(from_attributes=True)
    fleet: str
    vehicle: str
    program: str
    """its name there"""
    wanted_action: str | None
    """run or remove"""
    wanted_id: str | None
    wanted_counter: int | None
    wanted_utc: float | None
    question: str | None
    state: str | None
    """running, waiting, refused, removed or stale"""
    counter: int | None
    program_id: str | None
    running_id: str | None
    previous_id: str | None
    reason: str | None
    reported_utc: float | None
    is_behind: bool
    """the vehicle has not answered the last deployment yet"""


class VehicleRecord(BaseModel):
    """A vehicle: whether it is there, where it was last, what it runs, what it answered."""

    fleet: str
    vehicle: str
    status: Presence
    status_utc: float | None
    """since when, where that was heard"""
    seen_utc: float | None
    """when it last spoke"""
    lat: float | None
    lon: float | None
    position_utc: float | None
    programs: list[PlacedRecord]
    answers: Answered

    @classmethod
    def of(cls, seen: Vehicle) -> VehicleRecord:
        """The same, as it is sent."""
        return cls(
            fleet=seen.fleet, vehicle=seen.vehicle, status=seen.status, status_utc=seen.status_utc,
            seen_utc=seen.seen_utc, lat=seen.lat, lon=seen.lon, position_utc=seen.position_utc,
            programs=_placed(seen.programs), answers=Answered.of(seen.answers),
        )  # fmt: skip


class VehiclePage(BaseModel):
    """Vehicles in the order of fleet and name, and where the next page begins."""

    items: list[VehicleRecord]
    cursor: str | None


class ProgramOn(BaseModel):
    """What a program answered on one vehicle."""

    fleet: str
    vehicle: str
    answers: Answered


class ProgramRecord(BaseModel):
    """A program; its id is the hash of its source."""

    id: str
    names: list[str]
    """under which it was deployed"""
    question: str
    wanted: list[PlacedRecord]
    """where it is to run"""
    running: list[PlacedRecord]
    """where it runs, as the vehicles say"""
    vehicles: list[ProgramOn]
    answers: Answered

    @classmethod
    def of(cls, seen: ProgramSeen) -> ProgramRecord:
        """The same, as it is sent."""
        return cls(
            id=seen.id,
            names=sorted(seen.names),
            question=seen.question,
            wanted=_placed(seen.wanted),
            running=_placed(seen.running),
            vehicles=[
                ProgramOn(fleet=fleet, vehicle=vehicle, answers=Answered.of(tally))
                for (fleet, vehicle), tally in sorted(seen.vehicles.items())
            ],
            answers=Answered.of(seen.answers),
        )


class ProgramPage(BaseModel):
    """Programs by id, and where the next page begins."""

    items: list[ProgramRecord]
    cursor: str | None


def _placed(found: list[Placed]) -> list[PlacedRecord]:
    return [PlacedRecord.model_validate(one) for one in found]
