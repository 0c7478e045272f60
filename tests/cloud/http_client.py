"""What the tests of the HTTP API share: a small app, and a client that speaks to it in this process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [cloud]")
pytest.importorskip("httpx", reason="needs the extra [test]")

import httpx
import numpy as np

from dicem_cloud.config import CloudConfig
from dicem_cloud.gateway import Gateway
from dicem_cloud.http.app import create_app
from dicem_cloud.http.server import Server
from dicem_cloud.service import Service
from dicem_shared import catalog, images
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.errors import InvalidCall, OutOfDeviceMemory
from dicem_shared.functions import Batch
from dicem_shared.implementations import Implementation, Work, each
from dicem_shared.types import Answer, ModelId

CALL = "/v1/functions/yolov8:call"


class Finder(Implementation):
    """A `yolov8` that finds the image itself, and knows one class."""

    spec = catalog.yolov8
    model = ModelId(function="yolov8", name="finder", sha256="1" * 64)

    def run(self, batch: Any) -> list[Any | Exception]:
        return each(batch, self._find)

    def _find(self, work: Work) -> dict[str, Any]:
        height, width = work.params["image"].pixels.shape[:2]
        for name in work.params.get("classes") or []:
            if name != "picture":
                raise InvalidCall(f"the detector knows no {name!r}", expected="picture", todo="Ask for one of these.")
        if width == 13:
            raise RuntimeError("secret detail")
        if width == 14:
            raise OutOfDeviceMemory("the image does not fit the device", todo="Send a smaller one.")
        return {"objects": [{"class": "picture", "score": 1.0, "x": 0, "y": 0, "width": width, "height": height}]}


def config(**http: Any) -> CloudConfig:
    return CloudConfig.model_validate({"functions": {"depth": {}}, "http": {"max_body_mb": 0.01} | http})


class Client:
    """Speaks to the app in this process; what it raises is answered, as a server would."""

    def __init__(self, app: Any, service: Any = None) -> None:
        self.app, self.service = app, service

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
                return await client.request(method, path, **how)

        return asyncio.run(send())

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.request("GET", path, **how)

    def post(self, path: str, **how: Any) -> httpx.Response:
        return self.request("POST", path, **how)


class Asker(Implementation):
    """A `blip2` that says what it was asked, once `go` is set."""

    spec = replace(catalog.blip2, batch=Batch())  # on a clock that stands still nobody waits for company
    model = ModelId(function="blip2", name="asker", sha256="2" * 64)

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()
        self.asked: list[str] = []
        self.go.set()

    def run(self, batch: Any) -> list[Any | Exception]:
        self.began.set()
        assert self.go.wait(30)
        self.asked += [work.params["query"] for work in batch]
        return [{"output": work.params["query"]} for work in batch]


@contextmanager
def running(app: Any) -> Iterator[tuple[str, Server]]:
    """The app behind a real server: its URL, and the server."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@contextmanager
def serving(clock: Any, *functions: Implementation, http: dict[str, Any] | None = None, **how: Any) -> Iterator[Client]:
    """A client of an app in front of a service of these functions; `how` as `create_app` takes it."""
    gateway = Gateway({one.spec.name: one for one in functions or (Finder(),)}, MemoryBlobStore(clock), clock)
    meter = how.get("meter")
    with Service(gateway, observers=[meter.observe] if meter else []) as service:
        yield Client(create_app(service, config(**http or {}), **how), service)


def png(width: int = 40, height: int = 30) -> bytes:
    return images.encode(np.full((height, width, 3), 90, dtype=np.uint8), format="png")


NOW = 1_750_000_000.0


def answer(number: int = 1, **how: Any) -> Answer:
    given = {
        "id": f"{number:032x}", "survey_id": "s", "vehicle": "boat", "camera": "bow", "frame": number,
        "program_id": "p1", "status": "final", "source": "edge", "t_utc": NOW + number, "value": number,
    }  # fmt: skip
    return Answer.model_validate(given | how)


def error(response: Any, status: int) -> dict[str, str]:
    """The parts of an error in the one shape that all of them have."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"reason", "message", "what", "expected", "got", "todo"}
    assert body["error"]["what"] in body["error"]["message"]
    assert "Traceback" not in response.text
    return dict(body["error"])
