"""Suppression against the definition, written out box by box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_shared.detector import nms


def overlap(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


def by_definition(boxes: list[list[float]], classes: list[int] | None, threshold: float, limit: int) -> list[int]:
    kept: list[int] = []
    for i, box in enumerate(boxes):
        rivals = [k for k in kept if classes is None or classes[k] == classes[i]]
        if all(overlap(boxes[k], box) <= threshold for k in rivals):
            kept.append(i)
    return kept[:limit]


# Whole corners on a small grid and thresholds that no such overlap can equal: no tie hangs on rounding.
boxes_on_a_grid = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2)),
    max_size=60,
)
thresholds = st.sampled_from([0.0, 0.1234567, 0.4567891, 0.7654321, 1.0])


@pytest.mark.parametrize("block", [1, 7, 128])
@given(
    found=boxes_on_a_grid,
    threshold=st.sampled_from([0.0, 0.1234567, 0.4567891, 0.7654321, 1.0]),
    by_class=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_suppress_is_its_definition(
    block: int, found: list[tuple[int, int, int, int, int]], threshold: float, by_class: bool
) -> None:
    boxes = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h, _ in found]
    classes = [c for *_, c in found] if by_class else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "_BLOCK", block)
        kept = nms.suppress(
            np.array(boxes, dtype=np.float32).reshape(-1, 4),
            None if classes is None else np.array(classes, dtype=np.intp),
            threshold,
            1000,
        )
    assert kept.tolist() == by_definition(boxes, classes, threshold, 1000)


@pytest.mark.parametrize("limit", [0, 1, 5, 300])
def test_the_limit_holds(limit: int) -> None:
    left = np.arange(400, dtype=np.float32) * 10
    boxes = np.stack([left, left, left + 5, left + 5], axis=1)
    assert nms.suppress(boxes, None, 0.5, limit).tolist() == list(range(limit))


def test_best_first_keeps_the_order_of_equals() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.9, 0.1], dtype=np.float32)
    assert nms.best_first(scores, 10).tolist() == [1, 3, 0, 2, 4]
    assert nms.best_first(scores, 3).tolist() == [1, 3, 0]


def test_empty_boxes_overlap_nothing() -> None:
    point = np.array([[5, 5, 5, 5]], dtype=np.float32)
    assert nms.iou(point, point).tolist() == [[0.0]]
