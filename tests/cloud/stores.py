"""What the tests of the store share: databases of both kinds, a clock, replies and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.store.database import Database
from dicem_shared.types import Answer, Observation, Reply

from .postgres import Postgres

NOW = 1_750_000_000.0


class SetClock:
    """Time that is set by hand."""

    real = False

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def utc(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def reply(call_id: str = "c1", result: Any = "one", **more: Any) -> Reply:
    return Reply(call_id=call_id, result=result, **more)


def seen(lat: float | None = None, lon: float | None = None, *, boat: tuple[float, float] | None = None) -> Observation:
    return Observation.model_validate(
        {
            "id": "o", "lat": lat, "lon": lon, "bbox": (0, 0, 1, 1),
            "vehicle_lat": boat[0] if boat else None, "vehicle_lon": boat[1] if boat else None,
        }
    )  # fmt: skip


def answer(answer_id: str = "a1", **more: Any) -> Answer:
    usual: dict[str, Any] = {
        "survey_id": "s", "vehicle": "boat-1", "camera": "bow", "frame": 1, "program_id": "p1", "status": "final",
        "source": "edge", "t_utc": NOW,
    }  # fmt: skip
    return Answer(id=answer_id, **usual | more)


Opened = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Opens one and the same database, as each gateway does."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/store.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.new_url()
    made: list[Database] = []

    def build() -> Database:
        made.append(Database(url))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def database(opened: Opened) -> Database:
    return opened()
