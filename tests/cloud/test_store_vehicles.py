"""Vehicles and programs: what is known of them, from messages that come twice, late, and from several gateways."""

from __future__ import annotations

from typing import Any

import pytest

from dicem_cloud.store.answers import Answers
from dicem_cloud.store.database import Database
from dicem_cloud.store.deployments import MAX_NAMES, Deployments
from dicem_cloud.store.programs import Programs
from dicem_cloud.store.vehicles import Vehicle, Vehicles
from dicem_shared.deployment import Deployed, Deployment
from dicem_shared.errors import InvalidCall, MessageError

from .postgres import postgres
from .stores import NOW, Opened, SetClock, answer, database, opened, seen

__all__ = ["database", "opened", "postgres"]  # fixtures


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def vehicles(database: Database, clock: SetClock) -> Vehicles:
    return Vehicles(database, clock)


@pytest.fixture
def deployments(database: Database) -> Deployments:
    return Deployments(database)


def the(vehicles: Vehicles, name: str = "boat-1") -> Vehicle:
    found = vehicles.get("f", name)
    assert found is not None
    return found


def wanted(program: str = "litter", counter: int = 1, **more: Any) -> Deployment:
    usual: dict[str, Any] = {
        "fleet": "f", "vehicle": "boat-1", "action": "run", "issued_utc": NOW, "program_id": "hash-1",
        "question": "Is there litter?", "source": "1",
    }  # fmt: skip
    return Deployment(program=program, counter=counter, **usual | more)


def report(program: str = "litter", counter: int = 1, **more: Any) -> Deployed:
    usual: dict[str, Any] = {"state": "running", "program_id": "hash-1", "running_id": "hash-1", "t_utc": NOW + 5}
    return Deployed(program=program, counter=counter, **usual | more)


# Vehicles


def test_a_vehicle_comes_and_goes(vehicles: Vehicles, clock: SetClock) -> None:
    assert vehicles.get("f", "boat-1") is None
    vehicles.status("f", "boat-1", "online")
    clock.now += 10
    vehicles.status("f", "boat-1", "online")
    assert (the(vehicles).status, the(vehicles).status_utc, the(vehicles).seen_utc) == ("online", NOW, NOW + 10)
    clock.now += 10
    vehicles.status("f", "boat-1", "offline")
    gone = the(vehicles)
    assert (gone.status, gone.status_utc, gone.seen_utc) == ("offline", NOW + 20, NOW + 10), (
        "the broker said so, not it"
    )
    clock.now += 10
    vehicles.status("f", "boat-1", "stopped")
    assert (the(vehicles).status, the(vehicles).seen_utc) == ("stopped", NOW + 30)


def test_what_the_broker_has_kept_says_nothing_of_when(vehicles: Vehicles, clock: SetClock) -> None:
    vehicles.status("f", "boat-1", "stopped", is_news=False)
    assert (the(vehicles).status_utc, the(vehicles).seen_utc) == (None, None)
    vehicles.status("f", "boat-1", "online", is_news=False)
    assert (the(vehicles).status_utc, the(vehicles).seen_utc) == (None, NOW), "who is online is there now"
    vehicles.status("f", "boat-1", "offline")
    clock.now += 100
    vehicles.status("f", "boat-1", "offline", is_news=False)
    assert the(vehicles).status_utc == NOW, "a gateway that starts hears it again"


def test_whoever_speaks_was_seen(vehicles: Vehicles, clock: SetClock) -> None:
    vehicles.spoke("f", "boat-1")
    assert (the(vehicles).status, the(vehicles).seen_utc) == ("unknown", NOW)
    clock.now -= 100
    vehicles.spoke("f", "boat-1")
    assert the(vehicles).seen_utc == NOW, "a gateway whose clock is behind takes nothing back"


