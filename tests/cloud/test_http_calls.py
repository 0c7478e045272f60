"""Calls over HTTP that go wrong in ways that need a queue, a device, a slow sender or one who hangs up."""

from __future__ import annotations

import asyncio
import base64
import json
import queue
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from dicem_cloud.http.limits import Room
from dicem_cloud.http.server import _Ended
from dicem_shared import errors
from dicem_shared.errors import DicemError, Overloaded
from dicem_shared.types import Reply, Request

from .http_client import CALL, Asker, Client, Finder, config, error, png, running, serving

ASK = "/v1/functions/blip2:call"


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
def client(clock: Any, asker: Asker) -> Iterator[Client]:
    with serving(clock, asker, Finder()) as made:
        yield made


def asked(query: str = "What?", image: bytes | None = None) -> dict[str, Any]:
    return {"image": base64.b64encode(image or png()).decode(), "query": query}


def test_a_question_of_ten_thousand_characters(client: Client, asker: Asker) -> None:
    said = error(client.post(ASK, json=asked("x" * 2001)), 422)
    assert (said["reason"], "2000" in said["what"]) == ("invalid-call", True)
    form = client.post(ASK, files={"image": ("a.png", png(8, 8))}, data={"query": "x" * 9000})
    assert error(form, 422)["reason"] == "invalid-call"
    assert asker.asked == []


@pytest.mark.parametrize("query", [7, None, ["What?"], {"a": 1}, True])
def test_wrong_types(client: Client, query: Any) -> None:
    assert error(client.post(ASK, json=asked() | {"query": query}), 422)["reason"] == "invalid-call"


def test_out_of_device_memory_is_507(client: Client) -> None:
    said = error(client.post(CALL, files={"image": ("a.png", png(14, 14))}), 507)
    assert (said["reason"], said["todo"]) == ("out-of-device-memory", "Send a smaller one.")


@pytest.mark.parametrize(
    "body",
    [b'{"query": "\\ud800"}', b'{"\\udc00x": 1}', b'{"query": ["\\ud800\\ud800"]}'],
)
def test_half_a_character(client: Client, body: bytes) -> None:
    said = error(client.post(ASK, content=body, headers={"content-type": "application/json"}), 400)
    assert "half a character" in said["what"]


def test_a_whole_surrogate_pair_is_a_character(client: Client, asker: Asker) -> None:
    body = json.dumps(asked("\N{SAILBOAT} \U0001f6a2"))
    assert "\\ud83d\\udea2" in body
    response = client.post(ASK, content=body.encode(), headers={"content-type": "application/json"})
    assert response.json()["result"] == {"output": "\N{SAILBOAT} \U0001f6a2"}


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "hex", "idna", "rot13", "nonsense", "%00"])
def test_a_form_in_an_odd_character_set(client: Client, charset: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n\\ud800\r\n--x--\r\n'
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    assert "character set" in error(client.post(ASK, content=body, headers={"content-type": kind}), 400)["what"]


def test_deep_json_with_an_idempotency_key(client: Client) -> None:
    body = b'{"query": ' + b"[" * 900 + b"]" * 900 + b"}"
    headers = {"content-type": "application/json", "idempotency-key": "k"}
    error(client.post(ASK, content=body, headers=headers), 422)


def test_a_body_of_very_many_values(client: Client, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicem_cloud.http.body.MAX_VALUES", 100)
    assert "too many values" in error(client.post(ASK, json=asked() | {"query": [[]] * 100}), 400)["what"]
    assert client.post(ASK, json=asked("a" * 1000)).json()["result"] == {"output": "a" * 1000}


def test_what_is_cut_off_when_the_server_stops_has_an_end() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}

    def sent(*messages: dict[str, Any], cancelled: bool) -> list[dict[str, Any]]:
        found: list[Any] = []

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)
            if cancelled:
                raise asyncio.CancelledError

        async def send(message: Any) -> None:
            found.append(message)

        asyncio.run(_Ended(app)({"type": "http"}, None, send))  # type: ignore[arg-type]
        return found

    nothing = sent(cancelled=True)
    assert nothing[0]["status"] == 503
    assert json.loads(nothing[1]["body"])["error"]["reason"] == "overloaded"
    end = {"type": "http.response.body", "body": b"", "more_body": False}
    more = {"type": "http.response.body", "body": b"data: 1", "more_body": True}
    for cancelled in (True, False):
        assert sent(start, more, cancelled=cancelled) == [start, more, end]
        assert sent(start, end, cancelled=cancelled) == [start, end]


