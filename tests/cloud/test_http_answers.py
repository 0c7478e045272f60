"""What is stored, over HTTP: answers by vehicle, program, time and place, page by page; vehicles; programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from dicem_cloud.store.database import StoreUnavailable
from dicem_cloud.store.opened import Store, open_store
from dicem_cloud.store.settings import StoreConfig
from dicem_shared.deployment import Deployment
from dicem_shared.types import Answer, Observation

from .http_client import NOW, Client, answer, error, serving


@pytest.fixture
def store(clock: Any) -> Iterator[Store]:
    with open_store(StoreConfig(), clock) as opened:
        yield opened


@pytest.fixture
def client(clock: Any, store: Store) -> Iterator[Client]:
    with serving(clock, records=store) as made:
        yield made


def at(lat: float, lon: float, **how: Any) -> Observation:
    return Observation.model_validate({"id": "o", "bbox": (0, 0, 1, 1), "lat": lat, "lon": lon} | how)


def ids(client: Client, **asked: Any) -> list[int]:
    """Which answers come, by number."""
    response = client.get(f"/v1/answers?{urlencode(asked)}")
    assert response.status_code == 200, response.text
    return [one["answer"]["frame"] for one in response.json()["items"]]


def test_an_answer_comes_as_it_was_stored(client: Client, store: Store) -> None:
    sent = answer(
        observations=(at(53.5, 10.0, **{"class": "bottle", "code": {"list": "J", "version": "1", "code": "J7"}}),)
    )
    store.answers.put([("demo", sent)])
    (found,) = client.get("/v1/answers").json()["items"]
    assert (found["fleet"], found["number"], found["received_utc"]) == ("demo", 1, NOW)
    assert Answer.model_validate(found["answer"]) == sent
    assert found["answer"]["observations"][0]["class"] == "bottle"
    assert found["answer"]["observations"][0]["code"]["list"] == "J"
    assert client.get(f"/v1/answers/{sent.id}").json() == found


def test_filters(client: Client, store: Store) -> None:
    store.answers.put(
        [
            ("demo", answer(1)),
            ("demo", answer(2, vehicle="other")),
            ("demo", answer(3, program_id="p2")),
            ("demo", answer(4, status="failed")),
            ("else", answer(5)),
        ]
    )
    assert ids(client) == [5, 4, 3, 2, 1]
    assert ids(client, order="oldest") == [1, 2, 3, 4, 5]
    assert ids(client, vehicle="other") == [2]
    assert ids(client, program="p2") == [3]
    assert ids(client, status="failed") == [4]
    assert ids(client, fleet="else") == [5]
    assert ids(client, vehicle="nobody") == []
    assert ids(client, vehicle="boat", program="p1", status="final", fleet="demo") == [1]


def test_time(client: Client, store: Store) -> None:
    store.answers.put([("demo", answer(number)) for number in range(5)])  # 2025-06-15T15:06:40Z and on
    assert ids(client, **{"from": NOW + 1, "to": NOW + 3}) == [2, 1]
    assert ids(client, **{"from": "2025-06-15T15:06:43Z"}) == [4, 3]
    assert ids(client, **{"from": "2025-06-15T17:06:43+02:00"}) == [4, 3]
    assert ids(client, to="2025-06-15T15:06:41") == [0]
    assert ids(client, **{"from": NOW, "to": NOW}) == []


def test_place(client: Client, store: Store) -> None:
    store.answers.put(
        [
            ("demo", answer(1, observations=(at(53.5, 10.0),))),
            ("demo", answer(2, observations=(at(53.5, 12.0), at(10.0, 10.0)))),
            ("demo", answer(3)),
            ("demo", answer(4, observations=(at(-17.0, 179.9),))),
        ]
    )
    assert ids(client, bbox="9,53,11,54") == [1]
    assert ids(client, bbox="-180,-90,180,90") == [4, 2, 1]
    assert ids(client, bbox="179,-20,-179,-10") == [4]


@pytest.mark.parametrize(
    "bbox",
    ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,1,1", "0,inf,1,1", "0,2,1,1", "-181,0,1,1", "0,0,0,91", "1;2;3;4"],
)
def test_no_part_of_the_earth(client: Client, bbox: str) -> None:
    assert "bbox" in error(client.get(f"/v1/answers?{urlencode({'bbox': bbox})}"), 422)["what"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vehicle", "a b"), ("vehicle", "x" * 33), ("vehicle", ""), ("fleet", "a/b"), ("program", ""),
        ("program", "x" * 300), ("status", "done"), ("limit", "0"), ("limit", "1001"), ("limit", "many"),
        ("order", "random"), ("from", "yesterday"), ("from", "-1"), ("to", "1e30"), ("to", "nan"), ("to", "inf"),
        ("cursor", ""), ("cursor", "x" * 257),
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_named(client: Client, name: str, value: str) -> None:
    for path in ("/v1/answers",) if name in ("limit", "order", "cursor") else ("/v1/answers", "/v1/answers/live"):
        said = error(client.get(f"{path}?{urlencode({name: value})}"), 422)
        assert said["reason"] == "invalid-query"
        assert name in said["what"]


def test_a_time_that_ends_before_it_begins(client: Client) -> None:
    assert "from" in error(client.get(f"/v1/answers?from={NOW + 1}&to={NOW}"), 422)["what"]


@pytest.mark.parametrize(
    "cursor", ["x", "1", "nan_1", "1.0_", "1_2_3", "%00", "\U0001f6a2", "1.0_99999999999999999999"]
)
def test_a_cursor_that_nobody_gave(client: Client, cursor: str) -> None:
    assert "cursor" in error(client.get(f"/v1/answers?{urlencode({'cursor': cursor})}"), 422)["what"]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_hold_each_answer_once(client: Client, store: Store, order: str) -> None:
    """Also where many frames have one time, and while new answers come in."""
    store.answers.put([("demo", answer(number, t_utc=NOW + number // 4)) for number in range(10)])
    seen: list[int] = []
    cursor: str | None = None
    while True:
        asked = {"limit": 3, "order": order} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"/v1/answers?{urlencode(asked)}").json()
        seen += [one["answer"]["frame"] for one in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
        store.answers.put([("demo", answer(100 + len(seen), t_utc=NOW + (100 if order == "newest" else -100)))])
    assert seen == sorted(range(10), reverse=order == "newest")


@pytest.mark.parametrize("path", ["/v1/answers/x", "/v1/answers/%00", "/v1/programs/x", "/v1/programs/%01"])
def test_what_is_not_here(client: Client, path: str) -> None:
    assert error(client.get(path), 404)["reason"] == "not-found"


class TestVehicles:
    def test_a_vehicle(self, client: Client, store: Store) -> None:
        store.vehicles.status("demo", "boat", "online")
        sent = answer(7, observations=(at(1, 2, vehicle_lat=53.5, vehicle_lon=10.0),))
        store.answers.put([("demo", sent)])
        store.vehicles.answered([("demo", "boat", sent)])
        (found,) = client.get("/v1/vehicles").json()["items"]
        assert (found["fleet"], found["vehicle"], found["status"], found["seen_utc"]) == ("demo", "boat", "online", NOW)
        assert (found["lat"], found["lon"]) == (53.5, 10.0)
        assert found["answers"] == {"statuses": {"final": 1}, "first_utc": NOW + 7, "last_utc": NOW + 7}
        assert client.get("/v1/vehicles/demo/boat").json() == found

    def test_one_that_has_said_nothing_has_no_times(self, client: Client, store: Store) -> None:
        store.vehicles.status("demo", "boat", "offline")
        found = client.get("/v1/vehicles/demo/boat").json()
        assert found["answers"] == {"statuses": {}, "first_utc": None, "last_utc": None}

    def test_pages(self, client: Client, store: Store) -> None:
        for number in range(5):
            store.vehicles.status("demo" if number else "alone", f"boat-{number}", "online")
        pages, cursor = [], ""
        while cursor is not None:
            page = client.get(f"/v1/vehicles?limit=2{cursor and f'&cursor={cursor}'}").json()
            pages.append([one["vehicle"] for one in page["items"]])
            cursor = page["cursor"]
        assert pages == [["boat-0", "boat-1"], ["boat-2", "boat-3"], ["boat-4"]]
        assert len(client.get("/v1/vehicles?fleet=demo").json()["items"]) == 4

    def test_who_is_unknown(self, client: Client) -> None:
        assert "demo/boat" in error(client.get("/v1/vehicles/demo/boat"), 404)["what"]
        error(client.get("/v1/vehicles/demo/a%20b"), 422)
        error(client.get("/v1/vehicles?cursor=x"), 422)


class TestPrograms:
    def test_a_program(self, client: Client, store: Store) -> None:
        store.answers.put(
            [("demo", answer(1)), ("demo", answer(2, status="failed")), ("demo", answer(3, program_id="p2"))]
        )
        listed = client.get("/v1/programs").json()
        assert ([one["id"] for one in listed["items"]], listed["cursor"]) == (["p1", "p2"], None)
        one = client.get("/v1/programs/p1").json()
        assert one == listed["items"][0]
        assert one["answers"]["statuses"] == {"final": 1, "failed": 1}
        assert [(on["fleet"], on["vehicle"]) for on in one["vehicles"]] == [("demo", "boat")]

    def test_where_it_is_to_run(self, client: Client, store: Store) -> None:
        wanted = Deployment(
            fleet="demo", vehicle="boat", program="litter", counter=1, action="run", issued_utc=NOW, program_id="p9",
            question="Is there litter?", source="pass",
        )  # fmt: skip
        store.deployments.wanted("demo", "boat", "litter", wanted)
        one = client.get("/v1/programs/p9").json()
        assert (one["names"], one["question"]) == (["litter"], "Is there litter?")
        assert [(placed["vehicle"], placed["is_behind"]) for placed in one["wanted"]] == [("boat", True)]
        store.vehicles.status("demo", "boat", "online")
        assert client.get("/v1/vehicles/demo/boat").json()["programs"] == one["wanted"]

    def test_pages(self, client: Client, store: Store) -> None:
        store.answers.put([("demo", answer(number, program_id=f"p{number}")) for number in range(4)])
        first = client.get("/v1/programs?limit=3").json()
        assert [one["id"] for one in first["items"]] == ["p0", "p1", "p2"]
        last = client.get(f"/v1/programs?limit=3&cursor={first['cursor']}").json()
        assert ([one["id"] for one in last["items"]], last["cursor"]) == (["p3"], None)


def test_a_store_that_is_away(client: Client, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the database cannot be used now", got="connection refused")

    monkeypatch.setattr(type(store.answers), "page", away)
    monkeypatch.setattr(type(store.answers), "last_number", away)
    for path in ("/v1/answers", "/v1/answers/live"):
        response = client.get(path)
        assert error(response, 503)["reason"] == "store-away"
        assert response.headers["retry-after"] == "5"
    assert client.app.state.live.watchers == 0


def test_without_a_store_there_are_no_such_routes(clock: Any) -> None:
    with serving(clock) as client:
        for path in ("/v1/answers", "/v1/vehicles", "/v1/programs", "/metrics"):
            error(client.get(path), 404)
