"""Asking with the functions of a cloud over HTTP: a real gateway behind a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from dicem_cloud.config import load_cloud_config
from dicem_cloud.http.app import create_app
from dicem_cloud.serve import make_gateway
from dicem_cloud.service import Service
from dicem_shared.clock import SystemClock
from dicem_shared.errors import DicemError
from dicem_simulators import ask as ask_module

from ..codegen.generate.endpoint_server import ScriptedEndpoint, says
from ..ports import free_port

PROGRAM = """def execute_command(image):
    pieces = ImagePatch(image).find("litter")
    return [piece.simple_query("What material is this made of?") for piece in pieces]
"""


class Cloud:
    """`dicem cloud` in a thread."""

    def __init__(self) -> None:
        config = load_cloud_config("cloud-demo")
        self.gateway = make_gateway(config, SystemClock())
        self.calls: list[str] = []
        self.service = Service(self.gateway, observers=[lambda ended: self.calls.append(ended.request.function)])
        self.port = free_port()
        started = threading.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                started.set()

        app = create_app(self.service, config)
        self.server = Server(uvicorn.Config(app, port=self.port, log_level="critical", lifespan="off"))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert started.wait(30)

    def _run(self) -> None:
        with self.service:
            self.server.run()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    running = Cloud()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path / "programs"))
    monkeypatch.delenv("DICEM_TOKEN", raising=False)


def asked(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], frames: int) -> dict[str, Any]:
    with ScriptedEndpoint([says(PROGRAM)]) as server:
        config = server.write_config(tmp_path / "endpoint.yaml")
        ask_module.ask(
            "What is it made of?", recording="litter-mission", endpoint=str(config), functions_from=url, frames=frames,
            as_json=True,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_clouds_functions_answer(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = asked(tmp_path, cloud.url, capsys, 62)
    values = [material for answer in told["answers"] for material in answer["value"]]
    assert values
    assert cloud.calls == ["blip2"] * len(values)  # the detector is on board
    assert told["program"]["functions_from"] == cloud.url
    models = {
        m["name"] for a in told["answers"] for o in a["observations"] for m in o["models"] if m["function"] == "blip2"
    }  # fmt: skip
    assert models == {cloud.gateway.functions["blip2"].model.name}


def test_a_cloud_that_is_gone_is_a_failed_call_and_no_traceback(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicem_simulators import answering

    real = answering.answers_of

    def without_cloud(*given: Any) -> Any:
        cloud.stop()
        return real(*given)

    monkeypatch.setattr(answering, "answers_of", without_cloud)
    told = asked(tmp_path, cloud.url, capsys, 62)
    failed = [answer for answer in told["answers"] if answer["status"] == "failed"]
    assert failed
    assert all("cloud cannot be reached" in answer["reason"] for answer in failed)


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DicemError, match="no cloud answers"):
        asked(tmp_path, f"http://127.0.0.1:{free_port()}", capsys, 1)
