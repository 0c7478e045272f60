"""`dicem cloud` as a process: it comes up, answers, and goes away when told."""

from __future__ import annotations

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

CODE = "import typer, dicem_cloud.commands as c; app = typer.Typer(); c.register(app); app()"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_up_and_down(tmp_path: Path, stop: signal.Signals) -> None:
    port = free_port()
    config = tmp_path / "cloud.yaml"
    config.write_text(f"{{functions: {{depth: {{}}}}, http: {{port: {port}}}}}")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CODE, "cloud", "--config", str(config)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert f"serves depth on http://127.0.0.1:{port}" in process.stderr.readline()
            answer = _get(f"http://127.0.0.1:{port}/v1/functions/depth")
            assert answer["status"]["model"]["name"] == "horizon-1"
            process.send_signal(stop)
            assert process.wait(10) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def _get(url: str) -> dict[str, dict[str, dict[str, str]]]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)  # type: ignore[no-any-return]
