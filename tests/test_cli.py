"""The command line itself: help that teaches, Ctrl-C that leaves nothing broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicem_shared.cli import assemble

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("cloud", "compile", "edge", "functions", "scenes", "simulate", "verify")


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(assemble(), ["--help"])
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert command in shown.output


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(assemble(), [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


def test_version() -> None:
    shown = CliRunner().invoke(assemble(), ["--version"])
    assert shown.exit_code == 0
    assert shown.output.startswith("dicem 0.")


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """Interrupted while it renders: one line, code 130, no half-written recording."""
    command = [
        sys.executable,
        "-m",
        "dicem_shared.cli",
        "scenes",
        "render",
        str(tmp_path / "voyage"),
        "--frames",
        "300",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    part = tmp_path / "voyage.part"
    while not part.exists() or not any((part / "camera").glob("*.jpg")):
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.rstrip().endswith("dicem: stopped")
    assert list(tmp_path.iterdir()) == []
