"""The transformers backend on tiny random checkpoints of the true architectures: the classes that load the full-size
ones, without their weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build
from dicem_cloud.functions.transformers_blip2 import TransformersBlip2
from dicem_cloud.functions.transformers_depth import TransformersDepth
from dicem_shared.errors import ConfigError, InvalidCall, ModelError

torch = pytest.importorskip("torch", reason="needs the extra [transformers]")
transformers = pytest.importorskip("transformers", reason="needs the extra [transformers]")

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "question", ":", "answer", "what", "is", "it", "?", "plastic", "metal"]
QUERY_TOKENS = 4


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def save_blip2(folder: Path, *, decoder: bool = True) -> None:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    text = (
        transformers.OPTConfig(
            vocab_size=32, hidden_size=16, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=40, word_embed_proj_dim=16, **ids,
        )
        if decoder
        else transformers.T5Config(
            vocab_size=32, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2, decoder_start_token_id=0, **ids
        )
    )  # fmt: skip
    config = transformers.Blip2Config(
        vision_config=transformers.Blip2VisionConfig(**small, image_size=32, patch_size=16, initializer_range=0.02),
        qformer_config=transformers.Blip2QFormerConfig(**small, encoder_hidden_size=16, vocab_size=32),
        text_config=text,
        num_query_tokens=QUERY_TOKENS,
        image_token_index=len(WORDS),
    )
    network = transformers.Blip2ForConditionalGeneration(config)
    network.query_tokens.data.normal_()
    network.save_pretrained(folder)
    pixels = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.Blip2Processor(pixels, tokenizer(), num_query_tokens=QUERY_TOKENS).save_pretrained(folder)


def save_depth(folder: Path, *, kind: str = "metric") -> None:
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type=kind, max_depth=80,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    size = {"height": 56, "width": 56}
    transformers.DPTImageProcessor(size=size, ensure_multiple_of=14, keep_aspect_ratio=True).save_pretrained(folder)


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip2")
    save_blip2(folder)
    return folder


@pytest.fixture(scope="module")
def depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("depth")
    save_depth(folder)
    return folder


def noise(height: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class TestBlip2:
    def test_answers_do_not_depend_on_company(self, blip2: Path) -> None:
        network = TransformersBlip2(str(blip2), device="cpu", max_new_tokens=4)
        pictures = [noise(20, 30), noise(48, 31, 1), noise(5, 3, 2)]
        questions = ["what is it?", "plastic?", "what is it?"]
        together = network.answer(pictures, questions)
        assert together == [network.answer([p], [q])[0] for p, q in zip(pictures, questions, strict=True)]
        assert any(together)

    def test_what_the_decoder_was_asked_is_no_part_of_the_answer(self, blip2: Path) -> None:
        """Against `generate` itself: the answer is what follows the prompt's tokens."""
        network = TransformersBlip2(str(blip2), device="cpu", max_new_tokens=3, prompt="{query}")
        processor = transformers.AutoProcessor.from_pretrained(blip2)
        model = transformers.Blip2ForConditionalGeneration.from_pretrained(blip2)
        inputs = processor(images=[noise(32, 32)], text=["metal wood"], return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=3, do_sample=False)
        assert tokens.shape[1] == QUERY_TOKENS + 2 + 3
        expected = processor.batch_decode(tokens[:, -3:], skip_special_tokens=True)[0].strip()
        assert network.answer([noise(32, 32)], ["metal wood"]) == [expected]

    def test_an_encoder_decoder_repeats_nothing(self, tmp_path: Path) -> None:
        save_blip2(tmp_path, decoder=False)
        (answer,) = TransformersBlip2(str(tmp_path), device="cpu", max_new_tokens=3).answer([noise(9, 9)], ["what?"])
        assert isinstance(answer, str)

    def test_a_question_that_is_too_long(self, blip2: Path) -> None:
        network = TransformersBlip2(str(blip2), device="cpu", max_new_tokens=4)
        with pytest.raises(InvalidCall, match="too long"):
            network.answer([noise(9, 9)], ["what " * 60])

    def test_built_from_a_config(self, blip2: Path) -> None:
        settings = {"model": str(blip2), "backend": "transformers", "max_batch": 2, "device": "cpu"}
        built = build(CloudConfig.model_validate({"functions": {"blip2": settings}}))
        assert sorted(built) == ["blip", "blip2"]
        assert (built["blip"].model.function, built["blip"].model.name) == ("blip", blip2.name)
        assert built["blip"].model.sha256 == built["blip2"].model.sha256


class TestDepth:
    def test_metres_for_every_pixel(self, depth: Path) -> None:
        network = TransformersDepth(str(depth), device="cpu")
        image = noise(40, 60)
        metres = network.depth_map(image)
        assert (metres.shape, str(metres.dtype)) == ((40, 60), "float32")
        assert 0 <= metres.min() <= metres.max() <= 80
        assert metres.std() > 0

    def test_distance_is_read_at_the_foot(self, depth: Path) -> None:
        network = TransformersDepth(str(depth), device="cpu")
        image = noise(40, 60)
        metres = network.depth_map(image)
        assert network.distance(image, (8, 4, 8, 20)) == pytest.approx(float(np.median(metres[23, 10:14])))
        assert network.distance(image, (59, 39, 1, 1)) == pytest.approx(float(metres[39, 59]))

    def test_relative_depth_is_no_distance(self, tmp_path: Path) -> None:
        save_depth(tmp_path, kind="relative")
        with pytest.raises(ModelError, match="not metres"):
            TransformersDepth(str(tmp_path), device="cpu")


class TestBadCheckpoints:
    def test_another_architecture(self, depth: Path) -> None:
        with pytest.raises(ModelError, match="expected blip-2, got 'depth_anything'"):
            TransformersBlip2(str(depth), device="cpu")

    def test_weights_that_are_cut_off(self, tmp_path: Path) -> None:
        save_depth(tmp_path)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:2000])
        with pytest.raises(ModelError, match="cannot be loaded"):
            TransformersDepth(str(tmp_path), device="cpu")

    def test_weights_that_are_missing_are_not_made_up(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        save_depth(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        del weights["head.conv3.weight"]
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match="lacks weights"):
            TransformersDepth(str(tmp_path), device="cpu")

    def test_a_processor_for_another_network(self, tmp_path: Path) -> None:
        save_blip2(tmp_path)
        path = tmp_path / "processor_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"num_query_tokens": 7}))
        with pytest.raises(ModelError, match="4 query tokens, got 7"):
            TransformersBlip2(str(tmp_path), device="cpu")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_gpu_that_is_not_there(self, depth: Path) -> None:
        with pytest.raises(ConfigError, match="no GPU"):
            TransformersDepth(str(depth), device="cuda")
