"""BLIP-ITM, SigLIP and SigLIP 2 on tiny random checkpoints, held against transformers itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build
from dicem_cloud.functions.transformers_xvlm import TransformersXvlm
from dicem_cloud.functions.xvlm import Xvlm
from dicem_cloud.functions_config import XvlmConfig
from dicem_shared import catalog
from dicem_shared.errors import InvalidCall, ModelError
from dicem_shared.implementations import Work
from dicem_shared.patches import Patch
from dicem_shared.types import FrameInfo, ModelId

torch = pytest.importorskip("torch", reason="needs the extra [transformers]")
transformers = pytest.importorskip("transformers", reason="needs the extra [transformers]")

from .checkpoints import noise, save_blip_itm, save_siglip, save_siglip2  # noqa: E402

FRAME = FrameInfo(camera="bow", sequence=0, t_utc=0.0, blob="0" * 64, width=64, height=48)
NETWORK = ModelId(function="xvlm", name="n", sha256="0")
PICTURES = [noise(48, 64), noise(48, 64, 1), noise(30, 90, 2)]
TEXTS = [["car"], ["red boat", "blue boat", "a photo of a car"], ["metal", "plastic"]]


@pytest.fixture(scope="module", params=[save_blip_itm, save_siglip, save_siglip2], ids=["blip", "siglip", "siglip2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("xvlm")
    request.param(made)
    return made


@cache
def network(folder: Path, **how: Any) -> TransformersXvlm:
    """Looked at and loaded once for all tests."""
    return TransformersXvlm(XvlmConfig.model_validate({"model": str(folder), "device": "cpu"} | how))


def work(**params: Any) -> Work:
    image = params.pop("image", PICTURES[0])
    return Work({"image": Patch(image, (0, 0, image.shape[1], image.shape[0]), FRAME), "object_name": "car"} | params)


def test_scores_do_not_depend_on_company(folder: Path) -> None:
    xvlm = network(folder)
    for image, texts, scores in zip(PICTURES, TEXTS, xvlm.match(PICTURES, TEXTS), strict=True):
        assert all(0 <= score <= 1 for score in scores)  # type: ignore[union-attr]
        for text, score in zip(texts, scores, strict=True):  # type: ignore[arg-type]
            assert xvlm.match([image], [[text]])[0] == pytest.approx([score], abs=1e-5)


def test_scores_depend_on_image_and_text(folder: Path) -> None:
    scores = network(folder).match(PICTURES[:2], [["car", "boat"], ["car", "boat"]])
    assert len({round(score, 4) for each in scores for score in each}) == 4  # type: ignore[union-attr]


def test_as_transformers_scores_it(folder: Path) -> None:
    """Against processor and network as their documentation has them."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    text = "red boat"
    if config.model_type == "blip":
        model = transformers.BlipForImageTextRetrieval.from_pretrained(folder)
        with torch.no_grad():
            seen = model(**processor(images=PICTURES[0], text=text, return_tensors="pt"))
        expected = torch.softmax(seen.itm_score, dim=1)[0, 1].item()
    else:
        model = transformers.AutoModel.from_pretrained(folder)
        small = {"patch_size": 8, "max_num_patches": 16} if config.model_type == "siglip2" else {}
        length = config.text_config.max_position_embeddings
        inputs = processor(
            images=PICTURES[0], text=[text], padding="max_length", max_length=length, return_tensors="pt", **small
        )  # fmt: skip
        inputs.pop("attention_mask", None)
        with torch.no_grad():
            expected = torch.sigmoid(model(**inputs).logits_per_image)[0, 0].item()
    assert network(folder).match(PICTURES[:1], [[text]])[0] == pytest.approx([expected], abs=1e-5)


