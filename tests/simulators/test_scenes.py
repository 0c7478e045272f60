"""The renderer and the recordings it writes: same seed, same bytes; truth that is true; a mix that is exact."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dicem_shared.camera import Attitude, Calibration, water_distance
from dicem_shared.errors import ConfigError, RecordingError
from dicem_simulators.scenes.mission import FAR_LIMIT_M, NEAR_LIMIT_M, Mix, Voyage, plan_voyage, write_recording
from dicem_simulators.scenes.objects import KINDS, LITTER, random_object
from dicem_simulators.scenes.render import CAMERA, Lens, Scene, random_scene, render, take
from dicem_simulators.scenes.water import Weather

SMALL = Calibration(width=160, height=120, fx=175, fy=175, cx=80, cy=60, height_m=1.2, mount_pitch_deg=-10)
SHARP = Lens(blur=0, noise=0)
CALM = Weather(chop=0.0, sun=0.0, visibility_m=900.0)
SHIPPED = Path(__file__).parents[2] / "recordings" / "litter-mission"


@cache
def planned(mix: Mix) -> Voyage:
    """120 frames from the shipped recording's seed, at its visibility."""
    return plan_voyage(2026, 120, mix, 260.0)


def still(kind: str, ahead: float, *, seed: int = 4, pitch: float = 1.5) -> Scene:
    """One object straight ahead on flat water."""
    item = random_object(np.random.default_rng(seed), kind, ahead, 0.0)
    return Scene(CALM, (item,), Attitude(pitch_deg=pitch), lens=SHARP, waves=False)


def test_a_seed_gives_the_same_bytes() -> None:
    scene = replace(random_scene(np.random.default_rng(1), 0.5, 5.0), camera=SMALL)
    (first, truths), (second, again), (other, _) = render(scene, 7), render(scene, 7), render(scene, 8)
    assert first.tobytes() == second.tobytes()
    assert truths == again
    assert first.tobytes() != other.tobytes(), "the sensor's noise is the seed's"


def test_the_picture_has_the_camera_s_size_and_waves_move() -> None:
    scene = Scene(Weather(), camera=SMALL)
    now, later = render(scene, 0)[0], render(replace(scene, t_s=0.7), 0)[0]
    assert now.shape == (120, 160, 3)
    assert now.dtype == np.uint8
    assert (now[60:] != later[60:]).mean() > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_holds_the_object_s_pixels_and_nothing_else(kind: str) -> None:
    scene = still(kind, 15.0 if kind == "boat" else 5.0)
    image, (truth,) = render(scene, 0)
    water, _ = render(replace(scene, objects=()), 0)
    changed = np.abs(image.astype(int) - water).max(axis=2) > 24
    changed[truth.y + truth.height :] = False  # its reflection
    rows, columns = np.nonzero(changed)
    box = (truth.x, truth.y, truth.x + truth.width, truth.y + truth.height)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx(box, abs=2)
    assert truth.visible == 1.0
    assert truth.litter == (kind in LITTER)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ahead", [4.0, 16.0])
def test_the_foot_of_a_box_is_as_far_as_the_camera_says(kind: str, ahead: float) -> None:
    ahead *= 2 if kind == "boat" else 1
    scene = still(kind, ahead)
    (truth,) = render(scene, 0)[1]
    foot = (truth.x + truth.width / 2, float(truth.y + truth.height))
    assert water_distance(CAMERA, scene.attitude, *foot) == pytest.approx(ahead, rel=0.05)
    assert truth.distance_m == pytest.approx(ahead, abs=1e-3)


def test_what_is_nearer_hides_what_is_behind() -> None:
    rng = np.random.default_rng(3)
    tyre, can = random_object(rng, "tyre", 4.0, 0.0), random_object(rng, "metal can", 6.0, 0.0)
    near, far = render(Scene(CALM, (can, tyre), lens=SHARP, waves=False), 0)[1]
    assert (near.kind, near.visible) == ("tyre", 1.0)
    assert (far.kind, far.visible < 0.8) == ("metal can", True)


def test_the_map_of_distances_is_that_of_the_water_and_of_objects() -> None:
    picture = take(still("tyre", 6.0), 0)
    water = water_distance(CAMERA, Attitude(pitch_deg=1.5), 100.5, 400.5)
    assert picture.distance_m[400, 100] == pytest.approx(water, rel=0.01)
    (truth,) = picture.truths
    assert picture.distance_m[truth.y + truth.height - 2, truth.x + truth.width // 2] == pytest.approx(6.0)


@pytest.mark.parametrize("mix", [Mix(), Mix(0.70, 0.25, 0.05), Mix(0.30, 0.20, 0.50)])
def test_a_mix_is_exact(mix: Mix) -> None:
    voyage = planned(mix)
    labels = Counter(stand.label for stand in voyage.stands)
    wanted = {"empty": mix.empty, "far": mix.far, "near": mix.near}
    assert labels == {name: round(120 * share) for name, share in wanted.items()}
    steps = [
        math.hypot(b.north_m - a.north_m, b.east_m - a.east_m)
        for a, b in zip(voyage.stands, voyage.stands[1:], strict=False)
    ]
    assert max(steps) < 3.5, "the boat does not jump"


@pytest.mark.parametrize("mix", [Mix(0.5, 0.5, 0.5), Mix(-0.1, 0.6, 0.5), Mix(0.1, 0.0, 0.9)])
def test_a_mix_that_cannot_be_is_refused(mix: Mix, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mix"):
        write_recording(tmp_path / "r", 1, 40, mix)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_whole_and_the_same_again(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    for name in ("a", "b"):
        write_recording(tmp_path / name, 5, 10, Mix(0.6, 0.2, 0.2), name="r", progress=lambda *at: seen.append(at))
    one, two = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in tmp_path.iterdir())
    assert one == two
    assert {str(p) for p in one} >= {"recording.yaml", "camera.csv", "imu.csv", "gps.csv", "truth.jsonl"}
    assert seen[:10] == [(i + 1, 10) for i in range(10)]
    with pytest.raises(RecordingError, match="exists"):
        write_recording(tmp_path / "a", 5, 10)


def test_the_shipped_recording_is_what_its_seed_gives() -> None:
    lines = [json.loads(line) for line in (SHIPPED / "truth.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == [s.label for s in planned(Mix()).stands]
    assert Counter(line["label"] for line in lines) == {"empty": 72, "far": 30, "near": 18}
    assert sum(p.stat().st_size for p in SHIPPED.rglob("*") if p.is_file()) <= 6_000_000
    assert "kind: rendered" in (SHIPPED / "recording.yaml").read_text()
    for line in lines:
        objects = sorted(line["objects"], key=lambda o: float(o["distance_m"]))
        match line["label"]:
            case "empty":
                assert objects == []
            case "far":
                assert objects[0]["distance_m"] > FAR_LIMIT_M
            case _:
                assert objects[0]["distance_m"] < NEAR_LIMIT_M
                assert objects[0]["kind"] in LITTER
                assert all(o["distance_m"] > 8 for o in objects if not o["litter"])


@pytest.mark.parametrize("near", [0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
@pytest.mark.parametrize("seed", [0, 7])
def test_a_plan_is_found_for_ordinary_mixes(near: float, seed: int) -> None:
    voyage = plan_voyage(seed, 120, Mix(round(0.75 - near, 9), 0.25, near), 260.0)
    assert [s.label for s in voyage.stands].count("near") == round(120 * near)
