"""JetPack 6 ships Python 3.10: the vehicle's part must install and run on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import dicem_edge.agent, dicem_edge.commands, dicem_edge.daemon, dicem_edge.uplink
from pathlib import Path
from dicem_edge.config import load_edge_config
from dicem_edge.functions import build_edge
from dicem_shared.catalog import catalog
from dicem_shared.program import load_program
from dicem_shared.recording import open_recording
from dicem_shared.runner import Context, Finished, Interpreter, Outcome, Waiting
from dicem_shared.implementations import Work
from dicem_edge.agent import local_params
from dicem_edge.shipping import LoadedFrame

root = Path(ROOT)
edge = build_edge(load_edge_config(str(root / "configs" / "edge-demo.yaml")))
recording = open_recording(root / "recordings" / "litter-mission")
recorded = next(iter(recording.frames()))
frame = LoadedFrame(recorded.info, recorded.data)
with Interpreter(catalog()) as interpreter:
    program = load_program(root / "configs" / "programs" / "litter_best.py")
    run = interpreter.start(program, Context("boat", frame.info, edge.vocabulary))
    while isinstance(run.step, Waiting):
        outcomes = []
        for call in run.step.calls:
            function = edge.functions[call.function]
            (result,) = function.run([Work(local_params(function, call.params, frame))])
            outcomes.append((call.number, Outcome(result=function.spec.check_result(result))))
        run.resume(outcomes)
assert isinstance(run.step, Finished), run.step
print(run.step.value)
"""


def python310() -> str | None:
    """A Python 3.10 that can make virtual environments, wherever people install them."""
    found = [shutil.which("python3.10"), *sorted(map(str, Path.home().glob(".pyenv/versions/3.10*/bin/python3.10")))]
    for path in found:
        if (
            path
            and subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0
        ):
            return path
    return None


def test_the_vehicle_runs_on_python_310() -> None:
    python = python310()
    if python is None:
        pytest.skip("no Python 3.10 with venv on this machine")
    home = ROOT / ".venv-3.10"
    stamp = home / "installed"
    project = ROOT / "pyproject.toml"
    if not stamp.exists() or stamp.stat().st_mtime < project.stat().st_mtime:
        subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
        install = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--editable", str(ROOT)]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode != 0 and os.environ.get("CI") != "true":
            pytest.skip(f"the packages cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
        assert done.returncode == 0, done.stderr
        stamp.touch()
    probe = PROBE.replace("ROOT", repr(str(ROOT)))
    done = subprocess.run([str(home / "bin" / "python"), "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "No litter found in the image."
    for heavy in ("torch", "fastapi", "transformers"):
        absent = subprocess.run(
            [str(home / "bin" / "python"), "-c", f"import {heavy}"], capture_output=True, check=False
        )
        assert absent.returncode != 0, f"a vehicle must not get {heavy}"
