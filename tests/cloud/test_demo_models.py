"""The bundled models: their figures on the held-out scenes, and that both backends say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dicem_cloud.functions.onnx_blip2 import OnnxBlip2
from dicem_cloud.functions.onnx_depth import OnnxDepth
from dicem_shared.demo import DEMO_NOTICE, demo_notice
from dicem_shared.detector import Detector
from dicem_shared.errors import InvalidCall, ModelError
from dicem_simulators.scenes.objects import KINDS
from dicem_simulators.scenes.render import Truth, take
from dicem_simulators.training.heldout import HELDOUT_CROWD, HELDOUT_DIFFICULTY, HELDOUT_SCENES, HELDOUT_SEED, scene

MODELS = Path(__file__).parents[2] / "models"
NAMES = ("yolov8", "blip2", "depth")
QUESTIONS = (
    "What is this?",
    "Answer briefly. What is this?",
    "What material is this made of?",
    "What color is this?",
    "What colour is this?",
    "Is this a plastic bottle?",
    "Is this made of plastic?",
    "Is this red?",
)

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def held_out() -> list[tuple[Pixels, list[Truth]]]:
    """The first few held-out scenes."""
    drawn = (take(scene(HELDOUT_SEED, i, HELDOUT_DIFFICULTY, HELDOUT_CROWD), HELDOUT_SEED + i) for i in range(8))
    return [(picture.image, picture.truths) for picture in drawn]


def crops(held_out: list[tuple[Pixels, list[Truth]]]) -> Iterator[tuple[Pixels, Truth]]:
    for image, truths in held_out:
        for t in truths:
            if max(t.width, t.height) >= 16 and t.visible > 0.5:
                yield image[t.y : t.y + t.height, t.x : t.x + t.width], t


def figures(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((MODELS / name / "metrics.json").read_text())
    return loaded


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_the_model_is_for(name: str) -> None:
    card = (MODELS / name / "card.md").read_text()
    assert "trained on rendered scenes; for demonstration and tests, not for the field" in card
    assert demo_notice([MODELS / name]) == DEMO_NOTICE
    assert ("AGPL-3.0" in card) == (name == "yolov8")


def test_all_models_together_are_small() -> None:
    assert sum(p.stat().st_size for p in MODELS.rglob("*") if p.is_file()) <= 8_000_000


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_those_of_the_frozen_scenes(name: str) -> None:
    assert figures(name)["held_out"] == {
        "scenes": HELDOUT_SCENES,
        "seed": HELDOUT_SEED,
        "difficulty": HELDOUT_DIFFICULTY,
        "objects_per_scene": HELDOUT_CROWD,
    }


def test_the_bars_are_met() -> None:
    detector, answers, depth = (figures(name) for name in NAMES)
    assert detector["map50_12px_and_more"] >= 0.60
    assert detector["litter_at_score_0.25"]["recall_by_distance"]["0-5 m"]["recall"] >= 0.95
    assert {"0-6 px", "6-12 px", "12-24 px", "24-48 px", "48 px and more"} == set(detector["map50_by_size"])
    assert all(answers["exact_match"][kind] >= 0.95 for kind in ("name", "material", "colour"))
    assert depth["relative_error"]["median"] <= 0.10


def test_the_detector_reads_as_its_export_says(held_out: list[tuple[Pixels, list[Truth]]]) -> None:
    detector = Detector(MODELS / "yolov8" / "model.onnx", threads=1)
    assert detector.names == KINDS
    found = [(len(detector.detect(image)), len(truths)) for image, truths in held_out]
    assert sum(n for n, _ in found) >= 0.4 * sum(n for _, n in found)


def test_answers_are_right_and_do_not_depend_on_the_company(held_out: list[tuple[Pixels, list[Truth]]]) -> None:
    network = OnnxBlip2(MODELS / "blip2")
    cut = list(crops(held_out))
    asked = [
        ("What is this?", "kind"),
        ("What material is this made of?", "material"),
        ("What color is this?", "colour"),
    ]
    images = [image for image, _ in cut for _ in asked]
    together = network.answer(images, [question for question, _ in asked] * len(cut))
    assert together[:6] == [network.answer([images[i]], [asked[i % 3][0]])[0] for i in range(6)]
    right = [
        a == getattr(t, key) for a, (t, key) in zip(together, ((t, k) for _, t in cut for _, k in asked), strict=True)
    ]
    assert np.mean(right) > 0.85
    assert network.answer([], []) == []
    with pytest.raises(InvalidCall, match="too long"):
        network.answer([images[0]], ["what is this? " * 30])


def test_a_distance_is_that_of_the_foot(held_out: list[tuple[Pixels, list[Truth]]]) -> None:
    network = OnnxDepth(MODELS / "depth")
    image = held_out[0][0]
    metres = network.depth_map(image)
    assert metres.shape == image.shape[:2]
    assert metres.dtype == np.float32
    assert np.median(metres[470]) < np.median(metres[300]) < np.median(metres[200])
    assert network.distance(image, (300, 380, 40, 20)) == pytest.approx(float(np.median(metres[399, 310:330])))


@pytest.mark.parametrize("broken", ["meta.json", "vocab.json", "vision.onnx", "decoder.onnx"])
def test_a_broken_folder_is_one_clear_line(broken: str, tmp_path: Path) -> None:
    for path in (MODELS / "blip2").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / broken).write_bytes(b"{")
    with pytest.raises(ModelError, match=broken):
        OnnxBlip2(tmp_path)


def test_both_backends_answer_alike(held_out: list[tuple[Pixels, list[Truth]]]) -> None:
    pytest.importorskip("torch", reason="needs the extra [transformers]")
    pytest.importorskip("transformers", reason="needs the extra [transformers]")
    from dicem_cloud.functions.transformers_blip2 import TransformersBlip2

    ours, theirs = OnnxBlip2(MODELS / "blip2"), TransformersBlip2(str(MODELS / "blip2"), device="cpu")
    images = [image for image, _ in crops(held_out) for _ in QUESTIONS]
    questions = list(QUESTIONS) * (len(images) // len(QUESTIONS))
    assert ours.answer(images, questions) == theirs.answer(images, questions)


def test_both_backends_measure_alike(held_out: list[tuple[Pixels, list[Truth]]]) -> None:
    pytest.importorskip("torch", reason="needs the extra [transformers]")
    pytest.importorskip("transformers", reason="needs the extra [transformers]")
    from dicem_cloud.functions.transformers_depth import TransformersDepth

    ours, theirs = OnnxDepth(MODELS / "depth"), TransformersDepth(str(MODELS / "depth"), device="cpu")
    for image, _ in held_out[:2]:
        np.testing.assert_allclose(ours.depth_map(image), theirs.depth_map(image), rtol=2e-3)
