"""The functions themselves, in front of networks that are simple enough to know what they must say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build
from dicem_cloud.functions.blip2 import Blip2
from dicem_cloud.functions.checkpoints import find_checkpoint
from dicem_cloud.functions.hashes import files_hash
from dicem_cloud.gateway import Gateway
from dicem_shared import catalog, images
from dicem_shared.camera import Attitude
from dicem_shared.errors import ImageError, InvalidCall, ModelError
from dicem_shared.horizon import HORIZON_MODEL
from dicem_shared.ids import blob_id
from dicem_shared.implementations import Work
from dicem_shared.implementations.depth import Depth
from dicem_shared.implementations.yolov8 import Yolov8
from dicem_shared.patches import Patch
from dicem_shared.types import FrameInfo, Handle, ModelId, ShippedBlob

BLACK = np.zeros((30, 40, 3), dtype=np.uint8)
FRAME = FrameInfo(camera="bow", sequence=0, t_utc=0.0, blob="0" * 64, width=40, height=30)
NETWORK = ModelId(function="any", name="network", sha256="2" * 64)


def work(pixels: images.Pixels = BLACK, **params: Any) -> Work:
    return Work({"image": Patch(pixels, (0, 0, pixels.shape[1], pixels.shape[0]), FRAME)} | params)


@dataclass
class Thing:
    class_name: str
    score: float
    x: float
    y: float
    width: float
    height: float


class OneThing:
    """A detector that sees one thing, wherever it is told."""

    def __init__(self, *box: float) -> None:
        self.box = box
        self.asked: list[Any] = []

    def detect(self, image: images.Pixels, classes: Sequence[str] | None) -> list[Thing]:
        self.asked.append(classes)
        if classes is not None and "dragon" in classes:
            raise InvalidCall("the detector knows no 'dragon'", expected="can")
        return [Thing("can", 0.5, *self.box)]


class TestYolov8:
    @pytest.mark.parametrize(
        ("seen", "reported"),
        [
            ((1.2, 2.9, 3.5, 4.0), (1, 2, 4, 5)),  # every pixel that it touches
            ((-3.0, -2.0, 10.0, 10.0), (0, 0, 7, 8)),
            ((35.5, 25.5, 100.0, 100.0), (35, 25, 5, 5)),
            ((50.0, 2.0, 5.0, 5.0), None),
        ],
    )
    def test_boxes_are_whole_pixels_of_the_image(self, seen: Any, reported: Any) -> None:
        (result,) = Yolov8(OneThing(*seen), NETWORK).run([work()])
        assert not isinstance(result, Exception)
        boxes = [(o["x"], o["y"], o["width"], o["height"]) for o in catalog.yolov8.check_result(result)["objects"]]
        assert boxes == ([reported] if reported else [])

    def test_which_classes_are_asked_for(self) -> None:
        detector = OneThing(1, 1, 2, 2)
        Yolov8(detector, NETWORK, ("litter",)).run([work(), work(classes=None), work(classes=["can"])])
        Yolov8(detector, NETWORK).run([work()])
        assert detector.asked == [("litter",), ("litter",), ["can"], None]

    def test_an_unknown_class_fails_its_own_call_only(self) -> None:
        first, second = Yolov8(OneThing(1, 1, 2, 2), NETWORK).run([work(classes=["dragon"]), work()])
        assert isinstance(first, InvalidCall)
        assert not isinstance(second, Exception)


class Parrot:
    """Answers with the question; will not hear of storms."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def answer(self, images: Sequence[images.Pixels], questions: Sequence[str]) -> list[str]:
        self.batches.append(len(images))
        if "storm" in questions:
            raise InvalidCall("the question is too long for this network")
        return [f"{question}!" for question in questions]


class TestBlip2:
    def test_both_names_have_their_own_words(self) -> None:
        assert Blip2(Parrot(), NETWORK).run([work(query="a")]) == [{"output": "a!"}]
        assert Blip2(Parrot(), NETWORK, spec=catalog.blip).run([work(question="a")]) == [{"answer": "a!"}]

    def test_a_batch_is_one_pass(self) -> None:
        parrot = Parrot()
        Blip2(parrot, NETWORK).run([work(query="a"), work(query="b")])
        assert parrot.batches == [2]

    def test_a_bad_question_fails_alone(self) -> None:
        outcomes = Blip2(Parrot(), NETWORK).run([work(query="a"), work(query="storm"), work(query="b")])
        assert [isinstance(outcome, InvalidCall) for outcome in outcomes] == [False, True, False]

    def test_the_batch_size_is_configured(self) -> None:
        assert Blip2(Parrot(), NETWORK, max_batch=3).spec.batch.max_size == 3


class Ruler:
    """A depth network that remembers what it was shown; one metre a row, counted from the top."""

    def __init__(self) -> None:
        self.shown: list[list[tuple[int, ...]]] = []

    def depth_maps(self, images: Sequence[Any]) -> list[Any]:
        self.shown.append([image.shape[:2] for image in images])
        rows = [np.arange(1.0, len(image) + 1, dtype=np.float32)[:, None] for image in images]
        return [
            np.broadcast_to(row if image.any() else row * np.nan, image.shape[:2])
            for row, image in zip(rows, images, strict=True)
        ]


