"""Programs sent over a real broker to a real daemon, in the middle of its work."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicem_codegen import compile_program
from dicem_codegen.fleet.deploy import Result, carry_out, previous_id
from dicem_codegen.fleet.operator import Operator
from dicem_codegen.generate.types import Check, Checked
from dicem_codegen.library.stored import StoredProgram, stored_program
from dicem_edge.config import EdgeConfig, load_edge_config
from dicem_edge.daemon import Daemon
from dicem_edge.deployed import DeployConfig
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.catalog import catalog
from dicem_shared.errors import ConfigError
from dicem_shared.keys import OperatorKey
from dicem_shared.recording import RecordedFrame, Recording, open_recording
from dicem_shared.resources import need
from dicem_shared.types import Answer

from .conftest import Broker

OWN = "def execute_command(image):\n    return 'own'\n"
SENT = "def execute_command(image):\n    return len(ImagePatch(image).find('litter'))\n"


class Endless(Recording):
    """The shipped recording's first frame, for as long as somebody wants it."""

    wanted = True

    def frames(self) -> Iterator[RecordedFrame]:
        """See `Recording.frames`."""
        first = next(super().frames())
        sequence = 0
        while self.wanted:
            info = first.info.model_copy(update={"sequence": sequence, "t_utc": first.info.t_utc + sequence})
            yield RecordedFrame(info, first.data, first.file)
            sequence += 1


class Boat:
    """A daemon at work on a thread of its own, and what it has answered."""

    def __init__(self, config: EdgeConfig) -> None:
        self.answers: list[Answer] = []
        self.news = threading.Condition()
        self.recording = open_recording(need("litter-mission", "recording", "recordings"))
        self.recording.__class__ = Endless
        self.daemon = Daemon(config, on_answer=self._answered)
        self.thread = threading.Thread(target=lambda: self.daemon.run(self.recording, rate=20))

    def __enter__(self) -> Boat:
        self.thread.start()
        self.wait(lambda: bool(self.answers))
        return self

    def __exit__(self, *exc: object) -> None:
        self.daemon.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()

    def _answered(self, answer: Answer) -> None:
        with self.news:
            self.answers.append(answer)
            self.news.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.news:
            assert self.news.wait_for(condition, 30)

    def wait_for_value(self, value: Any) -> None:
        """Until a frame that comes from now on is answered so."""
        seen = len(self.answers)
        self.wait(lambda: any(answer.value == value for answer in self.answers[seen:]))


@pytest.fixture
def key(tmp_path: Path) -> OperatorKey:
    return OperatorKey.create(tmp_path / "operator.pem")


def config(folder: Path, broker: Broker, key: OperatorKey, vehicle: str = "boat", **deploy: Any) -> EdgeConfig:
    (folder / "own.py").write_text(OWN)
    return load_edge_config("edge-demo").model_copy(update={
        "fleet": "f", "vehicle": vehicle, "broker": BrokerConfig(port=broker.port), "program": str(folder / "own.py"),
        "answers": str(folder / f"{vehicle}.answers.db"),
        "deploy": DeployConfig(operators=(key.public.text,), state=str(folder / f"{vehicle}.db"), **deploy),
    })  # fmt: skip


def program(source: str = SENT, name: str = "count") -> StoredProgram:
    return stored_program(name, Checked(source, (Check("parse"),), compile_program(source)), catalog())


def asked(
    broker: Broker, key: OperatorKey, vehicles: list[str], wanted: StoredProgram | None, wait_s: float = 20
) -> list[Result]:
    with Operator(BrokerConfig(port=broker.port), "f") as operator:
        return carry_out(operator, key, vehicles, "count", lambda _: wanted, wait_s)


def test_a_program_starts_at_the_next_frame_goes_back_and_goes(
    broker: Broker, tmp_path: Path, key: OperatorKey
) -> None:
    first, second = program(), program("def execute_command(image):\n    return 'second'\n")
    with Boat(config(tmp_path, broker, key)) as boat:
        (result,) = asked(broker, key, ["boat"], first)
        assert (result.good, result.status, result.said) == (True, "online", "running")
        boat.wait_for_value(0)  # the frame is empty water
        boat.wait_for_value("own")  # the vehicle's own program goes on beside it
        (result,) = asked(broker, key, ["boat"], second)
        assert result.report is not None
        assert (result.report.running_id, result.report.previous_id) == (second.id, first.id)
        boat.wait_for_value("second")
        with Operator(BrokerConfig(port=broker.port), "f") as operator:
            assert previous_id(operator, "boat", "count") == first.id
            with pytest.raises(ConfigError, match="no other program"):
                previous_id(operator, "boat", "nothing")
        (result,) = asked(broker, key, ["boat"], None)
        assert result.said == "removed"
        seen = len(boat.answers)
        boat.wait(lambda: len(boat.answers) > seen + 5)
        assert {answer.value for answer in boat.answers[seen + 2 :]} == {"own"}


