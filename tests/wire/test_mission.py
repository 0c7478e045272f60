"""The shipped recording over two processes and a real broker gives the answers that the simulation gives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicem_simulators.simulate import Setting, simulate

from ..ports import free_port
from .conftest import Broker

ROOT = Path(__file__).resolve().parents[2]
DICEM = [sys.executable, "-m", "dicem_shared.cli"]
RATE = 15


def configs(folder: Path, broker: Broker, http_port: int) -> tuple[Path, Path]:
    """The demo configs, on this test's ports."""
    paths = []
    for name in ("edge-demo", "cloud-demo"):
        config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
        config["broker"] = {"host": "127.0.0.1", "port": broker.port}
        if name == "cloud-demo":
            config["http"] = {"host": "127.0.0.1", "port": http_port}
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        paths.append(path)
    return paths[0], paths[1]


def wait_for_port(port: int, process: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        assert process.poll() is None, f"dicem cloud ended: {process.communicate()[1]}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("dicem cloud does not listen")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(ROOT)
    return {**os.environ, "DICEM_HOME": str(ROOT)}


def test_the_wire_says_what_the_simulation_says(broker: Broker, tmp_path: Path, home: dict[str, str]) -> None:
    http_port = free_port()
    edge_config, cloud_config = configs(tmp_path, broker, http_port)
    run: dict[str, Any] = {"cwd": tmp_path, "env": home, "text": True}
    cloud = subprocess.Popen(
        [*DICEM, "cloud", "--config", str(cloud_config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **run
    )
    try:
        wait_for_port(http_port, cloud)
        edge = subprocess.run(
            [*DICEM, "edge", "--config", str(edge_config), "--source", "litter-mission", "--rate", str(RATE), "--json"],
            capture_output=True, timeout=180, check=False, **run,
        )  # fmt: skip
    finally:
        cloud.send_signal(signal.SIGTERM)
        _, cloud_said = cloud.communicate(timeout=30)
    assert edge.returncode == 0, edge.stderr
    assert cloud.returncode == 0, cloud_said
    answers = {a["frame"]: a for a in map(json.loads, edge.stdout.splitlines())}
    simulated = simulate(Setting("litter-mission", modes=("split",))).answers["split"]
    assert answers.keys() == simulated.keys()
    assert {n: a["value"] for n, a in answers.items()} == {n: a.value for n, a in simulated.items()}
    boxes = {n: [(tuple(o["bbox"]), o["class"], o["material"]) for o in a["observations"]] for n, a in answers.items()}
    assert boxes == {n: [(o.bbox, o.class_, o.material) for o in a.observations] for n, a in simulated.items()}
    assert {a["source"] for a in answers.values()} == {"edge", "mixed"}
    assert "0 failed" in edge.stderr
    assert "0 answers not sent" in edge.stderr
    assert (tmp_path / "answers.db").exists()


def test_no_broker_is_one_line(tmp_path: Path, home: dict[str, str]) -> None:
    nobody = Broker("mosquitto", tmp_path / "unused", free_port())
    edge_config, cloud_config = configs(tmp_path, nobody, free_port())
    for command in (
        ["edge", "--config", str(edge_config), "--source", "litter-mission"],
        ["cloud", "--config", str(cloud_config)],
    ):
        done = subprocess.run(
            [*DICEM, *command], cwd=tmp_path, env=home, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        lines = [line for line in done.stderr.splitlines() if not line.startswith("demo models")]
        assert len(lines) == 1
        assert f"no MQTT broker at 127.0.0.1:{nobody.port}" in lines[0]
        assert done.stdout == ""
