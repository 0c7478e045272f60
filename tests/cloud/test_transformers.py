"""The transformers backend on tiny random checkpoints of the true architectures: the classes that load the full-size
ones, without their weight."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build, build_one
from dicem_cloud.functions.torch_device import Devices
from dicem_cloud.functions.transformers_blip2 import TransformersBlip2
from dicem_cloud.functions.transformers_depth import TransformersDepth
from dicem_cloud.functions_config import DeviceConfig, NetworkConfig
from dicem_shared.errors import ConfigError, InvalidCall, ModelError, OutOfDeviceMemory

torch = pytest.importorskip("torch", reason="needs the extra [transformers]")
transformers = pytest.importorskip("transformers", reason="needs the extra [transformers]")

from .checkpoints import QUERY_TOKENS, noise, save_blip2, save_depth  # noqa: E402


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


def built(**functions: Any) -> Any:
    return build(CloudConfig.model_validate({"functions": functions}))


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
        first, second = network.answer([noise(9, 9)] * 2, ["what " * 60, "what?"])
        assert isinstance(first, InvalidCall)
        assert "too long" in str(first)
        assert isinstance(second, str)

    def test_questions_of_one_length_share_a_pass(self, blip2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        network = TransformersBlip2(str(blip2), device="cpu", max_new_tokens=2)
        batches: list[int] = []
        held = network.held
        monkeypatch.setattr(network, "held", lambda items: batches.append(items) or held(items))  # type: ignore[func-returns-value]
        network.answer([noise(9, 9)] * 4, ["what is it", "is it plastic", "what", "is it metal"])
        assert batches == [3, 1]

    def test_built_from_a_config(self, blip2: Path) -> None:
        settings = {"model": str(blip2), "backend": "transformers", "max_batch": 2, "device": "cpu"}
        built = build(CloudConfig.model_validate({"functions": {"blip2": settings}}))
        assert sorted(built) == ["blip", "blip2"]
        assert (built["blip"].model.function, built["blip"].model.name) == ("blip", blip2.name)
        assert built["blip"].model.sha256 == built["blip2"].model.sha256


class TestDepth:
    def test_a_map_does_not_depend_on_company(self, depth: Path) -> None:
        network = TransformersDepth(str(depth), device="cpu")
        pictures = [noise(40, 60), noise(40, 60, 1), noise(30, 90, 2)]
        found = network.depth_maps(pictures)
        for picture, metres in zip(pictures, found, strict=True):
            assert not isinstance(metres, Exception)
            assert metres.shape == picture.shape[:2]
            np.testing.assert_allclose(metres, network.depth_map(picture), rtol=1e-4)

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


class TestWeights:
    """They are read late, once, and are where they are needed."""

    def test_they_are_read_with_the_first_call(self, depth: Path) -> None:
        devices = Devices()
        network = TransformersDepth(str(depth), settings=NetworkConfig(device="cpu"), devices=devices)
        (cpu,) = devices.made
        assert (cpu.resident, cpu.moves) == ((), 0)
        network.depth_map(noise(9, 9))
        network.depth_map(noise(9, 9))
        assert (cpu.resident, cpu.moves) == (("depth",), 1)

    def test_or_at_the_start(self, depth: Path, blip2: Path) -> None:
        settings = {"backend": "transformers", "device": "cpu", "preload": True}
        functions = {"depth": {"model": str(depth), **settings}, "blip2": {"model": str(blip2), **settings}}
        assert set(built(**functions)) == {"depth", "blip2", "blip"}

    def test_functions_share_a_device_and_its_memory(self, depth: Path, blip2: Path) -> None:
        """On a CPU what leaves is read again; the answers stay what they were."""
        room = {"cpu": DeviceConfig(memory_gb=160e-6)}
        devices = Devices(room)
        settings = NetworkConfig(device="cpu")
        first = TransformersDepth(str(depth), settings=settings, devices=devices)
        second = TransformersBlip2(str(blip2), settings=settings, devices=devices, max_new_tokens=2)
        alone = first.depth_map(noise(30, 30))
        answer = second.answer([noise(30, 30)], ["what?"])
        (cpu,) = devices.made
        assert cpu.resident == ("blip2",)
        np.testing.assert_array_equal(first.depth_map(noise(30, 30)), alone)
        assert cpu.resident == ("depth",)
        assert second.answer([noise(30, 30)], ["what?"]) == answer
        assert cpu.moves == 4

    def test_a_network_that_is_too_large_for_its_device(self, depth: Path) -> None:
        devices = Devices({"cpu": DeviceConfig(memory_gb=1e-6)})
        network = TransformersDepth(str(depth), settings=NetworkConfig(device="cpu"), devices=devices)
        with pytest.raises(OutOfDeviceMemory, match="does not fit on cpu"):
            network.depth_map(noise(9, 9))

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
    def test_in_other_numbers(self, dtype: str, depth: Path, blip2: Path) -> None:
        settings = NetworkConfig.model_validate({"device": "cpu", "dtype": dtype})
        exact = TransformersDepth(str(depth), device="cpu").depth_map(noise(40, 60))
        metres = TransformersDepth(str(depth), settings=settings).depth_map(noise(40, 60))
        np.testing.assert_allclose(metres, exact, rtol=0.05)
        network = TransformersBlip2(str(blip2), settings=settings, max_new_tokens=2)
        assert isinstance(network.answer([noise(9, 9)], ["what?"])[0], str)

    def test_several_threads_at_once(self, blip2: Path) -> None:
        network = TransformersBlip2(str(blip2), device="cpu", max_new_tokens=3)
        asked = [(noise(20, 30, n), "what is it" if n % 2 else "is it plastic or metal") for n in range(24)]
        alone = [network.answer([image], [question]) for image, question in asked]
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(lambda one: network.answer([one[0]], [one[1]]), asked)) == alone


class TestBuildOne:
    def test_a_function_and_its_alias(self, blip2: Path, depth: Path) -> None:
        config = CloudConfig.model_validate(
            {
                "functions": {
                    "blip2": {"model": str(blip2), "backend": "transformers", "device": "cpu"},
                    "depth": {"model": str(depth), "backend": "transformers", "device": "cpu"},
                }
            }
        )
        config = pickle.loads(pickle.dumps(config))  # as it goes to another process
        assert sorted(build_one(config, "blip2")) == sorted(build_one(config, "blip")) == ["blip", "blip2"]
        assert sorted(build_one(config, "depth")) == ["depth"]
        assert all(one.reentrant for one in build(config).values())

    def test_one_that_is_not_configured(self) -> None:
        config = CloudConfig.model_validate({"functions": {"depth": {}}})
        for name in ("glip", "nonsense"):
            with pytest.raises(ConfigError, match="not configured"):
                build_one(config, name)


class TestBadCheckpoints:
    def test_another_architecture(self, depth: Path) -> None:
        with pytest.raises(ModelError, match="expected blip-2, got 'depth_anything'"):
            TransformersBlip2(str(depth), device="cpu")

    def test_weights_that_are_cut_off(self, tmp_path: Path) -> None:
        save_depth(tmp_path)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        with pytest.raises(ModelError, match=r"model\.safetensors is cut off"):
            TransformersDepth(str(tmp_path), device="cpu")

    def test_weights_that_are_missing_are_not_made_up(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        save_depth(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        del weights["head.conv3.weight"]
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        network = TransformersDepth(str(tmp_path), device="cpu")
        for _ in range(2):  # the second time it is known
            with pytest.raises(ModelError, match="lacks weights"):
                network.preload()
        with pytest.raises(ModelError, match="lacks weights"):
            built(depth={"backend": "transformers", "model": str(tmp_path), "preload": True})

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

    def test_a_shard_that_is_missing(self, tmp_path: Path) -> None:
        save_depth(tmp_path)
        (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
        shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
        with pytest.raises(ModelError, match=r"lacks 1 of its 2 files .*expected model-00002-of-00002\.safetensors"):
            TransformersDepth(str(tmp_path), device="cpu")

    @pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {"a": "../other/model.safetensors"}}', "{"])
    def test_an_index_that_names_nothing_of_its_own(self, index: str, tmp_path: Path) -> None:
        save_depth(tmp_path)
        (tmp_path / "model.safetensors").unlink()
        (tmp_path / "model.safetensors.index.json").write_text(index)
        with pytest.raises(ModelError, match=r"names no files beside it|is missing or no JSON object"):
            TransformersDepth(str(tmp_path), device="cpu")

    @pytest.mark.parametrize(
        "content", [b"", b"\x80\x04.", b"\xff" * 64, b"\x02" + bytes(7) + b"[]", b"PK\x03\x04" * 9]
    )
    def test_weights_that_are_something_else(self, content: bytes, tmp_path: Path) -> None:
        save_depth(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="no safetensors file"):
            TransformersDepth(str(tmp_path), device="cpu")

    @pytest.mark.parametrize("missing", ["tokenizer.json", "processor_config.json"])
    def test_a_file_of_the_processor_is_missing(self, missing: str, tmp_path: Path) -> None:
        save_blip2(tmp_path)
        (tmp_path / missing).unlink()
        with pytest.raises(ModelError, match=r"cannot be loaded|does not fit"):
            TransformersBlip2(str(tmp_path), device="cpu")

    def test_code_that_came_with_a_checkpoint_is_not_run(self, tmp_path: Path) -> None:
        save_depth(tmp_path)
        (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
        for name in ("config.json", "preprocessor_config.json"):
            path = tmp_path / name
            if path.exists():
                known = {"AutoConfig": "evil.Evil", "AutoImageProcessor": "evil.Evil", "AutoProcessor": "evil.Evil"}
                path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": known}))
        with suppress(ModelError):  # some versions refuse it, others take their own class; neither runs it
            TransformersDepth(str(tmp_path), device="cpu").preload()
