"""What strangers, bad programs and lying vehicles do to a real daemon and a real operator: nothing that lasts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicem_codegen.fleet import commands
from dicem_codegen.fleet.operator import Operator
from dicem_shared import messages
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.deployment import Deployed, Deployment
from dicem_shared.errors import ConfigError
from dicem_shared.keys import OperatorKey
from dicem_shared.mqtt import Connection, Incoming

from .conftest import Broker
from .test_deploy import Boat, asked, config, program

ENDLESS = "def execute_command(image):\n    while True:\n        pass\n"
BOMB = "def execute_command(image):\n    text = 'x'\n    while True:\n        text += text\n"
LAST = (1 << 53) - 1
"""the largest counter"""


@pytest.fixture
def key(tmp_path: Path) -> OperatorKey:
    return OperatorKey.create(tmp_path / "operator.pem")


@pytest.fixture
def stranger(broker: Broker) -> Iterator[Connection]:
    """Somebody who may write what he likes."""

    def ignore(_: Incoming) -> None:
        pass

    connection = Connection(BrokerConfig(port=broker.port), "stranger", subscriptions=(), on_message=ignore)
    connection.open()
    yield connection
    connection.close()


@pytest.mark.parametrize("source", [ENDLESS, BOMB])
def test_a_bad_program_fails_alone_and_can_be_taken_back(
    broker: Broker, tmp_path: Path, key: OperatorKey, source: str
) -> None:
    with Boat(config(tmp_path, broker, key)) as boat:
        (result,) = asked(broker, key, ["boat"], program(source))
        assert result.said == "running"
        boat.wait(lambda: any(answer.status == "failed" for answer in boat.answers))
        seen = len(boat.answers)
        boat.wait(lambda: sum(answer.value == "own" for answer in boat.answers[seen:]) > 40)
        frames = [answer.frame for answer in boat.answers[seen:] if answer.value == "own"]
        assert len(frames) > (frames[-1] - frames[0]) / 2  # it misses some at most, while the other one computes
        (result,) = asked(broker, key, ["boat"], None)
        assert result.said == "removed"
        boat.wait_for_value("own")


def test_a_program_that_waits_for_too_long_is_stopped(broker: Broker, tmp_path: Path, key: OperatorKey) -> None:
    settings = config(tmp_path, broker, key)
    limits = settings.limits.program.model_copy(update={"wall_s": 0.5})
    patient = settings.limits.model_copy(update={"deadline_s": 3600.0, "program": limits})
    source = "def execute_command(image):\n    return ImagePatch(image).simple_query('What?')\n"
    with Boat(settings.model_copy(update={"limits": patient})) as boat:
        asked(broker, key, ["boat"], program(source))
        boat.wait(lambda: any("took too long" in answer.reason for answer in boat.answers))  # there is no cloud
        boat.wait_for_value("own")


def test_rubbish_on_its_topics_does_not_stop_a_boat(
    broker: Broker, tmp_path: Path, key: OperatorKey, stranger: Connection
) -> None:
    def litter(names: list[str]) -> None:
        for name in names:
            for data in (b"", b"\xff" * 1000, b"\xd8\x1c\x41x", b"\x81" * 5000, b"\0" * 200_000):
                stranger.publish(f"dicem/v1/f/boat/deploy/{name}", data, retain=True)

    names = ["..", "x" * 32, "x" * 33, "\u00e9t\u00e9", "a b", "count", "\U0001f6a4"]
    litter(names)
    with Boat(config(tmp_path, broker, key)) as boat:
        boat.wait_for_value("own")
        litter(names)
        (result,) = asked(broker, key, ["boat"], program("def execute_command(image):\n    return 'sent'\n"))
        assert result.said == "running"
        boat.wait_for_value("sent")
        boat.wait_for_value("own")


def test_lies_of_vehicles_neither_reach_the_terminal_nor_use_up_counters(
    broker: Broker, tmp_path: Path, key: OperatorKey, stranger: Connection, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = tmp_path / "operator.yaml"
    settings.write_text(f"fleet: f\nbroker: {{port: {broker.port}}}\nkey: operator.pem\nwait_s: 20\n")
    monkeypatch.setenv("DICEM_OPERATOR", str(settings))
    evil = "\x1b[2J\x1b]0;owned\x07 [/] [red]x\\ \u202e\n| boat | online |"
    report = Deployed(program="count", state="running", counter=1, running_id=evil, program_id=evil, reason=evil)
    forged = Deployment(
        fleet="f", vehicle="liar", program="late", counter=LAST, action="run", issued_utc=0, program_id=evil, source="x"
    )  # fmt: skip
    told = {
        "liar/deployed/count": messages.encode(report),
        "liar/deployed/late": messages.encode(report.model_copy(update={"counter": LAST})),
        "liar/deployed/rubbish": b"\xff\x00",
        "liar/deployed/long": b"\x00" * 200_000,
        "liar/deploy/late": messages.encode(forged.signed(OperatorKey.create(tmp_path / "stranger.pem"))),
        "liar/status": evil.encode(),
        "dicem-ask/status": b"online",
        "b\u00f6t/status": b"online",
    }
    taken = threading.Semaphore(0)
    for topic, data in told.items():
        stranger.publish(f"dicem/v1/f/{topic}", data, retain=True, on_ack=lambda _: taken.release())
    assert all(taken.acquire(timeout=20) for _ in told)
    with Operator(BrokerConfig(port=broker.port), "f") as operator:
        assert operator.vehicles().keys() == {"liar"}
        assert operator.next_counter("liar", "late") < LAST / 2
    commands.deployments()
    shown = capsys.readouterr().out
    assert all(line.isprintable() for line in shown.splitlines())
    commands.deployments(as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [(row["vehicle"], row["status"], row["program"]) for row in rows] == [("liar", "unknown", "count")]


def test_a_shipped_program_goes_by_its_files_name_too(
    broker: Broker, tmp_path: Path, key: OperatorKey, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = tmp_path / "operator.yaml"
    settings.write_text(f"fleet: f\nbroker: {{port: {broker.port}}}\nkey: operator.pem\nwait_s: 20\n")
    monkeypatch.setenv("DICEM_OPERATOR", str(settings))
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path / "programs"))
    with Boat(config(tmp_path, broker, key)):
        commands.deploy("litter_serial", vehicle=["boat"])
        commands.deploy("litter_serial", fleet=True, link="satellite")
        first, second = capsys.readouterr().out.splitlines()
        assert first != second
        commands.deploy("litter_serial", vehicle=["boat"], rollback=True)
        assert capsys.readouterr().out.strip() == first
        with pytest.raises(ConfigError, match=r"no program called nothing was deployed to boat.*litter-serial"):
            commands.undeploy("nothing", vehicle=["boat"])
        with pytest.raises(ConfigError, match="no program called nothing"):
            commands.undeploy("nothing", fleet=True)
        commands.undeploy("litter_serial", fleet=True)
        assert capsys.readouterr().out == "boat: litter-serial (remove): removed\n"
        with pytest.raises(ConfigError, match="cannot stand in a topic"):
            commands.deploy("litter_serial", vehicle=["boat"], name="a/b")