class TestDepth:
    def test_the_horizon_goes_first(self, ask: Callable[..., Any], store: Any, clock: Any) -> None:
        ruler = Ruler()
        gateway = Gateway({"depth": Depth(ruler, NETWORK)}, store, clock)
        reply = gateway.handle(ask("depth", box=(10, 30, 8, 6), attitude=Attitude()), vehicle="boat")
        assert (reply.model, ruler.shown) == (HORIZON_MODEL, [])

    def test_without_attitude_the_network_sees_the_whole_frame(
        self, ask: Callable[..., Any], store: Any, clock: Any
    ) -> None:
        ruler = Ruler()
        gateway = Gateway({"depth": Depth(ruler, NETWORK)}, store, clock)
        reply = gateway.handle(ask("depth", box=(10, 30, 8, 6)), vehicle="boat")
        assert (reply.result, reply.model) == ({"depth": 36.0}, NETWORK)
        assert ruler.shown == [[(48, 64)]]

    def test_of_a_crop_alone_it_sees_the_crop(self, ask: Callable[..., Any], store: Any, clock: Any) -> None:
        ruler = Ruler()
        gateway = Gateway({"depth": Depth(ruler, NETWORK)}, store, clock)
        request = ask("depth", box=(10, 30, 8, 6), ship=False)
        crop = images.encode(np.full((6, 8, 3), 9, dtype=np.uint8), format="png")
        source = Handle(blob=request.frame.blob, box=(10, 30, 8, 6))
        shipped = ShippedBlob(blob=blob_id(crop), source=source, data=crop)
        reply = gateway.handle(request.model_copy(update={"blobs": (shipped,)}), vehicle="boat")
        assert reply.result == {"depth": 6.0}
        assert ruler.shown == [[(6, 8)]]

    def test_patches_of_one_frame_share_its_map_and_frames_a_pass(self) -> None:
        ruler = Ruler()
        frames = [np.full((48, 64, 3), seed, dtype=np.uint8) for seed in (1, 2, 0)]

        def asked(which: int, box: Any) -> Work:
            info = FrameInfo(camera="bow", sequence=1, t_utc=0.0, blob=f"{which}" * 64, width=64, height=48)
            whole = Patch(frames[which], (0, 0, 64, 48), info)
            x, y, width, height = box
            return Work({"image": Patch(frames[which][y : y + height, x : x + width], box, info)}, lambda: whole)

        def lost() -> Patch | None:
            raise ImageError("damaged")

        batch = [asked(0, (1, 2, 8, 8)), asked(1, (0, 0, 8, 5)), asked(0, (9, 9, 8, 11)), asked(2, (0, 0, 4, 4))]
        outcomes = Depth(ruler, NETWORK, max_batch=8).run([*batch, Work(batch[0].params, lost)])
        assert outcomes[:3] == [{"depth": 10.0}, {"depth": 5.0}, {"depth": 20.0}]
        assert [type(each) for each in outcomes[3:]] == [ModelError, ImageError]
        assert ruler.shown == [[(48, 64)] * 3]

    def test_a_network_that_sees_nothing_fails(self) -> None:
        (outcome,) = Depth(Ruler(), NETWORK).run([work()])
        assert isinstance(outcome, ModelError)


class TestBuild:
    def build(self, **functions: Any) -> Any:
        return build(CloudConfig.model_validate({"functions": functions}))

    def test_the_horizon_needs_no_model(self) -> None:
        built = self.build(depth={})
        assert {name: one.model for name, one in built.items()} == {"depth": HORIZON_MODEL}

    @pytest.mark.parametrize("name", ["blip2", "depth"])
    @pytest.mark.parametrize("backend", ["onnx", "transformers"])
    def test_a_folder_that_is_missing_or_empty(self, name: str, backend: str, tmp_path: Path) -> None:
        if backend == "transformers":
            pytest.importorskip("torch", reason="needs the extra [transformers]")
        for folder, reason in ((tmp_path / "no", "does not exist"), (tmp_path, "holds no")):
            with pytest.raises(ModelError, match=reason):
                self.build(**{name: {"model": str(folder), "backend": backend}})


class TestCheckpoints:
    def test_pickles_are_never_loaded(self, tmp_path: Path) -> None:
        (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
        with pytest.raises(ModelError, match=r"expected \*\.safetensors, got pytorch_model\.bin"):
            find_checkpoint(str(tmp_path), ["blip-2"])

    @pytest.mark.parametrize("config", [None, "{", "[" * 9000, "[]", '{"model_type": "llama"}'])
    def test_the_architecture_is_read_before_anything_is_built(self, config: str | None, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"")
        if config is not None:
            (tmp_path / "config.json").write_text(config)
        with pytest.raises(ModelError, match=r"missing or no JSON|expected blip-2"):
            find_checkpoint(str(tmp_path), ["blip-2"])

    def test_the_hash_is_of_names_and_contents(self, tmp_path: Path) -> None:
        (tmp_path / "a.onnx").write_bytes(b"1")
        (tmp_path / "card.md").write_text("words")
        first = files_hash(tmp_path, "*.onnx")
        (tmp_path / "card.md").write_text("other words")
        assert files_hash(tmp_path, "*.onnx") == first
        (tmp_path / "a.onnx").rename(tmp_path / "b.onnx")
        second = files_hash(tmp_path, "*.onnx")
        (tmp_path / "b.onnx").write_bytes(b"2")
        assert len({first, second, files_hash(tmp_path, "*.onnx")}) == 3