class TestSize:
    def test_a_body_that_says_it_is_too_large_is_not_read(self, client: Client) -> None:
        async def receive() -> dict[str, Any]:
            raise AssertionError("the body was read")

        sent = scripted(client, receive, [(b"content-length", b"20000")])
        assert sent[0]["status"] == 413

    @pytest.mark.parametrize("length", [b"9" * 5000, b"-1", b"1e3", "٣".encode(), b""])
    def test_a_length_that_is_none(self, client: Client, length: bytes) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        assert scripted(client, receive, [(b"content-length", length)])[0]["status"] == 422

    def test_all_bodies_together_have_a_limit(self) -> None:
        room = Room(100)
        with room.share() as first:
            first.grow_to(60)
            first.grow_to(10)
            with room.share() as second:
                with pytest.raises(Overloaded):
                    second.grow_to(41)
                second.grow_to(40)
            assert room.used == 60
        assert room.used == 0

    def test_a_full_cloud_says_when_to_come_back(self, clock: Any) -> None:
        with serving(clock, http={"max_bodies_mb": 0.01}) as client:
            held: list[int] = []

            async def receive() -> dict[str, Any]:
                if not held:  # while this body is being read, another one comes
                    held.append(1)
                    other = await asyncio.to_thread(client.post, CALL, content=b"x" * 5000, headers=JSON)
                    assert error(other, 503)["reason"] == "overloaded"
                    assert other.headers["retry-after"] == "1"
                return {"type": "http.request", "body": b"{}" + b" " * 4000, "more_body": False}

            assert scripted(client, receive, [(b"content-length", b"6000")])[0]["status"] == 422
            assert client.post(CALL, content=b"{}" + b" " * 8000, headers=JSON).status_code == 422  # all is given back


JSON = {"content-type": "application/json"}


