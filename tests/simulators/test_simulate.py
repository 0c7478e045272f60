"""The litter mission on the shipped recording, and what it must show."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicem_shared.types import Answer
from dicem_simulators.report import render_report
from dicem_simulators.scoring import near_litter
from dicem_simulators.simulate import Result, Setting, simulate

ROOT = Path(__file__).resolve().parents[2]
EARLY = """
import hermod

async def execute_command(image):
    hermod.call("blip2", image=image, query="What is this?")
    try:
        await hermod.call("depth", image=image)
    except ValueError:
        pass
    return 1
"""


@pytest.fixture(scope="module")
def mission() -> Result:
    return simulate(Setting("litter-mission"))


@pytest.fixture(scope="module")
def figures(mission: Result) -> dict[str, Any]:
    modes: dict[str, Any] = mission.summary()["modes"]
    return modes


def on_near(mission: Result, mode: Any) -> list[Answer]:
    near = [f.info.sequence for f in mission.frames if near_litter(f.truth)]
    return [mission.answers[mode][n] for n in near]


def elsewhere(mission: Result, mode: Any) -> list[Answer]:
    return [mission.answers[mode][f.info.sequence] for f in mission.frames if not near_litter(f.truth)]


def test_the_mix_is_as_it_was_fixed(mission: Result) -> None:
    labels = [frame.truth["label"] for frame in mission.frames if frame.truth]
    assert {label: labels.count(label) for label in set(labels)} == {"empty": 72, "far": 30, "near": 18}


def test_every_frame_is_answered(figures: dict[str, Any]) -> None:
    for mode in figures.values():
        assert mode["frames"] == mode["answers"] == 120
        assert mode["failed"] == 0


def test_empty_frames_are_answered_at_least_five_times_sooner(figures: dict[str, Any]) -> None:
    base, ours = (figures[m]["latency_s"]["empty"]["p50"] for m in ("cloud-only", "split"))
    assert base / ours >= 5


def test_at_most_a_tenth_of_the_uplink(figures: dict[str, Any]) -> None:
    assert figures["split"]["bytes_up"] <= 0.10 * figures["cloud-only"]["bytes_up"]


def test_the_cloud_works_on_near_litter_only(mission: Result) -> None:
    assert sum(a.cost.cloud_s for a in elsewhere(mission, "split")) == 0
    asked = [a for a in on_near(mission, "split") if a.cost.cloud_s]
    assert asked
    for answer in asked:
        assert answer.cost.calls["blip2"] == 2
        assert answer.cost.cloud_s == pytest.approx(2 * 0.365)
    assert set(mission.summary()["modes"]["split"]["calls"]) == {"yolov8", "depth", "blip2"}


def test_answers_agree_with_the_baseline(figures: dict[str, Any]) -> None:
    assert figures["split"]["agreement_litter"] >= 0.95
    assert figures["split"]["agreement"] >= 0.95


def test_recall_is_the_baselines(figures: dict[str, Any]) -> None:
    assert figures["split"]["recall"] >= figures["cloud-only"]["recall"] - 0.02


def test_per_call_ships_each_crop_again(mission: Result, figures: dict[str, Any]) -> None:
    """DiCE-M's way: depth is a round trip of its own for each patch, one after the other."""
    assert figures["per-call"]["bytes_up"] > figures["split"]["bytes_up"]
    assert figures["per-call"]["latency_s"]["litter"]["p50"] > figures["split"]["latency_s"]["litter"]["p50"]


def test_calls_that_nobody_waits_for_are_counted(tmp_path: Path) -> None:
    """A program that ends early has shipped and computed all the same; the totals are the link's and the device's."""
    program = tmp_path / "early.py"
    program.write_text(EARLY, encoding="utf-8")
    result = simulate(Setting("litter-mission", program=str(program), modes=("split",)))
    figures = result.summary()["modes"]["split"]
    assert figures["calls"]["blip2"] == 120
    assert figures["cloud_s"] == pytest.approx(120 * 0.365)
    assert figures["bytes_up"] > 120 * 10_000
    assert figures["bytes_up"] > sum(a.cost.bytes_up for a in result.answers["split"].values())


def test_observations_are_placed(mission: Result) -> None:
    for answer in on_near(mission, "split"):
        for observation in answer.observations:
            assert observation.lat is not None
            assert observation.pos_unc_m
            assert observation.models


def test_same_seed_same_bytes() -> None:
    setting = Setting("litter-mission", modes=("split",), link="dead-zones", seed=3)
    first, second = simulate(setting), simulate(setting)
    assert json.dumps(first.summary()) == json.dumps(second.summary())
    assert first.answers == second.answers
    assert render_report(first) == render_report(second)
    other = simulate(Setting("litter-mission", modes=("split",), link="dead-zones", seed=4))
    assert other.answers != first.answers


def test_published_shape(mission: Result) -> None:
    document = json.loads(json.dumps(mission.summary()))
    assert {"recording", "program", "link", "seed", "modes"} <= document.keys()
    for mode in document["modes"].values():
        assert {
            "frames", "answers", "agreement", "latency_s", "bytes_up", "bytes_down", "cloud_s", "cost_usd", "calls"
        } <= mode.keys()  # fmt: skip
        assert mode["latency_s"].keys() == {"empty", "litter"}


def test_report_is_self_contained(mission: Result) -> None:
    page = render_report(mission)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<svg") == 4
    assert "data:image/webp;base64," in page
    assert "demo models: trained on rendered scenes" in page
    assert "simulated" in page


def test_a_dead_zone_delays_and_loses_nothing() -> None:
    result = simulate(Setting("litter-mission", modes=("cloud-only", "split"), link="dead-zones"))
    figures = result.summary()["modes"]
    assert figures["split"]["answers"] == 120
    assert figures["split"]["latency_s"]["empty"]["p95"] < 0.1 < figures["cloud-only"]["latency_s"]["empty"]["p95"]


def test_photographs_with_a_gps_log(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """No calibration, no attitude: distances are the cloud's, and everything still runs."""
    source = shared_data("images/wasr_maritime_examples")
    folder = tmp_path / "photographs"
    folder.mkdir()
    for photograph in sorted(source.glob("*.jpg")):
        shutil.copy(photograph, folder)
    rows = [f"{1_780_000_000 + i},{43.2 + i * 1e-5},5.3" for i in range(10)]
    (folder / "gps.csv").write_text("t_s,lat,lon\n" + "\n".join(rows) + "\n", encoding="utf-8")
    result = simulate(Setting(str(folder)))
    figures = result.summary()["modes"]
    assert figures["split"]["answers"] == figures["cloud-only"]["answers"] == len(result.frames) == 6
    assert figures["split"]["failed"] == 0
    assert figures["split"]["recall"] is None
    assert all(f.info.pose is not None and f.info.pose.lat is not None for f in result.frames)
