"""Ids: the same after a crash and on another machine, different for whatever differs."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.ids import answer_id, blob_id, call_id, digest, observation_id

CALL: dict[str, Any] = {
    "vehicle": "boat-1",
    "camera": "bow",
    "frame": "f" * 64,
    "program": "litter-1",
    "function": "blip2",
    "params": {"image": {"blob": "f" * 64, "box": [1, 2, 3, 4]}, "query": "What is this?"},
    "at": "",
    "occurrence": 0,
}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any, seed: int) -> Any:
    """Equal, its dicts filled in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, seed)) for key, item in value.items()]
        random.Random(seed).shuffle(items)
        return dict(items)
    return [shuffled(item, seed) for item in value] if isinstance(value, list) else value


def test_blob_id_is_the_standards_sha_256() -> None:
    assert blob_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_ids_of_this_version_stay() -> None:
    """A change here makes every answer that was stored and every call under way somebody else's."""
    assert call_id(**CALL) == "28e9ca178bad27be7d739f56466efa72"
    assert (
        answer_id(survey="s", vehicle="boat-1", camera="bow", frame="f", sequence=7, program="p")
        == "f3e998116bac1cf1d46345c052f4f38e"
    )
    assert observation_id("a" * 32, (1, 2, 3, 4)) == "f799dbd564df8d86b4c1390952a76984"


@given(st.dictionaries(st.text(), PLAIN, max_size=6), st.integers(0, 99))
def test_call_ids_do_not_hang_on_dict_order(params: dict[str, Any], seed: int) -> None:
    assert call_id(**{**CALL, "params": params}) == call_id(**{**CALL, "params": shuffled(params, seed)})


@pytest.mark.parametrize("field", sorted(CALL))
def test_call_ids_differ_in_each_field(field: str) -> None:
    other = {"params": CALL["params"] | {"query": "What is that?"}, "occurrence": 1}.get(field, CALL[field])
    changed = {**CALL, field: other if other != CALL[field] else CALL[field] + "x"}
    assert call_id(**changed) != call_id(**CALL)


@given(PLAIN, PLAIN)
def test_different_values_have_different_digests(a: Any, b: Any) -> None:
    assert (digest(a) == digest(b)) == (_typed(a) == _typed(b))


def _typed(value: Any) -> Any:
    """`value`, so that 1, 1.0 and True differ, 0.0 and -0.0 too, and one NaN is like another."""
    if isinstance(value, dict):
        return "dict", {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return "list", [_typed(item) for item in value]
    return type(value).__name__, repr(value)


def test_types_are_told_apart_and_borders_are_kept() -> None:
    assert len({digest(v) for v in (1, 1.0, True, "1", b"1", None, [1], [[1]], {"1": 1})}) == 9
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") != digest(["a"])
    assert digest((1, 2)) == digest([1, 2])


def test_answer_ids_differ_in_each_field() -> None:
    base: dict[str, Any] = {"survey": "s", "vehicle": "v", "camera": "c", "frame": "f", "sequence": 1, "program": "p"}
    changed = [answer_id(**{**base, name: 2 if name == "sequence" else "x"}) for name in base]
    assert len({answer_id(**base), *changed}) == len(base) + 1


def test_an_observation_is_one_box_of_one_answer() -> None:
    ids = {observation_id(answer, box) for answer in ("a", "b") for box in ((0, 0, 1, 1), (0, 0, 1, 2))}
    assert len(ids) == 4
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)