def test_the_position_is_that_of_the_last_answer_that_says_one(vehicles: Vehicles, clock: SetClock) -> None:
    def at(t_utc: float, *boats: tuple[float, float] | None) -> None:
        observations = tuple(seen(1.0, 1.0, boat=boat) for boat in boats)
        vehicles.answered([("f", "boat-1", answer(t_utc=t_utc, observations=observations))])

    def place() -> tuple[float | None, float | None, float | None]:
        now = the(vehicles)
        return now.lat, now.lon, now.position_utc

    at(NOW - 50)
    assert place() == (None, None, None)
    at(NOW - 40, None, (50.0, 10.0))
    assert place() == (50.0, 10.0, NOW - 40)
    at(NOW - 60, (1.0, 1.0))
    assert place() == (50.0, 10.0, NOW - 40), "an answer that comes late is an old position"
    at(NOW - 30)
    assert place() == (50.0, 10.0, NOW - 40)
    at(NOW + 1e9, (51.0, 11.0))
    assert place() == (51.0, 11.0, NOW), "a clock that is wrong once does not hide what comes after"
    clock.now += 1
    at(NOW + 1, (52.0, 12.0))
    assert place() == (52.0, 12.0, NOW + 1)


def test_several_answers_at_once(vehicles: Vehicles) -> None:
    def one(t_utc: float, lat: float) -> Any:
        return ("f", "boat-1", answer(t_utc=t_utc, observations=(seen(boat=(lat, 0.0)),)))

    vehicles.answered([one(NOW - 3, 1.0), one(NOW - 1, 2.0), one(NOW - 2, 3.0), ("f", "boat-1", None)])
    assert the(vehicles).lat == 2.0


def test_vehicles_are_listed_page_by_page(vehicles: Vehicles, deployments: Deployments, database: Database) -> None:
    names = [(fleet, f"boat-{n}") for fleet in ("f", "g") for n in range(5)]
    for fleet, name in names:
        vehicles.status(fleet, name, "online")
    deployments.wanted("g", "boat-0", "litter", wanted(fleet="g", vehicle="boat-0"))
    Answers(database, SetClock()).put([("g", answer(f"a{n}", vehicle="boat-0")) for n in range(3)])
    first = vehicles.all(limit=6)
    second = vehicles.all(after=(first[-1].fleet, first[-1].vehicle), limit=6)
    assert [(one.fleet, one.vehicle) for one in first + second] == names
    assert [one.answers.statuses for one in first] == [{}] * 5 + [{"final": 3}]
    assert [one.program for one in first[5].programs] == ["litter"]
    assert [one.vehicle for one in vehicles.all(fleet="g")] == [f"boat-{n}" for n in range(5)]
    assert vehicles.all(fleet="h") == []
    for limit in (0, 1001):
        with pytest.raises(InvalidCall):
            vehicles.all(limit=limit)


def test_a_vehicle_is_forgotten(vehicles: Vehicles, deployments: Deployments) -> None:
    for name in ("boat-1", "boat-2"):
        vehicles.status("f", name, "online")
        deployments.reported("f", name, "litter", report())
    vehicles.forget("f", "boat-1")
    vehicles.forget("f", "boat-1")
    assert [one.vehicle for one in vehicles.all()] == ["boat-2"]
    assert [one.vehicle for one in deployments.all()] == ["boat-2"]


# Deployments


def test_asked_and_reported_come_together_in_any_order(vehicles: Vehicles, deployments: Deployments) -> None:
    vehicles.status("f", "boat-1", "online")
    deployments.reported("f", "boat-1", "litter", report(reason="a\0b"))
    deployments.wanted("f", "boat-1", "litter", wanted(counter=2, program_id="hash-2"))
    deployments.wanted("f", "boat-1", "litter", wanted(counter=2, program_id="hash-2"))
    (one,) = the(vehicles).programs
    assert (one.wanted_id, one.wanted_utc, one.running_id, one.state) == ("hash-2", NOW, "hash-1", "running")
    assert one.reason == "a\N{REPLACEMENT CHARACTER}b"
    assert one.is_behind
    deployments.reported("f", "boat-1", "litter", report(counter=2, program_id="hash-2", running_id="hash-2"))
    (one,) = deployments.all(vehicle="boat-1")
    assert not one.is_behind
    assert deployments.all(fleet="g") == []


