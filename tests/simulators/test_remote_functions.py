"""A cloud over HTTP that is slow, lies, floods, or sends us elsewhere: a failed call each, and no traceback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dicem_shared.catalog import catalog
from dicem_shared.errors import CallTimeout, DicemError, InvalidCall, SiteUnavailable
from dicem_shared.implementations import Work
from dicem_simulators import remote_functions as remote

Reply = Callable[[BaseHTTPRequestHandler], None]


class Cloud:
    """Answers every call with what `reply` does."""

    def __init__(self) -> None:
        self.reply: Reply = says({"result": {"output": "foam"}})
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                owner.asked.append((self.path, dict(self.headers)))
                owner.reply(self)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Callers hang up."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def call(self, suffix: str = "") -> Any:
        """What `blip2` gives, or why not."""
        function = remote.RemoteFunction(catalog().get("blip2"), self.url + suffix)
        (outcome,) = function.run([Work(params={"image": "x", "query": "What?"})])
        assert not function._told
        return outcome


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.delenv("DICEM_TOKEN", raising=False)
    running = Cloud()
    yield running
    running.stop()


def sends(body: bytes, status: int = 200, length: int | None = None, **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def says(value: Any, status: int = 200) -> Reply:
    return sends(json.dumps(value).encode(), status)


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (sends(b"<html>"), InvalidCall, "cannot be read"),
        (sends(b"["), InvalidCall, "cannot be read"),
        (sends(b"[" * 100_000), InvalidCall, "cannot be read"),
        (sends(b" " * 2_000_001), InvalidCall, "cannot be read"),
        (says([1]), InvalidCall, "cannot be read"),
        (says({}), InvalidCall, "schema"),
        (says({"result": {"output": 5}}), InvalidCall, "schema"),
        (says({"result": {"output": ["x"]}, "model": {"function": "blip2", "name": "m", "sha256": "0" * 64}}),
         InvalidCall, "schema"),
        (sends(b'{"result": {"output": NaN}}'), InvalidCall, "schema"),
        (sends(b'{"result": {"output": "x"', length=10_000), InvalidCall, "cannot be read"),
        (sends(b"", 302, Location="http://127.0.0.1:1/"), InvalidCall, "302"),
        (says({"error": {"message": "no"}}, 400), InvalidCall, "400 no"),
        (says({"error": "no"}, 500), InvalidCall, "500"),
        (sends(b"[" * 100_000, 500), InvalidCall, "500"),
        (sends(b"half", 500, length=1000), InvalidCall, "500"),
        (lambda handler: handler.wfile.write(b"\x00rubbish\r\n\r\n"), SiteUnavailable, "cannot be reached"),
        (lambda _: None, SiteUnavailable, "cannot be reached"),
    ],
)  # fmt: skip
def test_a_bad_reply_is_a_failed_call(cloud: Cloud, reply: Reply, kind: type[DicemError], said: str) -> None:
    cloud.reply = reply
    outcome = cloud.call()
    assert isinstance(outcome, kind)
    assert said in str(outcome)
    assert len(str(outcome)) < 1000
    assert len(cloud.asked) == 1


@pytest.mark.parametrize("whole", [False, True])
def test_silence_and_drips_end(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.2)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not cloud.closing.wait(0.02 if whole else 60):
            handler.wfile.write(b" ")

    cloud.reply = drip
    assert isinstance(cloud.call(), CallTimeout)


def test_the_url_may_be_that_of_the_list(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # what is on this machine is asked without it
    assert cloud.call("/v1/functions/") == cloud.call("/") == {"output": "foam"}
    assert {path for path, _ in cloud.asked} == {"/v1/functions/blip2:call"}