def test_a_boat_that_is_away_is_told_when_it_is_back(broker: Broker, tmp_path: Path, key: OperatorKey) -> None:
    settings = config(tmp_path, broker, key)
    (result,) = asked(broker, key, ["boat"], program())
    assert (result.good, result.report, result.status) == (True, None, "unknown")
    with Boat(settings) as boat:
        boat.wait_for_value(0)
    (result,) = asked(broker, key, ["boat"], program("def execute_command(image):\n    return 2\n"))
    assert (result.good, result.status, result.said) == (
        True,
        "stopped",
        "the vehicle is stopped; it is told when it is back",
    )
    with Boat(settings) as boat:
        boat.wait_for_value(2)
    with Operator(BrokerConfig(port=broker.port), "f") as operator:  # what it said is there, though it is away
        report = operator.vehicles()["boat"].deployed["count"]
    assert report.state == "running"


def test_it_runs_without_any_broker_what_it_was_told_before(broker: Broker, tmp_path: Path, key: OperatorKey) -> None:
    settings = config(tmp_path, broker, key)
    with Boat(settings):
        asked(broker, key, ["boat"], program())
    broker.stop()
    broker.start()  # persistence is off: it has forgotten everything
    with Boat(settings) as boat:
        boat.wait_for_value(0)


def test_a_stranger_changes_nothing(broker: Broker, tmp_path: Path, key: OperatorKey) -> None:
    stranger = OperatorKey.create(tmp_path / "stranger.pem")
    with Boat(config(tmp_path, broker, key)) as boat:
        (result,) = asked(broker, stranger, ["boat"], program(), wait_s=1)
        assert (result.good, result.report) == (False, None)
        assert "takes no deployments from this key" in result.said
        (result,) = asked(broker, key, ["boat"], None)  # the right key still has the last word
        assert result.said == "removed"
        assert {answer.value for answer in boat.answers} == {"own"}


def test_a_whole_fleet_with_one_that_must_wait(broker: Broker, tmp_path: Path, key: OperatorKey) -> None:
    armed = tmp_path / "armed"
    armed.write_text("armed\n")
    careful = config(tmp_path, broker, key, "careful", policy="disarmed", armed_file=armed)
    with Boat(config(tmp_path, broker, key, "bold")) as bold, Boat(careful) as waiting:
        results = asked(broker, key, ["bold", "careful"], program())
        assert [(r.deployment.vehicle, r.report.state if r.report else "", r.good) for r in results] == [
            ("bold", "running", True), ("careful", "waiting", True),
        ]  # fmt: skip
        bold.wait_for_value(0)
        assert {answer.value for answer in waiting.answers} == {"own"}
        armed.write_text("disarmed\n")
        waiting.wait_for_value(0)
    with Operator(BrokerConfig(port=broker.port), "f") as operator:
        assert {n: s.deployed["count"].state for n, s in operator.vehicles().items()} == dict.fromkeys(
            ["bold", "careful"], "running"
        )


def test_the_commands(
    broker: Broker,
    tmp_path: Path,
    key: OperatorKey,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dicem_codegen.fleet import commands
    from dicem_codegen.library.store import ProgramStore

    operator = tmp_path / "operator.yaml"
    operator.write_text(f"fleet: f\nbroker: {{port: {broker.port}}}\nkey: operator.pem\nwait_s: 20\n")
    monkeypatch.setenv("DICEM_OPERATOR", str(operator))
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path / "programs"))
    ProgramStore().save(program())
    with Boat(config(tmp_path, broker, key)) as boat:
        commands.deploy("count", vehicle=["boat"])
        assert capsys.readouterr().out == f"boat: count ({program().id[:12]}): running\n"
        boat.wait_for_value(0)
        with pytest.raises(ConfigError, match="no other program"):
            commands.deploy("count", vehicle=["boat"], rollback=True)
        commands.deploy("count", vehicle=["boat"], fleet=False, as_json=True)
        assert json.loads(capsys.readouterr().out)[0]["report"]["state"] == "running"
        commands.undeploy("count", fleet=True)
        assert capsys.readouterr().out == "boat: count (remove): removed\n"
        commands.deployments(as_json=True)
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["vehicle"], row["status"], row["wanted"], row["state"]) == ("boat", "online", "removed", "removed")
        with pytest.raises(ConfigError, match="which vehicles"):
            commands.deploy("count")
