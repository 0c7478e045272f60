"""The whole detector on networks of one constant: what was planted must come back at its place in the frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicem_shared.detector.model import Detection, Detector
from dicem_shared.errors import ConfigError, ImageError, InvalidCall, ModelError
from dicem_shared.images import Pixels

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no networks can be made for these tests")

NAMES = ("boat", "buoy", "plastic bottle", "metal can")
CELLS = 40 * 40 + 20 * 20 + 10 * 10
Save = Callable[..., Path]


def cells(width: int, height: int) -> int:
    return sum((width // s) * (height // s) for s in (8, 16, 32))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a network whose output is `output + lit * (largest value of the first input channel)`."""
    helper, floats, halves = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16

    def write(
        output: np.ndarray[Any, Any],
        lit: np.ndarray[Any, Any] | None = None,
        *,
        shape: tuple[int | str, ...] = (1, 3, 320, 320),
        metadata: dict[str, str] | None = None,
        half: bool = False,
        heads: int = 1,
    ) -> Path:
        flat = [1] * output.ndim
        constants = {
            "plain": output.astype(np.float32),
            "lit": (np.zeros_like(output) if lit is None else lit).astype(np.float32),
            "flat": np.array(flat, dtype=np.int64),
            "zero": np.array([0], dtype=np.int64),
            "one": np.array([1], dtype=np.int64),
        }
        nodes = [
            helper.make_node("Cast", ["images"], ["seen"], to=floats),
            helper.make_node("ReduceMax", ["seen"], ["brightest"], axes=[2, 3], keepdims=0),
            helper.make_node("Slice", ["brightest", "zero", "one", "one"], ["first"]),
            helper.make_node("Reshape", ["first", "flat"], ["level"]),
            helper.make_node("Mul", ["lit", "level"], ["added"]),
            *(helper.make_node("Add", ["plain", "added"], [f"output{n}"]) for n in range(heads)),
        ]
        graph = helper.make_graph(
            nodes,
            "constant",
            [helper.make_tensor_value_info("images", halves if half else floats, shape)],
            [helper.make_tensor_value_info(f"output{n}", floats, output.shape) for n in range(heads)],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        path = tmp_path / "model.onnx"
        onnx.save_model(model, path)
        return path

    return write


def ultralytics(names: tuple[str, ...] = NAMES, **more: str) -> dict[str, str]:
    """The metadata of an ultralytics export."""
    return {"names": str(dict(enumerate(names))), "stride": "32", "imgsz": "[320, 320]", "task": "detect", **more}


def frame(width: int = 640, height: int = 480) -> Pixels:
    return np.zeros((height, width, 3), dtype=np.uint8)


def anchor_free(*objects: tuple[float, float, float, float, int, float]) -> np.ndarray[Any, Any]:
    """(1, 8, CELLS) with objects of centre x, y, width, height (canvas pixels), class and score."""
    output = np.zeros((1, 4 + len(NAMES), CELLS))
    for cell, (x, y, width, height, number, score) in enumerate(objects):
        output[0, :4, cell * 11] = (x, y, width, height)
        output[0, 4 + number, cell * 11] = score
    return output


def test_a_box_comes_back_where_it_was_planted(save: Save) -> None:
    # 640x480 is halved to 320x240 and lies 40 px down: frame (100, 60, 200, 120) has its centre at (100, 100).
    detector = Detector(save(anchor_free((100, 100, 100, 60, 2, 0.75)), metadata=ultralytics()))
    assert detector.names == NAMES
    assert detector.input_size == (320, 320)
    assert detector.detect(frame()) == [Detection("plastic bottle", 0.75, 100, 60, 200, 120)]


@pytest.mark.parametrize(("width", "height"), [(320, 320), (641, 479), (480, 640), (1920, 1080), (100, 40)])
def test_boxes_are_frame_pixels_whatever_the_frame(save: Save, width: int, height: int) -> None:
    ratio = min(320 / width, 320 / height)
    across, down = round(width * ratio), round(height * ratio)
    left, top = (320 - across) // 2, (320 - down) // 2
    planted = (left + across / 2, top + down / 2, across / 4, down / 2, 0, 0.5)
    (found,) = Detector(save(anchor_free(planted), metadata=ultralytics())).detect(frame(width, height))
    box = (found.x, found.y, found.width, found.height)
    assert box == pytest.approx((width * 3 / 8, height / 4, width / 4, height / 2), rel=1e-5)


def test_boxes_are_clipped_and_those_outside_are_dropped(save: Save) -> None:
    output = anchor_free((0, 40, 20, 20, 0, 0.75), (160, 10, 40, 20, 1, 0.5))
    assert Detector(save(output, metadata=ultralytics())).detect(frame()) == [Detection("boat", 0.75, 0, 0, 20, 20)]


def test_duplicates_are_dropped_by_class_or_all(save: Save) -> None:
    path = save(
        anchor_free((100, 100, 40, 40, 0, 0.5), (101, 100, 40, 40, 0, 0.75), (102, 100, 40, 40, 1, 0.625)),
        metadata=ultralytics(),
    )
    assert [(d.class_name, d.score) for d in Detector(path).detect(frame())] == [("boat", 0.75), ("buoy", 0.625)]
    assert [d.class_name for d in Detector(path, agnostic=True).detect(frame())] == ["boat"]
    assert len(Detector(path, iou=1.0).detect(frame())) == 3
    assert [d.score for d in Detector(path, score=0.7).detect(frame())] == [0.75]


def test_end_to_end_is_not_suppressed(save: Save) -> None:
    output = np.zeros((1, 300, 6))
    output[0, :3] = [(10, 50, 30, 90, 0.5, 1), (10, 50, 30, 90, 0.75, 1), (0, 40, 320, 280, 0.9, 77)]
    found = Detector(save(output, metadata=ultralytics(end2end="True"))).detect(frame())
    assert found == [Detection("buoy", 0.75, 20, 20, 40, 80), Detection("buoy", 0.5, 20, 20, 40, 80)]


def test_a_free_input_wastes_no_padding(save: Save) -> None:
    # 320x240 is padded to 320x256 and lies 8 px down.
    output = np.zeros((1, 300, 6))
    output[0, 0] = (10, 18, 30, 58, 0.5, 1)
    detector = Detector(save(output, shape=(1, 3, "height", "width"), metadata=ultralytics(end2end="True")))
    assert detector.detect(frame()) == [Detection("buoy", 0.5, 20, 20, 40, 80)]


def test_yolox(save: Save) -> None:
    output = np.zeros((1, cells(416, 416), 85))
    output[0, 52 * 20 + 10] = [0.5, 0.0, np.log(10), np.log(5), 1.0, *(0.75 if n == 8 else 0 for n in range(80))]
    detector = Detector(save(output, shape=(1, 3, 416, 416)))
    assert detector.input_size == (416, 416)
    (found,) = detector.detect(frame(832, 624))
    # Cell (10, 20) of stride 8: centre (84, 160), 80 x 40, in a frame that was halved and not moved.
    assert (found.class_name, found.score) == ("boat", 0.75)
    assert (found.x, found.y, found.width, found.height) == pytest.approx((88, 280, 160, 80), rel=1e-5)


def test_yolox_with_one_class_of_its_own(save: Save) -> None:
    output = np.zeros((1, CELLS, 6))
    output[0, 0] = (2, 2, 0, 0, 0.5, 1)
    assert Detector(save(output), names=["litter"]).detect(frame(320, 320)) == [Detection("litter", 0.5, 12, 12, 8, 8)]


@pytest.mark.parametrize(("colour", "family"), [((255, 0, 0), "ultralytics"), ((0, 0, 255), "yolox")])
def test_each_family_gets_its_order_of_colours_and_its_scale(
    save: Save, colour: tuple[int, int, int], family: str
) -> None:
    """The score is the brightest value of the first channel: 1 of red for ultralytics, 255 of blue for YOLOX."""
    image = frame(320, 320)
    image[:] = colour
    if family == "ultralytics":
        output, lit = anchor_free((100, 100, 40, 40, 0, 0)), anchor_free((0, 0, 0, 0, 0, 1.0))
        detector = Detector(save(output, lit, metadata=ultralytics()))
    else:
        output, lit = np.zeros((2, 1, CELLS, 6))
        output[0, 0, 5], lit[0, 0, 4] = 1, 1 / 255
        detector = Detector(save(output, lit), names=["boat"])
    assert [d.score for d in detector.detect(image)] == [pytest.approx(1)]
    assert detector.detect(np.ascontiguousarray(image[:, :, ::-1])) == []


def test_half_precision(save: Save) -> None:
    detector = Detector(save(anchor_free((100, 100, 100, 60, 2, 0.75)), metadata=ultralytics(), half=True))
    assert detector.detect(frame()) == [Detection("plastic bottle", 0.75, 100, 60, 200, 120)]


OBJECTS = anchor_free(
    (50, 60, 20, 20, 0, 0.9), (100, 60, 20, 20, 1, 0.8), (150, 60, 20, 20, 2, 0.7), (200, 60, 20, 20, 3, 0.6)
)


def test_classes_and_groups_select(save: Save) -> None:
    litter = {"litter": ("plastic bottle", "metal can"), "buoy": ("boat", "buoy")}
    detector = Detector(save(OBJECTS, metadata=ultralytics()), groups=litter)

    def names(*classes: str) -> list[str]:
        return [d.class_name for d in detector.detect(frame(), classes)]

    assert [d.class_name for d in detector.detect(frame())] == list(NAMES)
    assert names("boat") == ["boat"]
    assert names("litter") == ["plastic bottle", "metal can"]
    assert names("metal can", "litter", "boat") == ["boat", "plastic bottle", "metal can"]
    assert names("buoy") == ["boat", "buoy"]
    assert names() == []
    assert [d.class_name for d in detector.detect(frame(), "boat")] == ["boat"]


def test_selecting_never_changes_what_is_found(save: Save) -> None:
    stacked = anchor_free((100, 100, 40, 40, 0, 0.9), (101, 100, 40, 40, 1, 0.8))
    detector = Detector(save(stacked, metadata=ultralytics()), agnostic=True)
    assert detector.detect(frame(), ["buoy"]) == []


def test_an_unknown_class_is_an_invalid_call_with_the_nearest_name(save: Save) -> None:
    detector = Detector(save(OBJECTS, metadata=ultralytics()), groups={"litter": ("metal can",)})
    with pytest.raises(InvalidCall, match=r"knows no 'plastic botle' \(expected plastic bottle\)"):
        detector.detect(frame(), ["plastic botle"])
    with pytest.raises(InvalidCall, match="expected boat, buoy, litter, metal can, plastic bottle"):
        detector.detect(frame(), ["zzz"])


def test_a_group_of_unknown_classes_is_a_config_error(save: Save) -> None:
    with pytest.raises(ConfigError, match=r"'litter' names a class .*expected metal can, got 'metal cans'"):
        Detector(save(OBJECTS, metadata=ultralytics()), groups={"litter": ("boat", "metal cans")})


@pytest.mark.parametrize(
    "wrong", [{"score": 1.5}, {"iou": -0.1}, {"threads": 0}, {"providers": ["NoSuchExecutionProvider"]}]
)
def test_settings_out_of_bounds_are_config_errors(save: Save, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Detector(save(OBJECTS, metadata=ultralytics()), **wrong)


def test_only_images_are_looked_at(save: Save) -> None:
    detector = Detector(save(OBJECTS, metadata=ultralytics()))
    with pytest.raises(ImageError):
        detector.detect(np.zeros((480, 640), np.uint8))


def test_the_hash_is_the_files(save: Save) -> None:
    import hashlib

    path = save(OBJECTS, metadata=ultralytics())
    assert Detector(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_names_may_be_a_list_or_given(save: Save) -> None:
    assert Detector(save(OBJECTS, metadata=ultralytics() | {"names": str(list(NAMES))})).names == NAMES
    assert Detector(save(OBJECTS), names=list("abcd")).names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"names": "{0: 'boat'"}, "makes no sense"),
        ({"names": "{0: 'boat', 2: 'buoy'}"}, "not numbered from 0"),
        ({"names": "__import__('os').system('true')"}, "makes no sense"),
        ({"names": "{0: 1}"}, "makes no sense"),
        ({"names": "[" * 5000}, "makes no sense"),
        ({"imgsz": "None"}, "makes no sense"),
        ({"imgsz": "[100000, 100000]"}, "odd size"),
        ({"stride": "0"}, "stride 0"),
        ({"names": "{0: 'boat'}"}, "expected 4 class names, .* got 1"),
        ({"task": "classify"}, "got the task classify"),
    ],
)
def test_metadata_that_makes_no_sense(save: Save, broken: dict[str, str], message: str) -> None:
    refused(save(OBJECTS, metadata=ultralytics() | broken), message)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"output": np.zeros((1, 1000))}, r"no detector .*got an output \(1, 1000\)"),
        ({"output": np.zeros((1, 85, 22, 22))}, "no detector"),
        ({"output": np.zeros((1, 300, 6))}, "does not say what its classes are called"),
        ({"output": np.zeros((1, 9, CELLS))}, "5 classes without names"),
        ({"output": OBJECTS, "heads": 3}, "got 3: output0, output1, output2"),
        ({"output": OBJECTS, "shape": (1, 320, 320, 3)}, "does not take one image"),
        ({"output": OBJECTS, "shape": (8, 3, 320, 320)}, "does not take one image"),
        ({"output": OBJECTS, "shape": (1, 3, 100_000, 100_000)}, "odd size"),
    ],
)
def test_networks_that_are_no_detectors(save: Save, network: dict[str, Any], message: str) -> None:
    refused(save(**network), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a network", "no ONNX network"),
        (b"PK\x03\x04 a torch archive", "never loaded"),
        (b"\x80\x02 a pickle", "never loaded"),
        (bytes(4096), "no ONNX network"),
    ],
)
def test_files_that_are_no_onnx(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refused(path, message)


def test_no_file_or_a_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "cannot be read")
    refused(tmp_path, "cannot be read")


def test_a_truncated_or_damaged_file(save: Save) -> None:
    path = save(OBJECTS, metadata=ultralytics())
    whole = path.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-1], whole[1:]):
        path.write_bytes(part)
        refused(path, "model.onnx")


def test_weights_in_another_file_are_refused(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(OBJECTS, metadata=ultralytics())
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)  # where onnxruntime would find them
    refused(path, "weights in another file")
    # The wall behind the check: not even the session finds them.
    monkeypatch.setattr("dicem_shared.detector.onnx_file._EXTERNAL", b"never in a file of ours")
    refused(path, "no ONNX network")


def refused(path: Path, message: str) -> None:
    """One line, ModelError, and it says `message`."""
    with pytest.raises(ModelError, match=message) as caught:
        Detector(path)
    assert "\n" not in str(caught.value)
