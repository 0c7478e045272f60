"""From a network's numbers to boxes, and which layout they are in."""

from __future__ import annotations

import numpy as np
import pytest

from dicem_shared.detector.decoders import Layout, recognise
from dicem_shared.errors import ModelError

CANVAS = (320, 320)
CELLS = 40 * 40 + 20 * 20 + 10 * 10


@pytest.mark.parametrize(
    ("shape", "classes", "ultralytics", "end_to_end", "kind", "found"),
    [
        ((1, 84, CELLS), None, False, False, "anchor-free", 80),
        ((1, 13, CELLS), 9, True, False, "anchor-free", 9),
        ((1, 13, 25), 9, True, False, "anchor-free", 9),  # other strides, known by its metadata
        ((1, 6, CELLS), 2, True, False, "anchor-free", 2),
        ((1, CELLS, 85), None, False, False, "yolox", 80),
        ((1, CELLS, 6), 1, False, False, "yolox", 1),
        ((1, 300, 6), 9, True, True, "end-to-end", None),
        ((1, 300, 6), 9, True, False, "end-to-end", None),  # exported with suppression inside
        ((1, 300, 6), None, False, False, "end-to-end", None),
        ((1, CELLS, 6), 9, True, True, "end-to-end", None),
    ],
)
def test_layouts_are_told_apart(
    shape: tuple[int, ...], classes: int | None, ultralytics: bool, end_to_end: bool, kind: str, found: int | None
) -> None:
    layout = recognise(shape, CANVAS, classes=classes, ultralytics=ultralytics, end_to_end=end_to_end)
    assert (layout.kind, layout.classes) == (kind, found)


@pytest.mark.parametrize(
    "shape", [(1, 1000), (1, 85, 22, 22), (1, 4, CELLS), (1, 1, 1), (2, 84, CELLS), (1, 25200, 85), (), (1, 84, 7)]
)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="no detector we can read"):
        recognise(shape, CANVAS, classes=None, ultralytics=False, end_to_end=False)


def test_names_must_be_as_many_as_the_outputs() -> None:
    with pytest.raises(ModelError, match=r"expected 80 class names.*got 9"):
        recognise((1, 84, CELLS), CANVAS, classes=9, ultralytics=False, end_to_end=False)


def test_anchor_free() -> None:
    output = np.zeros((1, 7, CELLS), dtype=np.float32)
    output[0, :, 1234] = (100, 80, 40, 20, 0.1, 0.8, 0.3)
    output[0, :, 5] = (10, 10, 4, 4, 0.2499, 0.0, 0.0)
    found = Layout("anchor-free", 3).decode(output, CANVAS, 0.25)
    assert found.boxes.tolist() == [[80, 70, 120, 90]]
    assert found.classes.tolist() == [1]
    assert found.scores.tolist() == [np.float32(0.8)]


def test_end_to_end() -> None:
    output = np.zeros((1, 4, 6), dtype=np.float32)
    output[0, 2] = (10, 20, 30, 60, 0.75, 4)
    found = Layout("end-to-end", None).decode(output, CANVAS, 0.25)
    assert found.boxes.tolist() == [[10, 20, 30, 60]]
    assert (found.scores.tolist(), found.classes.tolist()) == ([0.75], [4])


@pytest.mark.parametrize(
    ("cell", "column", "row", "stride"),
    [(0, 0, 0, 8), (40 * 7 + 3, 3, 7, 8), (1600 + 20 * 5 + 19, 19, 5, 16), (CELLS - 1, 9, 9, 32)],
)
def test_yolox_boxes_hang_on_their_cell(cell: int, column: int, row: int, stride: int) -> None:
    output = np.zeros((1, CELLS, 7), dtype=np.float32)
    output[0, cell] = (0.5, 0.25, np.log(2), 0, 0.9, 0.1, 0.5)
    (box,) = Layout("yolox", 2).decode(output, CANVAS, 0.4).boxes
    x, y = (column + 0.5) * stride, (row + 0.25) * stride
    assert np.allclose(box, [x - stride, y - stride / 2, x + stride, y + stride / 2])


def test_yolox_scores_are_products() -> None:
    output = np.zeros((1, CELLS, 7), dtype=np.float32)
    output[0, 0, 4:] = (0.5, 0.4, 0.8)
    found = Layout("yolox", 2).decode(output, CANVAS, 0.4)
    assert found.scores.tolist() == [np.float32(0.5) * np.float32(0.8)]
    assert not len(Layout("yolox", 2).decode(output, CANVAS, 0.41).scores)


def test_a_canvas_that_is_not_square() -> None:
    cells = 40 * 32 + 20 * 16 + 10 * 8
    output = np.zeros((1, cells, 6), dtype=np.float32)
    output[0, 40 * 32 + 20] = (0, 0, 0, 0, 1, 1)  # second row of stride 16
    found = Layout("yolox", 1).decode(output, (320, 256), 0.5)
    assert found.boxes.tolist() == [[-8, 8, 8, 24]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["anchor-free", "yolox", "end-to-end"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
def test_what_is_not_finite_is_dropped(kind: str, bad: float) -> None:
    if kind == "anchor-free":
        layout, output = Layout("anchor-free", 1), np.zeros((1, 5, CELLS), dtype=np.float32)
        output[0, :, 0] = (bad, 1, bad, 1, 0.9)
        output[0, :, 1] = (9, 9, 2, 2, np.nan)
    elif kind == "yolox":
        layout, output = Layout("yolox", 1), np.zeros((1, CELLS, 6), dtype=np.float32)
        output[0, 0] = (bad, 0, 99 if bad == 1e38 else bad, 0, 0.9, 0.9)
        output[0, 1] = (0, 0, 0, 0, np.nan, 0.9)
    else:
        layout, output = Layout("end-to-end", None), np.zeros((1, 9, 6), dtype=np.float32)
        output[0, 0] = (bad if bad != 1e38 else np.nan, 0, 1, 1, 0.9, 0)
        output[0, 1] = (0, 0, 1, 1, 0.9, np.nan)
    found = layout.decode(output, CANVAS, 0.25)
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
