"""Blobs: bounded in time and size, each vehicle's own, evidence kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.clock import VirtualClock
from dicem_shared.errors import BlobMissing
from dicem_shared.ids import blob_id


def wait(clock: VirtualClock, seconds: float) -> None:
    clock.call_later(seconds, lambda: None)
    clock.run()


def here(store: MemoryBlobStore, scope: str, blob: str) -> bool:
    """Whether it can be had; to ask is a use of it."""
    try:
        return blob_id(store.get(scope, blob)) == blob
    except BlobMissing:
        return False


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_what_was_put_is_had_under_its_hash(clock: VirtualClock) -> None:
    store = MemoryBlobStore(clock)
    blob = store.put("boat-1", b"abc")
    assert blob == blob_id(b"abc")
    assert store.get("boat-1", blob) == b"abc"
    assert store.put("boat-1", b"abc") == blob
    assert len(store) == 1


def test_no_vehicle_sees_or_pins_anothers(clock: VirtualClock) -> None:
    store = MemoryBlobStore(clock)
    blob = store.put("boat-1", b"abc")
    with pytest.raises(BlobMissing, match=f"blob {blob[:12]} is not here. Send it again.") as caught:
        store.get("boat-2", blob)
    assert caught.value.blob == blob
    with pytest.raises(BlobMissing):
        store.pin("boat-2", blob)
    store.pin("boat-1", blob)
    assert not here(store, "boat-2", blob)


def test_the_least_recently_used_goes_first(clock: VirtualClock) -> None:
    store = MemoryBlobStore(clock, max_bytes=30)
    a, b, c = (store.put("v", letter * 10) for letter in (b"a", b"b", b"c"))
    assert len(store) == 3  # thirty bytes are allowed
    store.get("v", a)
    d = store.put("v", b"d" * 10)
    assert [here(store, "v", blob) for blob in (a, b, c, d)] == [True, False, True, True]


def test_putting_twice_counts_once_and_is_a_use(clock: VirtualClock) -> None:
    store = MemoryBlobStore(clock, max_bytes=20)
    a, b = store.put("v", b"a" * 10), store.put("v", b"b" * 10)
    store.put("v", b"a" * 10)
    assert len(store) == 2
    store.put("v", b"c" * 10)
    assert (here(store, "v", a), here(store, "v", b)) == (True, False)


def test_what_is_too_old_is_gone_even_when_nothing_comes(clock: VirtualClock) -> None:
    store = MemoryBlobStore(clock, max_age_s=60)
    blob = store.put("v", b"a")
    wait(clock, 60)
    assert here(store, "v", blob)  # a use: a minute more
    wait(clock, 60)
    assert here(store, "v", blob)
    wait(clock, 60.1)
    assert not here(store, "v", blob)
    with pytest.raises(BlobMissing):
        store.pin("v", blob)
    assert len(store) == 0


def test_evidence_stays_and_leaves_room_for_the_rest(clock: VirtualClock) -> None:
    store = MemoryBlobStore(clock, max_bytes=20, max_age_s=60)
    evidence = [store.put("v", bytes([i]) * 10) for i in range(2)]
    for blob in evidence:
        store.pin("v", blob)
        store.pin("v", blob)
    fresh = [store.put("v", letter * 10) for letter in (b"x", b"y")]
    assert all(here(store, "v", blob) for blob in (*evidence, *fresh))
    wait(clock, 3600)
    store.put("v", b"z")
    assert all(here(store, "v", blob) for blob in evidence)
    assert not any(here(store, "v", blob) for blob in fresh)
    assert store.put("v", bytes([0]) * 10) == evidence[0]  # put again: still once, still pinned
    assert len(store) == 3


def test_what_is_larger_than_the_store_is_not_kept(clock: VirtualClock) -> None:
    store = MemoryBlobStore(clock, max_bytes=10)
    assert not here(store, "v", store.put("v", b"x" * 11))
    assert here(store, "v", store.put("v", b"y" * 10))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=12), st.floats(0, 8), st.booleans()), max_size=30))
def test_bounds_hold_whatever_comes(steps: list[tuple[str, bytes, float, bool]]) -> None:
    clock = VirtualClock()
    store = MemoryBlobStore(clock, max_bytes=24, max_age_s=20)
    pinned: set[tuple[str, bytes]] = set()
    put: dict[tuple[str, bytes], float] = {}
    for scope, data, pause, pin in steps:
        wait(clock, pause)
        blob = store.put(scope, data)
        put[scope, data] = clock.monotonic()
        if pin:
            store.pin(scope, blob)
            pinned.add((scope, data))
    kept = {key for key in put if here(store, key[0], blob_id(key[1]))}
    assert pinned <= kept
    assert sum(len(data) for _, data in kept - pinned) <= 24
    assert all(clock.monotonic() - put[key] <= 20 for key in kept - pinned)
    if steps:
        assert (steps[-1][0], steps[-1][1]) in kept
