"""A small cloud: real functions, a clock that stands still unless told, and requests as a vehicle would send them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from dicem_cloud.gateway import Gateway
from dicem_shared import images
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.camera import Attitude, Calibration
from dicem_shared.catalog import Metres, Output
from dicem_shared.functions import Batch, ImageParam, function
from dicem_shared.ids import blob_id, digest
from dicem_shared.implementations import Implementation, Work, each
from dicem_shared.implementations.depth import Depth
from dicem_shared.types import FrameInfo, Handle, ModelId, Pose, Request, ShippedBlob

NOW = 1_750_000_000.0


class StoppedClock:
    """Time that moves by `step` seconds whenever it is asked for how long something took."""

    def __init__(self) -> None:
        self.now, self.ticks, self.step = NOW, 0.0, 0.0

    def utc(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.ticks += self.step
        return self.ticks


@function(batch=Batch(3, 0.0))
def colour(image: ImageParam, wanted: str = "") -> Output:  # type: ignore[empty-body]
    """The channel that is strongest in the image."""


@function()
def liar(image: ImageParam) -> Metres:  # type: ignore[empty-body]
    """Breaks its promise."""


class Colour(Implementation):
    """Mean colour; fails for `wanted="crash"`."""

    spec = colour
    model = ModelId(function="colour", name="mean", sha256="0" * 64)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        self.batches.append(len(batch))
        return each(batch, self._one)

    def _one(self, work: Work) -> dict[str, str]:
        if work.params.get("wanted") == "crash":
            raise KeyError("secret detail")
        channel = int(work.params["image"].pixels.mean(axis=(0, 1)).argmax())
        return {"output": ("red", "green", "blue")[channel]}


class Liar(Implementation):
    spec = liar
    model = ModelId(function="liar", name="liar", sha256="0" * 64)

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        return [{"depth": float("nan")} for _ in batch]


def picture(width: int = 64, height: int = 48, *, seed: int = 0) -> images.Pixels:
    """Red on the left, blue on the right; `seed` makes two of them differ."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, : width // 2, 0], image[:, width // 2 :, 2] = 200, 200
    image[0, 0, 1] = seed
    return image


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def colours() -> Colour:
    return Colour()


@pytest.fixture
def store(clock: StoppedClock) -> MemoryBlobStore:
    return MemoryBlobStore(clock)


@pytest.fixture
def gateway(clock: StoppedClock, store: MemoryBlobStore, colours: Colour) -> Gateway:
    functions = {"colour": colours, "liar": Liar(), "depth": Depth()}
    return Gateway(functions, store, clock, prices={"colour": 3600.0})


@pytest.fixture
def calibration() -> Calibration:
    return Calibration(width=64, height=48, fx=60, fy=60, cx=32, cy=24, height_m=1.5, mount_pitch_deg=-10)


@pytest.fixture
def ask(calibration: Calibration) -> Callable[..., Request]:
    """Build a request: the whole frame is shipped unless `ship` is False, and the call is about `box`."""

    def build(
        name: str = "colour",
        *,
        box: tuple[int, int, int, int] = (0, 0, 64, 48),
        vehicle: str = "boat",
        ship: bool = True,
        seed: int = 0,
        attitude: Attitude | None = None,
        **params: Any,
    ) -> Request:
        data = images.encode(picture(seed=seed), format="png")
        frame = FrameInfo(
            camera="bow",
            sequence=1,
            t_utc=NOW,
            blob=blob_id(data),
            width=64,
            height=48,
            pose=Pose(attitude=attitude),
            calibration=calibration,
        )
        handle = Handle(blob=frame.blob, box=box).model_dump()
        return Request(
            call_id=digest(name, list(box), vehicle, seed, params),
            vehicle=vehicle,
            program="p",
            frame=frame,
            function=name,
            params={"image": handle} | params,
            blobs=(ShippedBlob(blob=frame.blob, source=frame.handle, data=data),) if ship else (),
            deadline_utc=NOW + 10,
            reply_topic=f"dicem/v1/f/{vehicle}/res/c",
        )

    return build


@pytest.fixture(scope="package")
def ray_cluster() -> Iterator[Any]:
    """A Ray of our own, up for all tests of the cloud that want one: it takes seconds and a gigabyte."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs the extra [cluster]")
    if "DICEM_RAY" not in os.environ:
        pytest.skip("needs a Ray, which takes a minute: `make test-ray` runs it")
    from dicem_cloud.ray_backend.cluster import connected

    with connected(None) as cluster:
        yield cluster
