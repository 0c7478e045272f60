"""Grounding DINO and OWLv2 on tiny random checkpoints, held against transformers itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build
from dicem_cloud.functions.glip import Finding, Glip, whole_pixels
from dicem_cloud.functions.transformers_glip import TransformersGlip
from dicem_cloud.functions_config import GlipConfig
from dicem_shared import catalog
from dicem_shared.errors import DicemError, InvalidCall, ModelError
from dicem_shared.implementations import Work
from dicem_shared.patches import Patch
from dicem_shared.types import FrameInfo, ModelId

torch = pytest.importorskip("torch", reason="needs the extra [transformers]")
transformers = pytest.importorskip("transformers", reason="needs the extra [transformers]")
pytest.importorskip("scipy", reason="OWLv2's processor needs it")

from .checkpoints import noise, save_depth, save_grounding_dino, save_owlv2  # noqa: E402

FRAME = FrameInfo(camera="bow", sequence=0, t_utc=0.0, blob="0" * 64, width=64, height=48)
PICTURES = [noise(48, 64), noise(48, 64, 1), noise(30, 90, 2), noise(48, 64, 3)]
NAMES = ["car", "boat", "red car", "metal boat"]


@pytest.fixture(scope="module", params=[save_grounding_dino, save_owlv2], ids=["grounding-dino", "owlv2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("glip")
    request.param(made)
    return made


@cache
def network(folder: Path, **how: Any) -> TransformersGlip:
    """Looked at and loaded once for all tests."""
    return TransformersGlip(GlipConfig.model_validate({"model": str(folder), "device": "cpu", "score": 0.0} | how))


def work(image: Any, name: str) -> Work:
    return Work({"image": Patch(image, (0, 0, image.shape[1], image.shape[0]), FRAME), "object_name": name})


def same(these: Any, those: Any) -> None:
    assert [one.box for one in these] == [one.box for one in those]
    assert [one.score for one in these] == pytest.approx([one.score for one in those], abs=1e-5)


def test_boxes_are_as_the_schema_promises(folder: Path) -> None:
    glip = Glip(network(folder), ModelId(function="glip", name="n", sha256="0"))
    results = glip.run([work(*one) for one in zip(PICTURES, NAMES, strict=True)])
    for image, result in zip(PICTURES, results, strict=True):
        boxes = catalog.glip.check_result(result)
        assert boxes
        assert [box["score"] for box in boxes] == sorted((box["score"] for box in boxes), reverse=True)
        for box in boxes:
            assert box["width"] > 0 < box["height"]
            assert box["x"] + box["width"] <= image.shape[1]
            assert box["y"] + box["height"] <= image.shape[0]


def test_what_is_found_does_not_depend_on_company(folder: Path) -> None:
    glip = network(folder)
    for image, name, found in zip(PICTURES, NAMES, glip.find(PICTURES, NAMES), strict=True):
        (alone,) = glip.find([image], [name])
        same(found, alone)


def test_alike_images_share_a_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glip = network(folder)
    batches: list[int] = []
    held = glip.held
    monkeypatch.setattr(glip, "held", lambda items: batches.append(items) or held(items))  # type: ignore[func-returns-value]
    glip.find([noise(48, 64, n) for n in range(5)], ["car"] * 5)
    assert batches == [5]


def test_as_transformers_finds_it(folder: Path) -> None:
    """The whole of it against processor, network and post-processing as their documentation has them."""
    image, name = PICTURES[0], "red car"
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    grounds = model.config.model_type == "grounding-dino"
    inputs = processor(images=image, text=[[name]], return_tensors="pt", **({} if grounds else {"max_length": 16}))
    with torch.no_grad():
        seen = model(**inputs)
    finish = processor.post_process_grounded_object_detection
    how = {"threshold": 0.0, "target_sizes": [image.shape[:2]]}
    (expected,) = finish(seen, inputs.input_ids, **how) if grounds else finish(seen, **how)
    order = np.argsort(-expected["scores"].numpy(), kind="stable")
    boxes = [whole_pixels(expected["boxes"][n].tolist(), 64, 48) for n in order]
    scores = [float(expected["scores"][n]) for n in order]
    (found,) = network(folder, iou=1.0, max_objects=900).find([image], [name])
    same(found, [Finding(score, box) for score, box in zip(scores, boxes, strict=True) if box is not None])


def test_the_config_decides_what_is_reported(folder: Path) -> None:
    (every,) = network(folder, iou=1.0).find(PICTURES[:1], ["car"])
    middle = sorted(one.score for one in every)[len(every) // 2]
    (good,) = network(folder, iou=1.0, score=middle).find(PICTURES[:1], ["car"])
    assert [one.box for one in good] == [one.box for one in every if one.score > middle]
    (few,) = network(folder, iou=1.0, max_objects=2).find(PICTURES[:1], ["car"])
    assert few == every[:2]
    apart = sum(len(found) for found in network(folder, iou=0.0).find(PICTURES, NAMES))
    assert 0 < apart < sum(len(found) for found in network(folder, iou=1.0).find(PICTURES, NAMES))


def test_a_name_that_is_too_long_fails_alone(folder: Path) -> None:
    first, second = network(folder).find(PICTURES[:2], ["car " * 500, "boat"])
    assert isinstance(first, InvalidCall)
    assert "too long" in str(first)
    assert not isinstance(second, DicemError)


@pytest.mark.parametrize("name", ["", " ", ".", "CAR.", "car. boat.", "❤", "\x00", "a" * 60])
def test_odd_names(name: str, folder: Path) -> None:
    (found,) = network(folder).find(PICTURES[:1], [name])
    assert not isinstance(found, DicemError) or isinstance(found, InvalidCall)


@pytest.mark.parametrize("shape", [(1, 1), (300, 1), (1, 300), (2, 500)])
def test_odd_images_fail_alone_if_at_all(shape: tuple[int, int], folder: Path) -> None:
    glip = Glip(network(folder), ModelId(function="glip", name="n", sha256="0"))
    odd, fine = glip.run([work(noise(*shape), "car"), work(PICTURES[0], "car")])
    assert isinstance(odd, DicemError) or catalog.glip.check_result(odd) is not None
    assert not isinstance(fine, Exception)


def test_built_from_a_config(folder: Path) -> None:
    functions = {"glip": {"model": str(folder), "device": "cpu", "max_batch": 3, "preload": True}}
    (glip,) = build(CloudConfig.model_validate({"functions": functions})).values()
    assert (glip.spec.name, glip.spec.batch.max_size, glip.reentrant) == ("glip", 3, True)
    assert (glip.model.name, len(glip.model.sha256)) == (folder.name, 64)


def test_another_architecture(tmp_path: Path) -> None:
    save_depth(tmp_path)
    with pytest.raises(ModelError, match="expected grounding-dino or owlv2, got 'depth_anything'"):
        network(tmp_path)


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((1.2, 2.9, 4.7, 6.9), (1, 2, 4, 5)),
        ((-3.0, -2.0, 7.0, 8.0), (0, 0, 7, 8)),
        ((35.5, 25.5, 135.5, 125.5), (35, 25, 5, 5)),
        ((50.0, 2.0, 55.0, 7.0), None),
        ((-9.0, 2.0, -1.0, 7.0), None),
        ((4.0, 4.0, 2.0, 2.0), None),
        ((float("nan"), 0.0, 5.0, 5.0), None),
        ((0.0, 0.0, float("inf"), 5.0), None),
    ],
)
def test_whole_pixels(corners: Any, box: Any) -> None:
    assert whole_pixels(corners, 40, 30) == box
