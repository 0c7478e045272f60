"""Live answers over a real server: what comes, from where on, for whom, and how it ends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [cloud]")
pytest.importorskip("httpx", reason="needs the extra [test]")

import httpx

from dicem_cloud.http.server import Server
from dicem_cloud.store.database import StoreUnavailable
from dicem_cloud.store.opened import Store, open_store
from dicem_cloud.store.settings import StoreConfig
from dicem_shared.types import Answer

from .http_client import answer, error, running, serving

PATH = "/v1/answers/live"


class Cloud:
    """A cloud with a store, and those who watch it."""

    def __init__(self, store: Store, app: Any, url: str, server: Server) -> None:
        self.store, self.live, self.url, self.server = store, app.state.live, url, server
        self.gone = threading.Semaphore(0)
        forget = self.live.forget

        def told(woken: Any) -> None:
            forget(woken)
            self.gone.release()

        self.live.forget = told

    def put(self, *answers: Answer) -> None:
        self.store.answers.put([("demo", one) for one in answers])
        self.live.notify()

    @contextmanager
    def watching(self, query: str = "", **headers: str) -> Iterator[Iterator[dict[str, str]]]:
        """The events of a stream, from when the server has begun it."""
        with httpx.stream("GET", f"{self.url}{PATH}{query}", headers=headers, timeout=30) as response:
            assert response.status_code == 200, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            events = parsed(response.iter_lines())
            assert next(events)["comment"] == "answers follow"
            yield events


def parsed(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The fields of each event; a comment is one too."""
    event: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name or "comment"] = value
        elif event:
            yield event
            event = {}


@contextmanager
def cloud(clock: Any, **http: Any) -> Iterator[Cloud]:
    with ExitStack() as stack:
        store = stack.enter_context(open_store(StoreConfig(), clock))
        client = stack.enter_context(serving(clock, records=store, http=http))
        client.app.state.live._poll_s = 1e6  # what is looked at is what we were told of
        url, server = stack.enter_context(running(client.app))
        yield Cloud(store, client.app, url, server)


@pytest.fixture
def up(clock: Any) -> Iterator[Cloud]:
    with cloud(clock) as made:
        yield made


def frames(events: Iterator[dict[str, str]], count: int) -> list[int]:
    return [json.loads(next(events)["data"])["answer"]["frame"] for _ in range(count)]


def test_answers_come_as_they_are_stored(up: Cloud) -> None:
    up.put(answer(1))
    with up.watching() as events:
        up.put(answer(2))
        first = next(events)
        assert (first["event"], first["id"]) == ("answer", "2")
        assert json.loads(first["data"]) == httpx.get(f"{up.url}/v1/answers/{answer(2).id}").json()
        up.put(answer(3), answer(4))
        assert frames(events, 2) == [3, 4]


def test_filters(up: Cloud) -> None:
    with up.watching("?vehicle=other&status=final") as events:
        up.put(answer(1), answer(2, vehicle="other", status="failed"), answer(3, vehicle="other"))
        assert frames(events, 1) == [3]


def test_who_was_cut_off_goes_on_where_he_was(up: Cloud) -> None:
    up.put(*(answer(number) for number in range(1, 5)))
    with up.watching(**{"Last-Event-ID": "2"}) as events:
        assert frames(events, 2) == [3, 4]
    with up.watching("?cursor=3") as events:
        assert frames(events, 1) == [4]
    with up.watching("?cursor=0", **{"Last-Event-ID": "3"}) as events:  # what the browser knows is newer
        assert frames(events, 1) == [4]


def test_who_was_cut_off_before_anything_came_misses_nothing(up: Cloud) -> None:
    up.put(answer(1))
    with httpx.stream("GET", f"{up.url}{PATH}", timeout=30) as response:
        first = next(parsed(response.iter_lines()))
    up.put(answer(2))
    with up.watching(**{"Last-Event-ID": first["id"]}) as events:
        assert frames(events, 1) == [2]


def test_more_than_a_page(up: Cloud) -> None:
    up.put(*(answer(number) for number in range(250)))
    with up.watching("?cursor=0") as events:
        assert frames(events, 250) == list(range(250))


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "٣"])
def test_a_cursor_that_nobody_gave(up: Cloud, cursor: str) -> None:
    assert "cursor" in error(httpx.get(f"{up.url}{PATH}", params={"cursor": cursor}), 422)["what"]
    assert up.live.watchers == 0


def test_heartbeats(clock: Any) -> None:
    with cloud(clock, heartbeat_s=0.01) as up, up.watching() as events:
        assert all(next(events)["comment"].startswith("ping") for _ in range(2))


def test_one_who_takes_nothing_holds_up_nobody(up: Cloud) -> None:
    with socket.create_connection(("127.0.0.1", int(up.url.rpartition(":")[2])), timeout=30) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert stuck.recv(1) == b"H"  # it has begun
        with up.watching() as events:
            for batch in range(0, 100, 10):  # 10 MB: more than any buffer between
                up.put(*(answer(number, printed="x" * 100_000) for number in range(batch, batch + 10)))
                assert frames(events, 10) == list(range(batch, batch + 10))
            assert up.live.watchers == 2
        assert up.gone.acquire(timeout=30)
    assert up.gone.acquire(timeout=30)
    assert up.live.watchers == 0


def test_there_is_room_for_so_many(clock: Any) -> None:
    with cloud(clock, max_live=1) as up:
        with up.watching():
            refused = httpx.get(f"{up.url}{PATH}")
            assert error(refused, 503)["reason"] == "overloaded"
            assert refused.headers["retry-after"] == "10"
        assert up.gone.acquire(timeout=30)
        with up.watching():
            pass


def test_streams_end_when_the_server_does(up: Cloud) -> None:
    with up.watching() as events:
        up.server.should_exit = True
        assert list(events) == []  # the end, and no error
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{up.url}/healthz")


def test_a_store_that_goes_away_ends_the_stream(
    up: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with up.watching() as events:
        monkeypatch.setattr(type(up.store.answers), "news", lambda *_, **__: raise_(StoreUnavailable("it is away")))
        up.live.notify()
        assert list(events) == []
    assert up.gone.acquire(timeout=30)
    assert [record.getMessage() for record in caplog.records] == ["a stream of live answers has ended: it is away"]


def raise_(error: Exception) -> Any:
    raise error


def test_answers_of_another_gateway_are_found_by_looking(clock: Any) -> None:
    with cloud(clock) as up:
        up.live._poll_s = 0.01
        with up.watching() as events:
            up.store.answers.put([("demo", answer(1))])  # nobody is told
            assert frames(events, 1) == [1]
