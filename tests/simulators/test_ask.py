"""From a sentence to answers: the real client, a scripted model, the real models, runner and gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicem_codegen.library.store import ProgramStore
from dicem_codegen.library.stored import name_of
from dicem_shared.errors import ConfigError
from dicem_simulators import ask as ask_module

from ..codegen.generate.endpoint_server import ScriptedEndpoint, fails, refuses, says

QUESTION = "How far is the nearest litter?"
GOOD = """def execute_command(image):
    pieces = ImagePatch(image).find("litter")
    if not pieces:
        return "none"
    nearest = min(pieces, key=lambda piece: piece.compute_depth())
    return round(nearest.compute_depth(), 1)
"""
WRONG = GOOD.replace("compute_depth(), 1)", "compute_depths(), 1)")
OWN = "import os\ndef execute_command(image):\n    return os.environ.get('HOME')\n"
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """`dicem ask --json`, as plain values."""
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path / "programs"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def asked(server: ScriptedEndpoint, question: str = QUESTION, **more: Any) -> dict[str, Any]:
        config = server.write_config(tmp_path / "endpoint.yaml")
        usual: dict[str, Any] = {"recording": "litter-mission", "frames": 60, "as_json": True}
        ask_module.ask(question, endpoint=str(config), **(usual | more))
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return asked


def test_from_a_sentence_to_answers(ask: Ask, tmp_path: Path) -> None:
    with ScriptedEndpoint([says(GOOD)]) as server:
        told = ask(server)
    values = [answer["value"] for answer in told["answers"]]
    assert len(values) == 60
    assert {type(value) for value in values} == {str, float}
    assert 0 < min(value for value in values if value != "none") < 30
    assert told["totals"]["final"] == 60
    program = told["program"]
    assert (program["question"], program["model"], program["origin"]) == (QUESTION, "scripted", "generated")
    assert [check["name"] for check in program["checks"]] == [
        "parse",
        "calls",
        "types",
        "compile",
        "dry-run",
        "same-meaning",
    ]
    kept = ProgramStore(tmp_path / "programs").latest(name_of(QUESTION))
    assert kept is not None
    assert kept.id == program["id"]


def test_the_same_question_is_kept_once(ask: Ask, tmp_path: Path) -> None:
    with ScriptedEndpoint([says(GOOD), says(GOOD)]) as server:
        ids = [ask(server, frames=1, save="near")["program"]["id"] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(ProgramStore(tmp_path / "programs").revisions("near")) == 1


def test_a_wrong_program_is_mended_before_it_runs(ask: Ask) -> None:
    with ScriptedEndpoint([says(WRONG), says(GOOD)]) as server:
        told = ask(server, frames=3)
        assert "compute_depths" in server.requests[1].messages[-1]["content"]
    assert told["program"]["attempts"] == 2
    assert told["program"]["serial"].rstrip() == GOOD.rstrip()


def test_it_stops_before_it_runs(ask: Ask) -> None:
    with ScriptedEndpoint([says(GOOD)]) as server:
        assert ask(server, dry_run=True).keys() == {"program"}


def test_one_photograph(ask: Ask) -> None:
    from dicem_shared.resources import need

    image = need("litter-mission", "recording", "recordings") / "camera" / "000058.jpg"
    with ScriptedEndpoint(
        [says("def execute_command(image):\n    return len(ImagePatch(image).find('litter'))\n")]
    ) as server:
        told = ask(server, recording=str(image), frames=None)
    assert [answer["value"] for answer in told["answers"]] == [1]


def dicem(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "DICEM_PROGRAMS": str(folder / "programs"),
        "XDG_STATE_HOME": str(folder),
        "COLUMNS": "200",
    }
    environment.pop("DICEM_ENDPOINT", None)
    environment |= {"HOME": str(folder)}
    program = [sys.executable, "-m", "dicem_shared.cli", *arguments]
    return subprocess.run(
        program, capture_output=True, text=True, env=environment, cwd=folder, timeout=120, check=False
    )


def test_what_a_person_sees(tmp_path: Path) -> None:
    with ScriptedEndpoint([says(WRONG), says(GOOD)]) as server:
        config = server.write_config(tmp_path / "endpoint.yaml")
        done = dicem(tmp_path, "ask", QUESTION, "--endpoint", str(config), "--frames", "59", "--save", "near")
    assert done.returncode == 0, done.stderr
    for piece in (
        "# serial program",
        "# distributed program",
        "site='edge'",
        "# plan",
        "expected a frame:",
        "frame    58",
        "simulated",
    ):
        assert piece in done.stdout
    assert "attempt 1: line 6" in done.stderr
    assert "kept as near" in done.stderr
    again = dicem(tmp_path, "programs", "run", "near", "--frames", "59")  # and without any model
    assert again.returncode == 0, again.stderr
    answers = [line for line in done.stdout.splitlines() if line.startswith("frame ")]
    assert [line for line in again.stdout.splitlines() if line.startswith("frame ")] == answers
    assert len(answers) == 59
    shown = dicem(tmp_path, "programs", "show", "near")
    assert QUESTION in shown.stdout


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([fails(401, "bad key")], "401"),
        ([refuses(), refuses()], "repeats itself"),
        ([says(OWN), says(OWN)], "os"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, script: list[Any], said: str) -> None:
    with ScriptedEndpoint(script) as server:
        config = server.write_config(tmp_path / "endpoint.yaml", retries=0)
        done = dicem(tmp_path, "ask", QUESTION, "--endpoint", str(config))
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("dicem: ")
    assert said in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "programs").exists()


def test_a_name_that_cannot_be_is_said_before_the_model_is_asked(ask: Ask) -> None:
    with ScriptedEndpoint([says(GOOD)]) as server:
        with pytest.raises(ConfigError, match="a program's name"):
            ask(server, save="../near")
        assert server.requests == []


def test_a_broker_without_a_fleet_is_said_before_the_model_is_asked(ask: Ask) -> None:
    with ScriptedEndpoint([says(GOOD)]) as server:
        with pytest.raises(ConfigError, match="names no fleet"):
            ask(server, functions_from="mqtt://127.0.0.1:1")
        assert server.requests == []


def test_what_cannot_be_kept_is_shown_and_run_all_the_same(
    ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "programs").write_text("a file in the way")
    with ScriptedEndpoint([says(GOOD)]) as server, pytest.raises(ConfigError, match="programs"):
        ask(server, frames=2)
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["answers"]) == 2
    assert "not kept as" in shown.err


def test_without_an_endpoint_it_says_how_to_set_one_up(tmp_path: Path) -> None:
    done = dicem(tmp_path, "ask", QUESTION)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "dicem programs" in done.stderr


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("How many bottles are there?", "how-many-bottles"), ("???", "question"), ("ß" * 50, "question"),
        ("x" * 100, "x" * 32),
    ],
)  # fmt: skip
def test_a_name_for_a_question(question: str, name: str) -> None:
    assert name_of(question) == name
