"""The contracts on one screen: what every part of dicem hands to every other.

Pixels never travel through these types.  A `Handle` names them (blob id and box); whoever must look at the pixels asks
a blob store.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from .camera import Attitude, Calibration, Strict

SCHEMA_VERSION: Literal[1] = 1

Site = Literal["edge", "cloud"]
Status = Literal["final", "pending", "expired", "failed"]
Source = Literal["edge", "cloud", "mixed", "cached"]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
"""A fleet, vehicle, camera, program or client: what may stand in a topic."""
BlobId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of an encoded image, in hex."""
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels; x, y is the top-left corner."""


class Handle(Strict):
    """A patch: which encoded image, and which box of it."""

    blob: BlobId
    box: Annotated[tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt], Field()]


class Pose(Strict):
    """Where the vehicle was, and how it lay (WGS 84)."""

    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
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
    t_utc: float
    """seconds since 1970-01-01, UTC"""
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
    retry_after_s: NonNegativeFloat | None = None
    blob_missing: BlobId | None = None


class Reply(Strict):
    """The end of a call: a result or a failure, what it took and what it cost."""

    schema_version: Literal[1] = SCHEMA_VERSION
    call_id: str
    attempt: int = 1
    result: Any = None
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
    lat: float | None = None
    lon: float | None = None
    pos_unc_m: NonNegativeFloat | None = None
    """95 % radius"""
    pos_method: str | None = None
    vehicle_lat: float | None = None
    vehicle_lon: float | None = None
    heading_true: float | None = None
    distance_m: NonNegativeFloat | None = None
    distance_unc_m: NonNegativeFloat | None = None
    class_: Annotated[str | None, Field(alias="class")] = None
    code: Code | None = None
    material: str | None = None
    facts: dict[str, Any] = {}
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
    t_utc: float
    t_unc_s: NonNegativeFloat = 0.0
    clock_source: str = "system"
    value: Any = None
    printed: str = ""
    observations: tuple[Observation, ...] = ()
    latency_s: NonNegativeFloat = 0.0
    """from the frame's stamp to the answer"""
    cost: Cost = Cost()


Request.model_rebuild()
