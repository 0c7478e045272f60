"""How answers are compared and counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_simulators.scoring import match, overlap, percentile, values_agree


@pytest.mark.parametrize(
    ("a", "b", "agree"),
    [
        ("Object: tyre, Depth: 4.00 meters", "Object: tyre, Depth: 4.30 meters", True),
        ("Object: tyre, Depth: 4.00 meters", "Object: tyre, Depth: 4.60 meters", False),
        ("Object: tyre, Depth: 4.00 meters", "Object: can, Depth: 4.00 meters", False),
        ("No litter found in the image.", "No litter found within five meters of depth.", False),
        ("yes", "Yes", True),
        (1.0, 1.09, True),
        (1.0, 1.2, False),
        (True, 1, False),
        (True, True, True),
        (None, None, True),
        (None, "", False),
        ([1.0, "a"], [1.05, "a"], True),
        ([1.0], [1.0, 2.0], False),
        ({"n": 3}, {"n": 3}, True),
        ({"n": 3}, {"m": 3}, False),
        ("3", 3, False),
    ],
)
def test_values_agree(a: Any, b: Any, agree: bool) -> None:
    assert values_agree(a, b) is agree
    assert values_agree(b, a) is agree


def test_overlap() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0.0


def test_match_uses_each_box_once() -> None:
    there = [(0, 0, 10, 10), (100, 100, 10, 10)]
    assert match([(1, 0, 10, 10), (0, 1, 10, 10)], there) == (1, 1, 1)
    assert match([], there) == (0, 0, 2)
    assert match([(50, 50, 5, 5)], []) == (0, 1, 0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentile_lies_between(values: list[float]) -> None:
    assert percentile(values, 0) == min(values)
    assert percentile(values, 1) == max(values)
    middle = percentile(values, 0.5)
    assert middle is not None
    assert min(values) <= middle <= max(values)


def test_percentile_by_hand() -> None:
    assert percentile([1, 2, 3, 4], 0.5) == 2.5
    assert percentile([10], 0.95) == 10
    assert percentile([], 0.5) is None