def scripted(client: Client, receive: Any, headers: list[tuple[bytes, bytes]], path: str = CALL) -> list[Any]:
    """What the app sends to a caller whose messages `receive` gives."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *headers],
    }
    asyncio.run(client.app(scope, receive, send))
    return sent


def test_a_body_that_trickles_is_given_up(clock: Any) -> None:
    with serving(clock, http={"body_timeout_s": 0.01}) as client:

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        sent = scripted(client, receive, [])
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["reason"] == "body-timeout"


def test_a_sender_who_hangs_up_halfway(client: Client) -> None:
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    assert scripted(client, receive, [])[0]["status"] == 499


class Held:
    """A service whose calls end when the test says so."""

    def __init__(self, service: Any) -> None:
        self.functions, self.clock, self.function = service.functions, service.clock, service.function
        self.futures: list[Future[Reply]] = []
        self.requests: list[tuple[Request, str]] = []

    def submit(self, request: Request, *, vehicle: str) -> Future[Reply]:
        self.requests.append((request, vehicle))
        self.futures.append(Future())
        return self.futures[-1]


def held(clock: Any, **http: Any) -> tuple[Client, Held]:
    from dicem_cloud.gateway import Gateway
    from dicem_cloud.http.app import create_app
    from dicem_shared.blobs import MemoryBlobStore

    service = Held(Gateway({"blip2": Asker(), "yolov8": Finder()}, MemoryBlobStore(clock), clock))
    return Client(create_app(service, config(**http))), service


def test_a_caller_who_hangs_up_takes_his_call_with_him(clock: Any) -> None:
    client, service = held(clock)
    messages: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": json.dumps(asked()).encode(), "more_body": False},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    assert scripted(client, receive, [], ASK)[0]["status"] == 499
    assert [future.cancelled() for future in service.futures] == [True]


def test_a_call_that_never_ends_is_given_up(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicem_cloud.http.functions.GRACE_S", 0.0)
    client, service = held(clock)
    assert error(client.post(f"{ASK}?deadline_s=0.01", json=asked()), 504)["reason"] == "too-late"
    assert service.futures[0].cancelled()


def test_a_service_that_stops_says_so(clock: Any) -> None:
    client, service = held(clock)
    submit = service.submit

    def stopped(request: Request, *, vehicle: str) -> Future[Reply]:
        future = submit(request, vehicle=vehicle)
        future.cancel()
        return future

    service.submit = stopped  # type: ignore[method-assign]
    response = client.post(ASK, json=asked())
    assert "stopped" in error(response, 503)["what"]
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (errors.Overloaded("busy", retry_after_s=2.2), 503),
        (errors.CallTimeout("late"), 504),
        (errors.InvalidCall("wrong"), 422),
        (errors.ImageError("damaged"), 400),
        (errors.BlobMissing("0" * 64), 409),
        (errors.MessageTooLarge("large"), 413),
        (errors.OutOfDeviceMemory("full"), 507),
        (errors.SiteUnavailable("away"), 503),
        (errors.FunctionError("broken"), 500),
        (errors.ModelError("damaged"), 500),
        (errors.DicemError("\ud800 said " + "x" * 100_000), 500),
    ],
)
def test_each_error_has_its_status(clock: Any, raised: DicemError, status: int) -> None:
    client, service = held(clock)
    submit = service.submit

    def failing(request: Request, *, vehicle: str) -> Future[Reply]:
        future = submit(request, vehicle=vehicle)
        future.set_exception(raised)
        return future

    service.submit = failing  # type: ignore[method-assign]
    response = client.post(ASK, json=asked())
    assert response.status_code == status
    assert response.json()["error"]["reason"] == raised.reason
    assert len(response.content) < 10_000
    assert response.headers.get("retry-after") == ("3" if isinstance(raised, errors.Overloaded) else None)


class TestRequest:
    def test_what_the_service_is_asked(self, clock: Any) -> None:
        client, service = held(clock)
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        answered(service, lambda: client.post(f"{ASK}?deadline_s=7", json=asked(), headers={"traceparent": trace}))
        ((request, vehicle),) = service.requests
        assert (request.function, request.params["query"], vehicle) == ("blip2", "What?", "_http")
        assert (request.traceparent, request.deadline_utc - clock.utc()) == (trace, 7)
        assert (request.frame.width, request.frame.height) == (40, 30)

    @pytest.mark.parametrize("trace", ["", "00-x", f"00-{'0' * 32}-{'b' * 16}-01", f"ff-{'a' * 32}-{'b' * 16}-01"])
    def test_a_trace_that_is_none_is_left_out(self, clock: Any, trace: str) -> None:
        client, service = held(clock)
        answered(service, lambda: client.post(ASK, json=asked(), headers={"traceparent": trace}))
        assert service.requests[0][0].traceparent == ""

    @pytest.mark.parametrize("deadline", ["0", "-1", "61", "nan", "inf", "soon", "1e999"])
    def test_a_deadline_that_is_none(self, client: Client, deadline: str) -> None:
        assert "deadline_s" in error(client.post(f"{ASK}?deadline_s={deadline}", json=asked()), 422)["what"]


def answered(service: Held, ask: Any) -> None:
    """Ask, with the future answered as soon as there is one."""
    submit = service.submit

    def at_once(request: Request, *, vehicle: str) -> Future[Reply]:
        future = submit(request, vehicle=vehicle)
        future.set_result(Reply(call_id=request.call_id, result={"output": "x"}))
        return future

    service.submit = at_once  # type: ignore[method-assign]
    assert ask().status_code == 200


class TestIdempotency:
    def test_the_same_call_is_computed_once(self, client: Client, asker: Asker) -> None:
        first, again = (client.post(ASK, json=asked(), headers={"Idempotency-Key": "k"}).json() for _ in range(2))
        assert (first["cached"], again["cached"], asker.asked) == (False, True, ["What?"])
        assert first["call_id"] == again["call_id"]
        assert first["result"] == again["result"]

    def test_another_call_under_the_same_key_is_another(self, client: Client, asker: Asker) -> None:
        for body in (asked("a"), asked("b"), asked("a", png(9, 9))):
            assert client.post(ASK, json=body, headers={"Idempotency-Key": "k"}).json()["cached"] is False
        assert asker.asked == ["a", "b", "a"]

    def test_without_a_key_every_call_is_its_own(self, client: Client, asker: Asker) -> None:
        ids = {client.post(ASK, json=asked()).json()["call_id"] for _ in range(2)}
        assert (len(ids), len(asker.asked)) == (2, 2)


def test_over_a_real_socket_a_caller_who_hangs_up_is_noticed(clock: Any) -> None:
    client, service = held(clock)
    came: queue.Queue[Future[Reply]] = queue.Queue()
    submit = service.submit

    def told(request: Request, *, vehicle: str) -> Future[Reply]:
        came.put(submit(request, vehicle=vehicle))
        return service.futures[-1]

    service.submit = told  # type: ignore[method-assign]
    ended = threading.Event()
    with running(client.app) as (url, _):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            body = json.dumps(asked()).encode()
            head = f"POST {ASK} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            future = came.get(timeout=30)
            future.add_done_callback(lambda _: ended.set())
            assert not ended.is_set()
        assert ended.wait(30)
    assert future.cancelled()
