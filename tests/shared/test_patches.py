"""From handles to pixels: the right ones, of this frame, out of what this vehicle sent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicem_shared import images
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.clock import VirtualClock
from dicem_shared.errors import BlobMissing, ImageError, InvalidCall
from dicem_shared.ids import blob_id
from dicem_shared.images import Pixels
from dicem_shared.patches import PatchReader, check_handle, contains
from dicem_shared.types import Box, FrameInfo, Handle, ShippedBlob

PIXELS: Pixels = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
DATA = images.encode(PIXELS, format="png")
FRAME = FrameInfo(camera="bow", sequence=0, t_utc=0, blob=blob_id(DATA), width=60, height=40)


def handle(box: Box, frame: FrameInfo = FRAME) -> Handle:
    return Handle(blob=frame.blob, box=box)


def cut(box: Box) -> Pixels:
    x, y, width, height = box
    return PIXELS[y : y + height, x : x + width]


@pytest.fixture
def store() -> MemoryBlobStore:
    return MemoryBlobStore(VirtualClock())


@pytest.fixture
def reader(store: MemoryBlobStore) -> PatchReader:
    return PatchReader(store)


def ship(store: MemoryBlobStore, box: Box, pixels: Pixels | None = None, scope: str = "boat-1") -> ShippedBlob:
    data = images.encode(cut(box) if pixels is None else pixels, format="png")
    return ShippedBlob(blob=store.put(scope, data), source=handle(box))


@pytest.mark.parametrize("box", [(0, 0, 60, 40), (0, 0, 1, 1), (59, 39, 1, 1), (10, 5, 20, 30)])
def test_a_patch_is_cut_out_of_its_frame(store: MemoryBlobStore, reader: PatchReader, box: Box) -> None:
    store.put("boat-1", DATA)
    patch = reader.read("boat-1", handle(box), FRAME)
    np.testing.assert_array_equal(patch.pixels, cut(box))
    assert (patch.box, patch.frame) == (box, FRAME)


def test_a_crop_stands_for_the_frame(store: MemoryBlobStore, reader: PatchReader) -> None:
    crop = ship(store, (10, 5, 20, 30))
    for box in ((10, 5, 20, 30), (12, 9, 3, 4), (29, 34, 1, 1)):
        patch = reader.read("boat-1", handle(box), FRAME, [crop])
        np.testing.assert_array_equal(patch.pixels, cut(box))
        assert patch.box == box


def test_the_smallest_crop_that_covers_the_box_is_used(store: MemoryBlobStore, reader: PatchReader) -> None:
    large, small = ship(store, (0, 0, 50, 40)), ship(store, (10, 10, 10, 10))
    grey = np.full((20, 20, 3), 128, np.uint8)
    marked = ship(store, (8, 8, 20, 20), grey)
    shipped = [large, marked, small]
    np.testing.assert_array_equal(
        reader.read("boat-1", handle((12, 12, 4, 4)), FRAME, shipped).pixels, cut((12, 12, 4, 4))
    )
    assert (reader.read("boat-1", handle((9, 9, 4, 4)), FRAME, shipped).pixels == 128).all()
    np.testing.assert_array_equal(reader.read("boat-1", handle((1, 1, 4, 4)), FRAME, shipped).pixels, cut((1, 1, 4, 4)))


def test_what_is_not_here_is_said_to_be_missing(store: MemoryBlobStore, reader: PatchReader) -> None:
    with pytest.raises(BlobMissing) as caught:
        reader.read("boat-1", handle((0, 0, 5, 5)), FRAME)
    assert caught.value.blob == FRAME.blob
    elsewhere = ship(store, (30, 30, 5, 5))
    with pytest.raises(BlobMissing) as caught:
        reader.read("boat-1", handle((0, 0, 5, 5)), FRAME, [elsewhere])
    assert caught.value.blob == FRAME.blob


def test_another_vehicles_pixels_are_not_here_even_once_decoded(store: MemoryBlobStore, reader: PatchReader) -> None:
    store.put("boat-1", DATA)
    reader.read("boat-1", handle((0, 0, 5, 5)), FRAME)
    with pytest.raises(BlobMissing):
        reader.read("boat-2", handle((0, 0, 5, 5)), FRAME)


def test_a_crop_of_another_frame_stands_for_nothing(store: MemoryBlobStore, reader: PatchReader) -> None:
    crop = ship(store, (0, 0, 20, 20))
    other = crop.model_copy(update={"source": Handle(blob="ef" * 32, box=(0, 0, 20, 20))})
    with pytest.raises(BlobMissing):
        reader.read("boat-1", handle((0, 0, 5, 5)), FRAME, [other])


def test_a_crop_must_be_as_large_as_it_says(store: MemoryBlobStore, reader: PatchReader) -> None:
    crop = ship(store, (0, 0, 20, 20), cut((0, 0, 10, 20)))
    with pytest.raises(InvalidCall, match="expected 20 x 20, got 10 x 20"):
        reader.read("boat-1", handle((0, 0, 5, 5)), FRAME, [crop])
    store.put("boat-1", DATA)
    stretched = FRAME.model_copy(update={"width": 61})
    with pytest.raises(InvalidCall, match="expected 61 x 40, got 60 x 40"):
        reader.read("boat-1", handle((0, 0, 5, 5), stretched), stretched)


def test_bytes_that_are_no_image_or_too_large_a_one(store: MemoryBlobStore, reader: PatchReader) -> None:
    text = store.put("boat-1", b"not an image")
    frame = FRAME.model_copy(update={"blob": text})
    with pytest.raises(ImageError, match="no image we accept"):
        reader.read("boat-1", handle((0, 0, 5, 5), frame), frame)
    store.put("boat-1", DATA)
    with pytest.raises(ImageError, match=r"too large .*at most 2399 pixels"):
        PatchReader(store, max_pixels=60 * 40 - 1).read("boat-1", handle((0, 0, 5, 5)), FRAME)


def test_each_blob_is_decoded_once_and_few_are_kept(store: MemoryBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    decode = images.decode

    def counted(data: bytes, *, max_pixels: int) -> Pixels:
        decoded.append(blob_id(data))
        return decode(data, max_pixels=max_pixels)

    monkeypatch.setattr(images, "decode", counted)
    reader = PatchReader(store, keep=2)
    crops = [ship(store, (x, 0, 10, 10)) for x in (0, 10, 20)]

    def read(index: int) -> None:
        reader.read("boat-1", handle((index * 10, 0, 5, 5)), FRAME, crops)

    for index in (0, 0, 1, 0, 2, 0, 1):
        read(index)
    assert decoded == [crops[i].blob for i in (0, 1, 2, 1)]  # 1 was the least recently used when 2 came


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((0, 0, 0, 5), "no area"),
        ((0, 0, 5, 0), "no area"),
        ((60, 0, 1, 1), "leaves its frame .*within 60 x 40"),
        ((0, 40, 1, 1), "leaves its frame"),
        ((1, 0, 60, 40), "leaves its frame"),
        ((0, 0, 10**30, 1), "leaves its frame"),
    ],
)
def test_boxes_that_are_no_part_of_the_frame(reader: PatchReader, box: Box, said: str) -> None:
    for check in (lambda: check_handle(handle(box), FRAME), lambda: reader.read("boat-1", handle(box), FRAME)):
        with pytest.raises(InvalidCall, match=said):
            check()


def test_a_program_sees_only_its_own_frame(store: MemoryBlobStore, reader: PatchReader) -> None:
    other = Handle(blob=store.put("boat-1", b"another"), box=(0, 0, 1, 1))
    with pytest.raises(InvalidCall, match="a patch of another frame"):
        reader.read("boat-1", other, FRAME)
    check_handle(FRAME.handle, FRAME)


BOXES = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 5), st.integers(1, 5))


@given(BOXES, BOXES)
def test_contains_is_about_pixels(outer: Box, inner: Box) -> None:
    def pixels(box: Box) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[0] + box[2]) for y in range(box[1], box[1] + box[3])}

    assert contains(outer, inner) == (pixels(inner) <= pixels(outer))
