"""What is declared equivalent gives the same answers at both sites: only then may placement choose freely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.config import load_cloud_config
from dicem_cloud.functions import build
from dicem_edge.agent import local_params
from dicem_edge.config import load_edge_config
from dicem_edge.functions import build_edge
from dicem_edge.shipping import LoadedFrame
from dicem_shared.catalog import SPECS
from dicem_shared.implementations import Implementation, Work
from dicem_shared.recording import open_recording

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = [spec.name for spec in SPECS if spec.equivalent]


def test_these_are_declared_equivalent() -> None:
    assert EQUIVALENT == ["yolov8", "depth"]


@pytest.mark.parametrize("name", EQUIVALENT)
def test_both_sites_say_the_same(name: str) -> None:
    edge = build_edge(load_edge_config(str(ROOT / "configs" / "edge-demo.yaml"))).functions
    cloud = build(load_cloud_config(ROOT / "configs" / "cloud-demo.yaml"))
    compared = 0
    for recorded in list(open_recording(ROOT / "recordings" / "litter-mission").frames())[7:60]:
        frame = LoadedFrame(recorded.info, recorded.data)
        for box in _boxes(name, edge["yolov8"], frame):
            params = {"image": {"blob": frame.info.blob, "box": box}}
            assert _ask(edge[name], params, frame) == _ask(cloud[name], params, frame)
            compared += 1
    assert compared >= 20


def _boxes(name: str, detector: Implementation, frame: LoadedFrame) -> list[list[int]]:
    """The whole frame for the detector; what it finds for the rest."""
    whole = list(frame.info.handle.box)
    if name == "yolov8":
        return [whole]
    found: Any = _ask(detector, {"image": {"blob": frame.info.blob, "box": whole}}, frame)
    return [[o["x"], o["y"], o["width"], o["height"]] for o in found["objects"]]


def _ask(implementation: Implementation, params: dict[str, Any], frame: LoadedFrame) -> Any:
    (result,) = implementation.run([Work(local_params(implementation, params, frame))])
    return implementation.spec.check_result(result)