def test_one_pass_for_all_and_no_more_than_allowed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(**how: Any) -> tuple[list[int], Any]:
        xvlm = network(folder, **how)
        batches: list[int] = []
        held = xvlm.held
        monkeypatch.setattr(xvlm, "held", lambda items: batches.append(items) or held(items))  # type: ignore[func-returns-value]
        return batches, xvlm.match(PICTURES, TEXTS)

    (one, scores), (several, again) = passes(), passes(max_pairs=4)
    assert (one, several) == ([6], [4, 2])
    assert [len(each) for each in again] == [1, 3, 2]
    assert [s for each in again for s in each] == pytest.approx([s for each in scores for s in each], abs=1e-5)


def test_a_text_that_is_too_long_fails_alone(folder: Path) -> None:
    first, second = network(folder).match(PICTURES[:2], [["car", "car " * 300], ["boat"]])
    assert isinstance(first, InvalidCall)
    assert isinstance(second, list)


@pytest.mark.parametrize("text", ["", " ", "❤", "\x00"])
@pytest.mark.parametrize("shape", [(1, 1), (300, 1), (1, 300)])
def test_odd_texts_and_images(text: str, shape: tuple[int, int], folder: Path) -> None:
    xvlm = Xvlm(network(folder), NETWORK, threshold=0.5)
    (result,) = xvlm.run([work(image=noise(*shape), property=text, object_name="")])
    assert isinstance(result, ModelError) or catalog.xvlm.check_result(result)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_in_half_the_numbers(dtype: str, folder: Path) -> None:
    exact, half = network(folder).match(PICTURES, TEXTS), network(folder, dtype=dtype).match(PICTURES, TEXTS)
    assert [s for each in half for s in each] == pytest.approx([s for each in exact for s in each], abs=0.05)  # type: ignore[union-attr]


def test_built_from_a_config(folder: Path) -> None:
    functions = {"xvlm": {"model": str(folder), "device": "cpu", "max_batch": 3}}
    (xvlm,) = build(CloudConfig.model_validate({"functions": functions})).values()
    assert (xvlm.spec.name, xvlm.spec.batch.max_size, xvlm.reentrant) == ("xvlm", 3, True)
    assert catalog.xvlm.check_result(xvlm.run([work(property="red")])[0])["scores"] == []


def test_a_blip_that_matches_nothing(tmp_path: Path) -> None:
    save_blip_itm(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["BlipForConditionalGeneration"]}))
    with pytest.raises(ModelError, match="matches no texts"):
        network(tmp_path)


class Fixed:
    """Says of each text what it was told to, and writes down what it was asked."""

    def __init__(self, **scores: float) -> None:
        self.scores, self.asked = scores, []

    def match(self, images: Sequence[Any], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        self.asked += [list(each) for each in texts]
        return [[self.scores.get(text.split()[0], 0.25) for text in each] for each in texts]


class TestTheFunction:
    """As the prelude calls it."""

    def test_verify_property(self) -> None:
        fixed = Fixed(damaged=0.6, overturned=0.4)
        results = Xvlm(fixed, NETWORK, threshold=0.5).run([work(property="damaged"), work(property="overturned")])
        assert results == [
            {"result": True, "score": 0.6, "scores": []},
            {"result": False, "score": 0.4, "scores": []},
        ]
        assert fixed.asked == [["damaged car"], ["overturned car"]]

    def test_best_text_match(self) -> None:
        fixed = Fixed(red=0.1, blue=0.9)
        (result,) = Xvlm(fixed, NETWORK, threshold=0.5).run([work(object_name="", options=["red", "blue"])])
        assert result == {"result": True, "score": 0.9, "scores": [0.1, 0.9]}
        Xvlm(fixed, NETWORK, threshold=0.5, prompt="a photo of {text}").run([work(options=["red"])])
        assert fixed.asked == [["red", "blue"], ["a photo of car red"]]

    def test_an_object_alone(self) -> None:
        fixed = Fixed()
        Xvlm(fixed, NETWORK, threshold=0.5).run([work(), work(property="", options=None)])
        assert fixed.asked == [["car"], ["car"]]