def test_what_is_taken_back_is_gone(deployments: Deployments) -> None:
    deployments.wanted("f", "boat-1", "litter", wanted())
    deployments.reported("f", "boat-1", "litter", report())
    deployments.wanted("f", "boat-1", "litter", None)
    (one,) = deployments.all()
    assert (one.wanted_action, one.wanted_id, one.state) == (None, None, "running")
    assert not one.is_behind
    deployments.reported("f", "boat-1", "litter", None)
    deployments.reported("f", "boat-1", "litter", None)
    assert deployments.all() == []


def test_messages_that_lie_are_dropped(deployments: Deployments) -> None:
    for where in (("g", "boat-1", "litter"), ("f", "boat-2", "litter"), ("f", "boat-1", "other")):
        with pytest.raises(MessageError, match="not for where it was sent"):
            deployments.wanted(*where, wanted())
    with pytest.raises(MessageError, match="not about its topic's program"):
        deployments.reported("f", "boat-1", "other", report())
    for bad in ("x" * 201, "a\nb", "\0"):
        with pytest.raises(MessageError, match="not the id of a program"):
            deployments.reported("f", "boat-1", "litter", report(running_id=bad))
    assert deployments.all() == []


def test_a_vehicle_cannot_fill_the_store_with_names(deployments: Deployments) -> None:
    for n in range(MAX_NAMES):
        deployments.reported("f", "boat-1", f"p{n}", report(f"p{n}"))
    with pytest.raises(MessageError, match="too many names"):
        deployments.reported("f", "boat-1", "more", report("more"))
    deployments.reported("f", "boat-1", "p0", report("p0", state="stale"))
    deployments.reported("f", "boat-2", "more", report("more"))
    deployments.reported("f", "boat-1", "p0", None)
    deployments.reported("f", "boat-1", "more", report("more"))
    assert len(deployments.all()) == MAX_NAMES + 1


# Programs


def test_programs_from_all_that_speaks_of_them(database: Database, deployments: Deployments) -> None:
    programs, store = Programs(database), Answers(database, SetClock())
    assert programs.all() == []
    deployments.wanted("f", "boat-1", "litter", wanted(counter=2, program_id="hash-2"))
    deployments.reported("f", "boat-1", "litter", report())
    deployments.wanted("g", "boat-9", "old", wanted("old", fleet="g", vehicle="boat-9", action="remove", source=""))
    store.put([
        ("f", answer(f"a{n}", program_id=("hash-1", "own")[n % 2], vehicle=f"boat-{n % 3}", t_utc=NOW + n,
                     status=("final", "failed")[n // 6]))
        for n in range(12)
    ])  # fmt: skip
    first, second, own = programs.all()
    assert (first.id, second.id, own.id) == ("hash-1", "hash-2", "own")
    assert [(one.fleet, one.vehicle) for one in first.running] == [("f", "boat-1")]
    assert (first.wanted, second.running, first.names, own.names) == ([], [], {"litter"}, set())
    assert second.question == "Is there litter?"
    assert first.answers.statuses == {"final": 3, "failed": 3}
    assert (own.answers.first_utc, own.answers.last_utc) == (NOW + 1, NOW + 11)
    assert own.vehicles["f", "boat-1"].statuses == {"final": 1, "failed": 1}
    assert programs.get("own") == own
    assert programs.get("hash-2") == second
    assert programs.get("nothing") is None
    assert programs.get("\0") is None
    assert programs.all(fleet="g") == []
    assert len(programs.all(fleet="f")) == 3


def test_gateways_write_side_by_side(opened: Opened, clock: SetClock) -> None:
    """What comes to all of them is written by all of them, in different order."""
    from concurrent.futures import ThreadPoolExecutor

    gateways = [opened() for _ in range(3)]
    names = [f"boat-{n}" for n in range(10)]

    def work(gateway: int) -> None:
        vehicles, deployments = Vehicles(gateways[gateway], clock), Deployments(gateways[gateway])
        for name in names if gateway % 2 else reversed(names):
            vehicles.status("f", name, "online")
            deployments.reported("f", name, "litter", report())
            vehicles.answered([("f", one, None) for one in (names if gateway % 2 else reversed(names))])

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work, n) for n in range(3)]:
            done.result(60)
    found = Vehicles(gateways[0], clock).all()
    assert [one.vehicle for one in found] == sorted(names)
    assert all(one.status == "online" and len(one.programs) == 1 for one in found)
