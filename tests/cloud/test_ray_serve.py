"""`dicem cloud --backend ray` as a process: it comes up with a Ray of its own, answers, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ..ports import free_port

pytest.importorskip("fastapi", reason="needs the extra [cloud]")
pytest.importorskip("uvicorn", reason="needs the extra [cloud]")
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra [cluster]"),
    pytest.mark.skipif("DICEM_RAY" not in os.environ, reason="starts a Ray of its own: `make test-ray` runs it"),
]

CODE = "import typer, dicem_cloud.commands as c; app = typer.Typer(); c.register(app); app()"


def test_up_and_down(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "cloud.yaml"
    config.write_text(f"{{functions: {{depth: {{}}}}, http: {{port: {port}}}}}")
    # Its Ray's files go where we see them; a short path, for Ray makes sockets there.
    here = Path("/tmp") / f"dt{os.getpid()}"
    here.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(here)}
    command = [sys.executable, "-c", CODE, "cloud", "--config", str(config), "--backend", "ray"]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert f"serves depth on http://127.0.0.1:{port}" in process.stderr.readline()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/functions/depth", timeout=10) as response:
                assert json.load(response)["status"]["model"]["name"] == "horizon-1"
            assert len(of_session(process.pid)) > 4
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to Ray's processes too
            assert process.wait(30) == 0
            assert process.stderr.read() == ""
            assert of_session(process.pid) == []
            assert list(here.iterdir()) == []
        finally:
            for number in of_session(process.pid):
                os.kill(number, signal.SIGKILL)
    here.rmdir()


def of_session(session: int) -> list[int]:
    """The processes of a session that run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
        except OSError:  # it has ended
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(folder.name))
    return found
