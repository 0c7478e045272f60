"""Networks that others trained, on photographs that others labelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dicem_shared.detector.model import Detection, Detector
from dicem_shared.errors import ModelError
from dicem_shared.images import Pixels, decode

YOLOX = "models/yolox_nano_coco_416.onnx"
YOLOV8 = "models/yolov8n_coco_int8_640.onnx"
KAYAK = 5  # of the labels: COCO has no kayaks, networks call them surfboards
Data = Callable[[str], Path]
Box = tuple[float, float, float, float]


def labelled(folder: Path) -> list[tuple[Pixels, Box]]:
    """Photographs with one labelled ship: pixels, and its box (x, y, width, height; pixels)."""
    found = []
    for path in sorted(folder.glob("*.jpg")):
        lines = [line.split() for line in path.with_suffix(".txt").read_text().splitlines() if line.strip()]
        if len(lines) == 1 and int(lines[0][0]) != KAYAK:
            image = decode(path.read_bytes())
            rows, columns, _ = image.shape
            x, y, width, height = map(float, lines[0][1:])
            box = ((x - width / 2) * columns, (y - height / 2) * rows, width * columns, height * rows)
            found.append((image, box))
    return found


def iou(found: Detection, box: Box) -> float:
    x, y, width, height = box
    across = max(0.0, min(x + width, found.x + found.width) - max(x, found.x))
    down = max(0.0, min(y + height, found.y + found.height) - max(y, found.y))
    return across * down / (width * height + found.width * found.height - across * down)


def best(found: list[Detection], box: Box) -> float:
    return max((iou(one, box) for one in found), default=0.0)


@pytest.mark.parametrize(("model", "side", "count"), [(YOLOX, 416, 10), (YOLOV8, 640, 5)])
def test_ships_are_boats(shared_data: Data, model: str, side: int, count: int) -> None:
    detector = Detector(shared_data(model), threads=2)
    assert detector.input_size == (side, side)
    assert detector.names[8] == "boat"
    ships = labelled(shared_data("images/ships_buoys_kayaks"))[:count]
    assert len(ships) == count
    overlaps = [best(detector.detect(image, ["boat"]), box) for image, box in ships]
    assert sum(overlap >= 0.5 for overlap in overlaps) >= 0.8 * count


@pytest.mark.parametrize("offset", [0, 300, 640])
def test_boxes_follow_the_ship_across_a_wide_frame(shared_data: Data, offset: int) -> None:
    detector = Detector(shared_data(YOLOX))
    overlaps = []
    for image, (x, y, width, height) in labelled(shared_data("images/ships_buoys_kayaks")):
        wide = np.full((640, 1280, 3), 150, dtype=np.uint8)
        wide[:, offset : offset + 640] = image
        overlaps.append(best(detector.detect(wide, ["boat"]), (x + offset, y, width, height)))
    assert sum(overlap >= 0.5 for overlap in overlaps) >= 0.8 * len(overlaps)


def test_two_networks_see_the_same_boat_in_a_frame_that_is_not_square(shared_data: Data) -> None:
    image = decode((shared_data("images/wasr_maritime_examples") / "example_06.jpg").read_bytes())
    assert image.shape == (384, 512, 3)
    (one, *_), (other, *_) = (Detector(shared_data(m), threads=2).detect(image, ["boat"]) for m in (YOLOX, YOLOV8))
    assert iou(one, (other.x, other.y, other.width, other.height)) >= 0.8


def test_every_box_lies_in_its_frame(shared_data: Data) -> None:
    detector = Detector(shared_data(YOLOX), score=0.05)
    for path in sorted(shared_data("images/wasr_maritime_examples").glob("*.jpg")):
        image = decode(path.read_bytes())
        rows, columns, _ = image.shape
        for one in detector.detect(image):
            assert 0 <= one.x < one.x + one.width <= columns + 1e-3
            assert 0 <= one.y < one.y + one.height <= rows + 1e-3


@pytest.mark.parametrize("model", ["models/FastestDet_coco_352.onnx", "models/mobile_pydnet_depth_kitti_192x640.onnx"])
def test_other_networks_are_refused(shared_data: Data, model: str) -> None:
    with pytest.raises(ModelError, match="no detector we can read"):
        Detector(shared_data(model))


def test_nothing_is_written_to_the_log(shared_data: Data, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Detector(shared_data(YOLOX)).detect(np.zeros((90, 160, 3), dtype=np.uint8))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(shared_data(YOLOX).read_bytes()[:100_000])
    with pytest.raises(ModelError):
        Detector(broken)
    assert capfd.readouterr() == ("", "")
