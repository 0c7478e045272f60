"""A small vehicle: real functions, a virtual clock, and a cloud in memory that can be told to lose things."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from dicem_edge.agent import Agent, AgentConfig
from dicem_edge.shipping import LoadedFrame, Shipper, ShippingConfig
from dicem_shared import images
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.catalog import catalog
from dicem_shared.clock import VirtualClock
from dicem_shared.errors import BlobMissing, DicemError
from dicem_shared.ids import blob_id
from dicem_shared.implementations import Implementation, Work, each
from dicem_shared.patches import PatchReader
from dicem_shared.program import prepare
from dicem_shared.runner import Interpreter, RunLimits
from dicem_shared.transport import OnReply, Traffic
from dicem_shared.types import Answer, Failure, FrameInfo, Handle, ModelId, Reply, Request

NOW = 1_700_000_000.0
LITTER = [(10, 40, 20, 12), (60, 20, 16, 8)]
"""Boxes of the objects in the picture: x, y, width, height."""


def picture() -> images.Pixels:
    """Grey, 96 by 64, with a red and a blue object."""
    image = np.full((64, 96, 3), 90, dtype=np.uint8)
    for (x, y, width, height), channel in zip(LITTER, (0, 2), strict=True):
        image[y : y + height, x : x + width] = 0
        image[y : y + height, x : x + width, channel] = 220
    return image


def frame_of(pixels: images.Pixels, sequence: int = 1, *, t_utc: float = NOW) -> LoadedFrame:
    data = images.encode(pixels, format="png")
    height, width, _ = pixels.shape
    info = FrameInfo(
        camera="bow", sequence=sequence, t_utc=t_utc, blob=blob_id(data), width=width, height=height
    )  # fmt: skip
    return LoadedFrame(info, data)


class Function(Implementation):
    """A function of the catalogue whose answers are computed from the pixels by `answer`."""

    def __init__(self, name: str, answer: Callable[[Work], Any], *, where: str) -> None:
        self.spec = catalog().get(name)
        self.model = ModelId(function=name, name=f"{where}-{name}", sha256="0" * 64)
        self._answer = answer
        self.seen: list[Work] = []

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        self.seen += batch
        return each(batch, self._answer)


def detect(work: Work) -> Any:
    """What is not grey, left to right."""
    x0, y0, *_ = work.params["image"].box
    pixels = work.params["image"].pixels
    found = []
    for x, y, width, height in LITTER:
        inside = pixels[max(y - y0, 0) : y + height - y0, max(x - x0, 0) : x + width - x0]
        if inside.size and np.ptp(inside.mean(axis=(0, 1))) > 50:
            found.append({"class": "can", "score": 0.9, "x": x - x0, "y": y - y0, "width": width, "height": height})
    return {"objects": found}


def metres(work: Work) -> Any:
    """Nearer the lower it is in the frame."""
    _, y, _, height = work.params["image"].box
    return {"depth": (64 - y - height) / 4}


def colour(work: Work) -> Any:
    channel = int(work.params["image"].pixels.mean(axis=(0, 1)).argmax())
    return {"output": ("red", "green", "blue")[channel]}


@dataclass
class Thread:
    """An executor on the virtual clock: one thing after the other, `seconds` each."""

    clock: VirtualClock
    seconds: float = 0.125
    free_at: float = 0.0

    def submit(self, implementation: Implementation, work: Work, on_done: Callable[[Any, float], None]) -> None:
        (result,) = implementation.run([work])
        self.free_at = max(self.free_at, self.clock.monotonic()) + self.seconds
        self.clock.call_at(self.free_at, lambda: on_done(result, self.seconds))


@dataclass
class Cloud:
    """`CallTransport` to functions behind a blob store; what was sent is in `requests`."""

    clock: VirtualClock
    functions: dict[str, Implementation]
    delay_s: float = 0.25
    requests: list[Request] = field(default_factory=list)
    refuse: Callable[[Request], DicemError | None] = lambda request: None
    lose: Callable[[Request], bool] = lambda request: False
    """says of a request that the cloud has forgotten the vehicle's blobs when it arrives"""
    reachable: bool = True

    def __post_init__(self) -> None:
        self.store = MemoryBlobStore(self.clock)

    def send(self, request: Request, on_reply: OnReply) -> None:
        refusal = self.refuse(request)
        if refusal is not None:
            raise refusal
        self.requests.append(request)
        up = sum(len(blob.data or b"") for blob in request.blobs)
        self.clock.call_later(self.delay_s, lambda: on_reply(self._serve(request), Traffic(up + 100, 50)))

    def _serve(self, request: Request) -> Reply:
        if self.lose(request):
            self.store = MemoryBlobStore(self.clock)
        for blob in request.blobs:
            if blob.data is not None:
                assert self.store.put("v", blob.data) == blob.blob
        implementation = self.functions[request.function]
        params = dict(request.params)
        same = {"call_id": request.call_id, "attempt": request.attempt}
        try:
            for name in implementation.spec.image_parameters:
                handle = Handle.model_validate(params[name])
                params[name] = PatchReader(self.store).read("v", handle, request.frame, request.blobs)
        except BlobMissing as missing:
            failure = Failure(kind="RuntimeError", message=str(missing), blob_missing=missing.blob)
            return Reply(**same, failure=failure)
        (result,) = implementation.run([Work(params)])
        if isinstance(result, Exception):
            return Reply(**same, failure=Failure(kind="RuntimeError", message=str(result)), compute_s=0.5)
        return Reply(**same, result=result, model=implementation.model, compute_s=0.5, price_usd=0.001)

    def close(self) -> None:
        pass

    @property
    def bytes_of_pixels(self) -> list[list[int | None]]:
        """For each request, the bytes of each blob; None where it was only named."""
        return [[len(b.data) if b.data is not None else None for b in r.blobs] for r in self.requests]


