"""The contracts on one screen: what every part of dicem hands to every other.

Pixels never travel through these types.  A `Handle` names them (blob id and box); whoever must look at the pixels asks
a blob store.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt

from .camera import Attitude, Calibration, Strict

SCHEMA_VERSION: Literal[1] = 1

Site = Literal["edge", "cloud"]
Status = Literal["final", "pending", "expired", "failed"]
Source = Literal["edge", "cloud", "mixed", "cached"]
WhenAway = Literal["wait", "edge", "fail"]
"""What a call does while its site cannot be reached: wait, ask the equivalent function on board, or fail at once."""
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
"""A fleet, vehicle, camera, program or client: what may stand in a topic."""
BlobId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of an encoded image, in hex."""
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels; x, y is the top-left corner."""
Lat = Annotated[float, Field(ge=-90, le=90)]
Lon = Annotated[float, Field(ge=-180, le=180)]
Utc = Annotated[float, Field(ge=0, le=253402300799)]
"""Seconds since 1970-01-01, UTC; to the end of the year 9999, the last that has a calendar date."""


def is_finite(value: Any) -> bool:
    """False where a plain value holds NaN or an infinity: JSON has neither."""
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(is_finite, value.values()))
        case list() | tuple():
            return all(map(is_finite, value))
    return True


def _finite(value: Any) -> Any:
    if not is_finite(value):
        raise ValueError("holds a number that is not finite")
    return value


Plain = Annotated[Any, AfterValidator(_finite)]
"""What a program or a function gives: text, finite numbers, True, False, None, lists and dicts of these."""


class Handle(Strict):
    """A patch: which encoded image, and which box of it."""

    blob: BlobId
    box: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class Pose(Strict):
    """Where the vehicle was, and how it lay (WGS 84)."""

    lat: Lat | None = None
    lon: Lon | None = None
    position_unc_m: NonNegativeFloat | None = None
    """95 % radius"""
    attitude: Attitude | None = None
    """None where no IMU speaks: then nothing can be ranged by the horizon"""
    attitude_unc_deg: NonNegativeFloat = 0.3
    """95 %, of roll and pitch"""


class FrameInfo(Strict):
    """Everything about a camera frame but its pixels."""

    camera: Id
    sequence: NonNegativeInt
    t_utc: Utc
    t_unc_s: NonNegativeFloat = 0.0
    clock_source: str = "system"
    blob: BlobId
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    pose: Pose | None = None
    calibration: Calibration | None = None

    @property
    def handle(self) -> Handle:
        """The whole frame."""
        return Handle(blob=self.blob, box=(0, 0, self.width, self.height))


class ModelId(Strict):
    """Which model answered."""

    function: str
    name: str
    sha256: str


class Request(Strict):
    """One attempt at one call, self-contained: whoever receives it needs to know nothing else.

    `crop` says where a shipped crop lies in its frame: the blob then holds those pixels alone, and the handles of
    `params` are boxes of the frame all the same.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    call_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    vehicle: Id
    program: str
    frame: FrameInfo
    function: str
    params: dict[str, Any]
    """as they came; whoever runs the call holds them against its schema"""
    blobs: tuple[ShippedBlob, ...] = ()
    deadline_utc: float
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """0 goes first"""
    reply_topic: str
    traceparent: str = ""


class ShippedBlob(Strict):
    """Pixels that a request needs: sent now (`data`), or named because they were sent before."""

    blob: BlobId
    source: Handle
    """what these pixels show: the whole frame, or the box of it that was cut out"""
    data: bytes | None = None


class Failure(Strict):
    """Why a call has no result; `kind` is what the program sees."""

    kind: Literal["RuntimeError", "TimeoutError", "ValueError"]
    message: str
    reason: str = ""
    """a stable word for it, `DicemError.reason`"""
    retry_after_s: NonNegativeFloat | None = None
    blob_missing: BlobId | None = None


class Reply(Strict):
    """The end of a call: a result or a failure, what it took and what it cost."""

    schema_version: Literal[1] = SCHEMA_VERSION
    call_id: str
    attempt: int = 1
    result: Plain = None
    failure: Failure | None = None
    model: ModelId | None = None
    site: Site = "cloud"
    cached: bool = False
    queue_s: NonNegativeFloat = 0.0
    compute_s: NonNegativeFloat = 0.0
    price_usd: NonNegativeFloat = 0.0


class Code(Strict):
    """A class in somebody's list, such as the J-list of beach litter."""

    list_: Annotated[str, Field(alias="list")]
    version: str
    code: str


class Observation(Strict):
    """What was learned about one patch of one frame."""

    id: str
    track_id: str | None = None
    lat: Lat | None = None
    lon: Lon | None = None
    pos_unc_m: NonNegativeFloat | None = None
    """95 % radius"""
    pos_method: str | None = None
    vehicle_lat: Lat | None = None
    vehicle_lon: Lon | None = None
    heading_true: Annotated[float, Field(ge=0, lt=360)] | None = None
    distance_m: NonNegativeFloat | None = None
    distance_unc_m: NonNegativeFloat | None = None
    class_: Annotated[str | None, Field(alias="class")] = None
    code: Code | None = None
    material: str | None = None
    facts: dict[str, Plain] = {}
    """question or property -> answer"""
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    bbox: Box
    """in frame pixels"""
    crop_blob: BlobId | None = None
    models: tuple[ModelId, ...] = ()


class Cost(Strict):
    """What an answer took."""

    bytes_up: NonNegativeInt = 0
    bytes_down: NonNegativeInt = 0
    cloud_s: NonNegativeFloat = 0.0
    usd: NonNegativeFloat = 0.0
    calls: dict[str, int] = {}
    """function -> how many"""
    shared: dict[str, int] = {}
    """function -> how many more were answered by what another program asked of the same frame, and pays for"""


class Answer(Strict):
    """What a program said of a frame."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    survey_id: str
    vehicle: Id
    camera: Id
    frame: NonNegativeInt
    program_id: str
    status: Status
    source: Source
    reason: str = ""
    t_utc: Utc
    t_unc_s: NonNegativeFloat = 0.0
    clock_source: str = "system"
    value: Plain = None
    printed: str = ""
    observations: tuple[Observation, ...] = ()
    latency_s: NonNegativeFloat = 0.0
    """from the frame's stamp to the answer"""
    cost: Cost = Cost()


Request.model_rebuild()
