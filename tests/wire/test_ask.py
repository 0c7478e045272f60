"""Asking with functions that a broker announces: a real cloud's worker, the vehicle's own daemon, a scripted model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicem_cloud.config import load_cloud_config
from dicem_cloud.serve import make_gateway
from dicem_cloud.service import Service
from dicem_cloud.worker import Worker
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import SystemClock
from dicem_simulators.ask import ask

from ..codegen.generate.endpoint_server import ScriptedEndpoint, says
from .conftest import Broker

PROGRAM = """def execute_command(image):
    pieces = ImagePatch(image).find("litter")
    return [piece.simple_query("What material is this made of?") for piece in pieces]
"""


def test_the_functions_that_a_broker_knows_answer(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path / "programs"))
    gateway = make_gateway(load_cloud_config("cloud-demo"), SystemClock())
    worker = Worker(BrokerConfig(port=broker.port), Service(gateway))
    with worker.running(), ScriptedEndpoint([says(PROGRAM)]) as server:
        endpoint = server.write_config(tmp_path / "endpoint.yaml")
        where = f"mqtt://127.0.0.1:{broker.port}/demo"
        ask(
            "What is it made of?", recording="litter-mission", endpoint=str(endpoint), functions_from=where,
            frames=60, rate=20.0, as_json=True,
        )  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert told["program"]["functions_from"] == where
    assert len(told["answers"]) == 60
    assert {answer["status"] for answer in told["answers"]} == {"final"}
    answered = [answer for answer in told["answers"] if answer["value"]]
    assert answered
    assert {answer["source"] for answer in answered} == {"mixed"}  # the detector on board, the question in the cloud
    assert told["totals"]["time"] == "real"
