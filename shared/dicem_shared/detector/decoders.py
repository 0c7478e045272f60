"""What a network's numbers mean: three layouts of output, each decoded to candidates.

* anchor-free (YOLOv8, YOLO11 as ultralytics exports them): (1, 4 + classes, N), centre and size in canvas pixels;
* end to end (YOLOv10, YOLO26, exports with NMS inside): (1, N, 6), corners, score, class: nothing left to suppress;
* YOLOX: (1, N, 5 + classes), centre and size relative to a grid, objectness, classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from dicem_shared.errors import ModelError

from . import letterbox

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Kind = Literal["anchor-free", "end-to-end", "yolox"]

_STRIDES = (8, 16, 32)
_LAYOUTS = "one output (1, 4 + classes, N), (1, N, 6) or YOLOX's (1, N, 5 + classes)"


@dataclass(frozen=True)
class Candidates:
    """Boxes (n, 4: left, top, right, bottom; canvas pixels), scores (n,) and class numbers (n,)."""

    boxes: Floats
    scores: Floats
    classes: Indices

    def take(self, which: Indices) -> Candidates:
        """Those that `which` selects."""
        return Candidates(self.boxes[which], self.scores[which], self.classes[which])


@dataclass(frozen=True)
class Layout:
    """How to read one network's output."""

    kind: Kind
    classes: int | None
    """how many; None where the output does not tell (end to end)"""

    @property
    def style(self) -> letterbox.Style:
        """What the network's input must look like."""
        return letterbox.YOLOX if self.kind == "yolox" else letterbox.ULTRALYTICS

    @property
    def suppressed(self) -> bool:
        """True where the network has already dropped its duplicates."""
        return self.kind == "end-to-end"

    def decode(self, output: Floats, canvas: tuple[int, int], score: float) -> Candidates:
        """Candidates of at least `score`, unsorted, from `output` (1, ., .) for a `canvas` (width, height).

        Boxes that are not finite are dropped.
        """
        rows = output[0]
        with np.errstate(over="ignore", invalid="ignore"):
            if self.kind == "anchor-free":
                found = _decode_anchor_free(rows, score)
            elif self.kind == "end-to-end":
                found = _decode_end_to_end(rows, score)
            else:
                found = _decode_yolox(rows, canvas, score)
        return found.take(np.flatnonzero(np.isfinite(found.boxes).all(axis=1)))


def recognise(
    shape: tuple[int, ...], canvas: tuple[int, int], *, classes: int | None, ultralytics: bool, end_to_end: bool
) -> Layout:
    """The layout of an output of this `shape`, seen once for a `canvas` (width, height).

    `classes` is the number of names where they are known; `ultralytics` and `end_to_end` come from the metadata.

    :raises ModelError: no layout that is known, or another number of classes than names.
    """
    layout = _by_shape(shape, canvas, classes, ultralytics, end_to_end)
    if layout is None:
        raise ModelError(
            "this network is no detector we can read",
            expected=_LAYOUTS,
            got=f"an output {shape} for an input of {canvas[0]}x{canvas[1]}",
            todo="Export a YOLOv8, YOLO11, YOLO26 or YOLOX detection network.",
        )
    if classes is not None and layout.classes is not None and layout.classes != classes:
        raise ModelError(
            "names and network do not belong together",
            expected=f"{layout.classes} class names, as the network's output has",
            got=f"{classes}",
            todo="Give the names that the network was trained with.",
        )
    return layout


def _by_shape(
    shape: tuple[int, ...], canvas: tuple[int, int], classes: int | None, ultralytics: bool, end_to_end: bool
) -> Layout | None:
    if len(shape) != 3 or shape[0] != 1:
        return None
    _, rows, columns = shape
    cells = sum((canvas[0] // stride) * (canvas[1] // stride) for stride in _STRIDES)
    if end_to_end:
        return Layout("end-to-end", None) if columns == 6 else None
    if not ultralytics and rows == cells and columns > 5:  # one class makes YOLOX's rows as long as the end-to-end ones
        return Layout("yolox", columns - 5)
    if columns == 6:
        return Layout("end-to-end", None)
    if rows > 4 and (columns == cells or (ultralytics and rows - 4 == classes)):  # other strides have other cells
        return Layout("anchor-free", rows - 4)
    return None


def _decode_anchor_free(rows: Floats, score: float) -> Candidates:
    best = rows[4:].max(axis=0)
    chosen = np.flatnonzero(best >= score)
    return Candidates(
        _corners(rows[:4, chosen].T), best[chosen], rows[4:, chosen].argmax(axis=0).astype(np.intp, copy=False)
    )


def _decode_end_to_end(rows: Floats, score: float) -> Candidates:
    chosen = rows[rows[:, 4] >= score]
    chosen = chosen[np.isfinite(chosen[:, 5])]
    return Candidates(chosen[:, :4], chosen[:, 4], chosen[:, 5].astype(np.intp))


def _decode_yolox(rows: Floats, canvas: tuple[int, int], score: float) -> Candidates:
    maybe = np.flatnonzero(rows[:, 4] >= score)  # a class probability can only lower it
    seen = rows[maybe]
    products = seen[:, 5:] * seen[:, 4:5]
    classes = products.argmax(axis=1).astype(np.intp, copy=False)
    best = products[np.arange(len(seen)), classes]
    passed = best >= score
    grid = _grid(*canvas)[maybe[passed]]
    seen, stride = seen[passed], grid[:, 2:]
    boxes = np.concatenate([(seen[:, :2] + grid[:, :2]) * stride, np.exp(seen[:, 2:4]) * stride], axis=1)
    return Candidates(_corners(boxes), best[passed], classes[passed])


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> Floats:
    """(N, 3): column, row and stride of each output cell, fine strides first, row by row."""
    cells = []
    for stride in _STRIDES:
        row, column = np.mgrid[0 : height // stride, 0 : width // stride]
        cells.append(np.stack([column.ravel(), row.ravel(), np.full(row.size, stride)], axis=1))
    return np.concatenate(cells).astype(np.float32)


def _corners(boxes: Floats) -> Floats:
    """Left, top, right, bottom of (n, 4) boxes given by centre and size."""
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