class Vehicle:
    """An agent and all that it needs."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.clock = VirtualClock(NOW)
        self.thread = Thread(self.clock)
        self.edge: dict[str, Implementation] = {
            name: Function(name, answer, where="edge") for name, answer in (("yolov8", detect), ("depth", metres))
        }
        self.cloud = Cloud(
            self.clock,
            {n: Function(n, a, where="cloud") for n, a in (("blip2", colour), ("depth", metres), ("yolov8", detect))},
        )
        self.shipper = Shipper(ShippingConfig())
        self.answers: list[Answer] = []
        self.settings: dict[str, Any] = {}
        self.with_cloud = True

    def agent(self, **how: Any) -> Agent:
        config = AgentConfig(
            vehicle="boat", survey="s", vocabulary=("litter", "can"), placement=self.settings.get("placement", {}),
            reply_topic="dicem/v1/f/boat/res/agent", deadline_s=30, away=self.settings.get("away", {}),
        )  # fmt: skip
        transport = self.cloud if self.with_cloud else None
        return Agent(
            config, self.interpreter, self.edge, self.thread, transport, self.shipper, self.clock, **how
        )  # fmt: skip

    def answer(self, source: str, frame: LoadedFrame | None = None, **how: Any) -> Answer:
        """What the agent says of one frame."""
        self.agent(**how).submit(prepare(source, name="p"), frame or frame_of(picture()), self.answers.append)
        self.clock.run()
        return self.answers[-1]


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(catalog(), RunLimits(cpu_s=1, calls=2000), max_runs=4) as opened:
        yield opened


@pytest.fixture
def vehicle(interpreter: Interpreter) -> Vehicle:
    return Vehicle(interpreter)


@pytest.fixture
def frame() -> Callable[..., LoadedFrame]:
    def make(sequence: int = 1, *, empty: bool = False, **how: Any) -> LoadedFrame:
        pixels = np.full((64, 96, 3), 90, dtype=np.uint8) if empty else picture()
        return frame_of(pixels, sequence, **how)

    return make
