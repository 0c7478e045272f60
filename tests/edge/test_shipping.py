"""What pixels go along with a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_edge.shipping import LoadedFrame, Shipper, ShippingConfig
from dicem_shared import images
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.clock import VirtualClock
from dicem_shared.errors import ImageError
from dicem_shared.ids import blob_id
from dicem_shared.patches import PatchReader, contains
from dicem_shared.types import FrameInfo, Handle

PIXELS = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
DATA = images.encode(PIXELS, format="png")
INFO = FrameInfo(camera="bow", sequence=1, t_utc=0.0, blob=blob_id(DATA), width=64, height=48)


@pytest.fixture
def frame() -> LoadedFrame:
    return LoadedFrame(INFO, DATA)


def params(*box: int, blob: str = INFO.blob) -> dict[str, Any]:
    return {"image": {"blob": blob, "box": list(box)}, "query": "x"}


def test_a_crop_holds_the_pixels_of_its_box(frame: LoadedFrame) -> None:
    (blob,) = Shipper(ShippingConfig(quality=100)).pack(frame, params(10, 20, 16, 8), ("image",))
    assert blob.data is not None
    assert (blob.blob, blob.source.blob, blob.source.box) == (blob_id(blob.data), INFO.blob, (10, 20, 16, 8))
    assert images.decode(blob.data).shape == (8, 16, 3)


@pytest.mark.parametrize(("format_", "kind"), [("webp", "webp"), ("jpeg", "jpeg")])
def test_the_format_is_the_configs(frame: LoadedFrame, format_: Any, kind: str) -> None:
    (blob,) = Shipper(ShippingConfig(format=format_)).pack(frame, params(0, 0, 16, 8), ("image",))
    assert blob.data is not None
    assert images.probe(blob.data) == (kind, 16, 8)


def test_calls_without_an_image_ship_nothing(frame: LoadedFrame) -> None:
    shipper = Shipper(ShippingConfig())
    assert shipper.pack(frame, {"prompt": "x"}, ()) == ()
    assert shipper.pack(frame, {"prompt": "x", "image": None}, ("image",)) == ()


def test_two_parameters_with_the_same_pixels_ship_them_once(frame: LoadedFrame) -> None:
    both = {"a": params(0, 0, 8, 8)["image"], "b": params(0, 0, 8, 8)["image"], "c": params(8, 0, 8, 8)["image"]}
    blobs = Shipper(ShippingConfig()).pack(frame, both, ("a", "b", "c"))
    assert [blob.source.box for blob in blobs] == [(0, 0, 8, 8), (8, 0, 8, 8)]


def test_pixels_are_named_once_they_are_sent_and_not_before(frame: LoadedFrame) -> None:
    shipper = Shipper(ShippingConfig())
    first = shipper.pack(frame, params(0, 0, 8, 8), ("image",))
    second = shipper.pack(frame, params(0, 0, 8, 8), ("image",))
    assert second == first  # the first may never have left
    shipper.mark_sent(second)
    (third,) = shipper.pack(frame, params(0, 0, 8, 8), ("image",))
    assert (third.blob, third.data) == (first[0].blob, None)
    assert shipper.repack(frame, (third,)) == first


def test_a_frame_that_is_answered_is_forgotten(frame: LoadedFrame) -> None:
    shipper = Shipper(ShippingConfig())
    other_pixels = PIXELS[::-1]
    data = images.encode(np.ascontiguousarray(other_pixels), format="png")
    other = LoadedFrame(INFO.model_copy(update={"blob": blob_id(data)}), data)
    for loaded in (frame, other):
        shipper.mark_sent(shipper.pack(loaded, params(0, 0, 8, 8, blob=loaded.info.blob), ("image",)))
    shipper.forget(INFO)
    (again,) = shipper.pack(frame, params(0, 0, 8, 8), ("image",))
    (kept,) = shipper.pack(other, params(0, 0, 8, 8, blob=other.info.blob), ("image",))
    assert again.data is not None
    assert kept.data is None
    shipper.forget(INFO)
    shipper.forget(other.info)
    assert (shipper._sent, shipper._encoded) == (set(), {})


def test_what_was_forgotten_can_be_sent_again_all_the_same(frame: LoadedFrame) -> None:
    """A second run on the same frame may still be under way."""
    shipper = Shipper(ShippingConfig())
    blobs = shipper.pack(frame, params(0, 0, 8, 8), ("image",))
    shipper.forget(INFO)
    named = tuple(blob.model_copy(update={"data": None}) for blob in blobs)
    assert shipper.repack(frame, named) == blobs


@given(
    box=st.tuples(st.integers(0, 63), st.integers(0, 47), st.integers(1, 64), st.integers(1, 48)),
    context=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
@settings(max_examples=60, derandomize=True, deadline=None, database=None)
def test_context_surrounds_the_box_and_stays_in_the_frame(box: tuple[int, int, int, int], context: float) -> None:
    x, y, width, height = box[0], box[1], min(box[2], 64 - box[0]), min(box[3], 48 - box[1])
    frame = LoadedFrame(INFO, DATA)
    (blob,) = Shipper(ShippingConfig(context=context)).pack(frame, params(x, y, width, height), ("image",))
    left, top, wide, high = blob.source.box
    assert contains(blob.source.box, (x, y, width, height))
    assert contains((0, 0, 64, 48), blob.source.box)
    assert left == max(0, x - round(width * context))
    assert top == max(0, y - round(height * context))
    assert left + wide == min(64, x + width + round(width * context))
    assert top + high == min(48, y + height + round(height * context))
    assert blob.data is not None
    assert images.decode(blob.data).shape == (high, wide, 3)


# Whole frames


def test_a_whole_frame_goes_as_it_came(frame: LoadedFrame) -> None:
    shipper = Shipper(ShippingConfig(whole_frames=True))
    (blob,) = shipper.pack(frame, params(10, 20, 16, 8), ("image",))
    assert (blob.blob, blob.data, blob.source) == (INFO.blob, DATA, INFO.handle)
    shipper.mark_sent((blob,))
    (other,) = shipper.pack(frame, params(0, 0, 5, 5), ("image",))
    assert (other.blob, other.data) == (INFO.blob, None)


def test_a_redacted_whole_frame_is_encoded_once_for_all_its_patches(frame: LoadedFrame) -> None:
    seen: list[tuple[int, ...]] = []

    def dark(pixels: images.Pixels) -> images.Pixels:
        seen.append(pixels.shape)
        return pixels // 2

    shipper = Shipper(ShippingConfig(whole_frames=True), redact=dark)
    first = shipper.pack(frame, params(10, 20, 16, 8), ("image",))
    assert shipper.pack(frame, params(0, 0, 5, 5), ("image",)) == first
    assert seen == [(48, 64, 3)]
    assert (first[0].source, first[0].blob != INFO.blob) == (INFO.handle, True)
    assert first[0].data is not None
    assert images.decode(first[0].data).mean() < PIXELS.mean() * 0.6


JPEG = images.encode(PIXELS, format="jpeg")
PHOTO = LoadedFrame(INFO.model_copy(update={"blob": blob_id(JPEG)}), JPEG)
WHOLE = params(0, 0, 64, 48, blob=PHOTO.info.blob)
CROP = params(10, 20, 16, 8, blob=PHOTO.info.blob)


def test_the_cameras_own_bytes_are_not_encoded_anew() -> None:
    (blob,) = Shipper(ShippingConfig()).pack(PHOTO, WHOLE, ("image",))
    assert (blob.blob, blob.data, blob.source) == (PHOTO.info.blob, JPEG, PHOTO.info.handle)


def test_a_crop_of_a_frame_that_has_gone_is_named_only() -> None:
    shipper = Shipper(ShippingConfig())
    (before,) = shipper.pack(PHOTO, CROP, ("image",))
    whole = shipper.pack(PHOTO, WHOLE, ("image",))
    (packed,) = shipper.pack(PHOTO, CROP, ("image",))
    assert packed == before  # packed is not sent
    shipper.mark_sent(whole)
    (after,) = shipper.pack(PHOTO, CROP, ("image",))
    assert (after.blob, after.data, after.source) == (PHOTO.info.blob, None, PHOTO.info.handle)
    (again,) = shipper.repack(PHOTO, (after,))
    assert again.data == JPEG
    shipper.forget(PHOTO.info)
    (anew,) = shipper.pack(PHOTO, CROP, ("image",))
    assert (anew.source.box, anew.data is not None) == ((10, 20, 16, 8), True)


def test_the_gateway_cuts_the_crop_out_of_the_frame() -> None:
    """What a model sees there is what it would see on board, to the pixel."""
    store, shipper = MemoryBlobStore(VirtualClock()), Shipper(ShippingConfig())
    for blob in (sent := shipper.pack(PHOTO, WHOLE, ("image",))):
        assert blob.data is not None
        store.put("v", blob.data)
    shipper.mark_sent(sent)
    named = shipper.pack(PHOTO, CROP, ("image",))
    seen = PatchReader(store).read("v", Handle.model_validate(CROP["image"]), PHOTO.info, named)
    assert np.array_equal(seen.pixels, PHOTO.pixels[20:28, 10:26])


@pytest.mark.parametrize("config", [ShippingConfig(once=False), ShippingConfig()])
def test_what_must_not_leave_does_not_leave_with_the_whole_frame(config: ShippingConfig) -> None:
    shipper = Shipper(config, redact=lambda pixels: pixels // 2)
    whole = shipper.pack(PHOTO, WHOLE, ("image",))
    shipper.mark_sent(whole)
    assert whole[0].blob != PHOTO.info.blob
    (crop,) = shipper.pack(PHOTO, CROP, ("image",))
    assert (crop.source == PHOTO.info.handle) is config.once


def test_a_frame_that_fills_a_message_is_encoded_as_crops_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (400, 600, 3), dtype=np.uint8)
    large = images.encode(pixels, format="jpeg", quality=100)
    info = FrameInfo(camera="bow", sequence=1, t_utc=0.0, blob=blob_id(large), width=600, height=400)
    (blob,) = Shipper(ShippingConfig(quality=30)).pack(
        LoadedFrame(info, large), params(0, 0, 600, 400, blob=info.blob), ("image",)
    )
    assert blob.data is not None
    assert (blob.blob != info.blob, len(blob.data) < len(large)) == (True, True)


# The redactor


def test_the_redactor_sees_a_copy(frame: LoadedFrame) -> None:
    def wipe(pixels: images.Pixels) -> images.Pixels:
        pixels[:] = 0
        return pixels

    before = frame.pixels.copy()
    (blob,) = Shipper(ShippingConfig(), redact=wipe).pack(frame, params(10, 20, 16, 8), ("image",))
    assert blob.data is not None
    assert images.decode(blob.data).max() <= 2
    assert np.array_equal(frame.pixels, before)  # the models on board see what the camera saw


@pytest.mark.parametrize(
    ("redact", "message"),
    [
        (lambda pixels: 1 / 0, "the redactor failed: nothing is sent (got ZeroDivisionError: division by zero)"),
        (lambda pixels: pixels[:4], "the redactor changed the size (expected (8, 16, 3), got (4, 16, 3))"),
        (lambda pixels: None, "the redactor changed the size (expected (8, 16, 3), got no image)"),
    ],
)
def test_a_redactor_that_fails_lets_nothing_out(frame: LoadedFrame, redact: Any, message: str) -> None:
    shipper = Shipper(ShippingConfig(), redact=redact)
    for _ in range(2):
        with pytest.raises(ImageError) as caught:
            shipper.pack(frame, params(10, 20, 16, 8), ("image",))
        assert str(caught.value) == message


def test_a_frame_is_decoded_once_and_only_when_somebody_looks(
    frame: LoadedFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    real = images.decode

    def counted(data: bytes, **how: Any) -> images.Pixels:
        decoded.append(1)
        return real(data, **how)

    monkeypatch.setattr(images, "decode", counted)
    shipper = Shipper(ShippingConfig())
    assert decoded == []
    for x in range(4):
        shipper.pack(frame, params(x, 0, 8, 8), ("image",))
    assert decoded == [1]


def test_a_frame_larger_than_the_camera_says_is_refused() -> None:
    with pytest.raises(ImageError, match="too large"):
        _ = LoadedFrame(INFO, DATA, max_pixels=100).pixels
