"""Decoding is where hostile bytes arrive: whatever they are, an image or an ImageError comes out."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dicem_shared import images
from dicem_shared.errors import ImageError
from dicem_shared.images import CEILING_PIXELS, Format, Pixels, Redactor, crop, decode, encode, probe

FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp")


def scene(width: int = 40, height: int = 24) -> Pixels:
    """A smooth gradient with one red block: survives lossy coding, and no two corners are alike."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 200 // width, y * 200 // height, np.full_like(x, 90)], axis=2).astype(np.uint8)
    image[2:8, 2:8] = (230, 20, 20)
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of one row of data whose header says something else."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 + 3 * 8)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(40, 24), (1, 1), (17, 333)])
def test_round_trip(kind: Format, size: tuple[int, int]) -> None:
    image = scene(*size)
    data = encode(image, format=kind, quality=95)
    assert probe(data) == (kind, *size)
    back = decode(data)
    assert back.dtype == np.uint8
    assert back.shape == image.shape
    if kind == "png":
        assert np.array_equal(back, image)
    elif size == (40, 24):
        assert np.abs(back.astype(int) - image).mean() < 6


@pytest.mark.parametrize("kind", FORMATS)
def test_encoding_is_deterministic_and_takes_views(kind: Format) -> None:
    image = scene(80, 48)
    view = image[::2, ::2]
    assert encode(view, format=kind) == encode(view.copy(), format=kind)


def test_quality_matters() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert len(encode(noise, quality=30)) < len(encode(noise, quality=95)) / 2


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("alpha", [True, False])
def test_every_form_of_webp_is_measured(lossless: bool, alpha: bool) -> None:
    image = Image.fromarray(scene(301, 7)).convert("RGBA" if alpha else "RGB")
    if alpha:
        image.putpixel((0, 0), (1, 2, 3, 4))
    data = saved(image, "WEBP", lossless=lossless)
    assert probe(data) == ("webp", 301, 7)
    assert decode(data).shape == (7, 301, 3)


def test_progressive_and_commented_jpeg() -> None:
    image = Image.fromarray(scene())
    assert probe(saved(image, "JPEG", progressive=True, comment=b"\xff\xc0" * 50)) == ("jpeg", 40, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = scene(48, 32)
    # Write the pixels as a turned camera stores them: the inverse of what the viewer must do.
    undo: Callable[[Pixels], Pixels] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    options: dict[str, int] = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": 1}}[kind]
    back = decode(saved(stored, kind, exif=exif.tobytes(), **options))
    assert back.shape == upright.shape
    assert np.abs(back.astype(int) - upright).mean() < 6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((5, 9), 0x8123, dtype=np.uint16))
    else:
        image = Image.fromarray(np.full((5, 9, 3), 255, dtype=np.uint8)).convert(mode)
    back = decode(saved(image, "PNG"))
    assert back.shape == (5, 9, 3)
    assert np.all(back == (0x81 if mode == "I;16" else 255))


def test_cmyk_jpeg_becomes_rgb() -> None:
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert decode(saved(white, "JPEG")).min() > 250


def test_what_is_transparent_is_black_not_what_hides_below() -> None:
    image = Image.new("RGBA", (4, 4), (250, 200, 10, 0))
    assert not decode(saved(image, "PNG")).any()
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([9, 9, 9, 250, 250, 250])
    assert not decode(saved(palette, "PNG", transparency=1)).any()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 120, 240)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=40)
    with pytest.raises(ImageError, match="animated"):
        decode(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused(kind: str) -> None:
    data = saved(Image.fromarray(scene()), kind)
    for take in (probe, decode):
        with pytest.raises(ImageError, match=r"expected a JPEG, PNG or WebP image, got \d+ bytes"):
            take(data)


def test_nothing_at_all() -> None:
    with pytest.raises(ImageError, match="empty"):
        decode(b"")


@pytest.mark.parametrize(("width", "height"), [(2001, 2000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_large_image_is_refused_before_it_is_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was reached")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(ImageError, match="too large"):
        decode(png_claiming(width, height))


def test_the_limit_is_the_callers_up_to_a_ceiling() -> None:
    data = encode(scene(100, 50), format="png")
    assert decode(data, max_pixels=5000).shape == (50, 100, 3)
    with pytest.raises(ImageError, match="at most 4999 pixels"):
        decode(data, max_pixels=4999)
    with pytest.raises(ImageError, match=f"at most {CEILING_PIXELS} pixels"):
        decode(png_claiming(10_000, 10_000), max_pixels=10**12)


def test_no_pixels_or_no_size_is_refused() -> None:
    with pytest.raises(ImageError, match="no pixels"):
        decode(png_claiming(0, 8))
    with pytest.raises(ImageError, match="no size"):
        decode(b"\xff\xd8\xff\xfe\x00\x04hi\xff\xd9")


@pytest.mark.parametrize("kind", FORMATS)
def test_half_an_image_is_refused_even_if_another_library_allows_it(
    kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8), format=kind)
    with pytest.raises(ImageError, match="truncated"):
        decode(data[: len(data) // 2])


HEADS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x20\0\0\0WEBPVP8X"]


def outcome(take: Callable[[bytes], object], data: bytes) -> object:
    """What came out, or the one line that says why nothing did; any other exception is the test's failure."""
    try:
        return take(data)
    except ImageError as error:
        return str(error)


@given(st.binary(max_size=400), st.sampled_from(HEADS))
@settings(max_examples=300, deadline=None)
def test_random_bytes_give_only_image_errors(tail: bytes, head: bytes) -> None:
    for take in (probe, decode):
        result = outcome(take, head + tail)
        assert not isinstance(result, str) or "\n" not in result


EXIF = "49492a00 08000000 0100 1201 0300 01000000 06000000 00000000"
"""Little-endian TIFF with one entry: orientation 6."""

PICTURES = {
    "jpeg": encode(scene(64, 48)),
    "png": encode(scene(64, 48), format="png"),
    "palette": saved(Image.fromarray(scene(64, 48)).convert("P"), "PNG"),
    "webp": encode(scene(64, 48), format="webp"),
    "lossless": saved(Image.fromarray(scene(64, 48)).convert("RGBA"), "WEBP", lossless=True),
    "exif": saved(Image.fromarray(scene(64, 48)), "JPEG", exif=b"Exif\0\0" + bytes.fromhex(EXIF)),
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.sampled_from(sorted(PICTURES)), st.data())
@settings(max_examples=500, deadline=None)
def test_damaged_images_give_pixels_or_an_image_error(name: str, draw: st.DataObject) -> None:
    data = bytearray(PICTURES[name])
    for _ in range(draw.draw(st.integers(0, 4), label="flips")):
        data[draw.draw(st.integers(0, len(data) - 1), label="at")] ^= 1 << draw.draw(st.integers(0, 7), label="bit")
    cut = draw.draw(st.integers(0, len(data)) | st.just(len(data)), label="cut")
    result = outcome(decode, bytes(data[:cut]))
    if isinstance(result, np.ndarray):
        images.check(result)
    else:
        assert "\n" not in str(result)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        "pixels",
    ],
)
def test_only_rgb_bytes_are_encoded(wrong: Pixels) -> None:
    with pytest.raises(ImageError, match=r"expected a uint8 array"):
        encode(wrong)
    with pytest.raises(ImageError, match=r"expected a uint8 array"):
        crop(wrong, (0, 0, 1, 1))


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(ImageError, match="quality"):
        encode(scene(), quality=0)
    with pytest.raises(ImageError, match="no format we write"):
        encode(scene(), format="tiff")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="cannot be written as WEBP"):
        encode(np.zeros((1, 20_000, 3), np.uint8), format="webp")
    with pytest.raises(ImageError, match="cannot be written as JPEG"):
        encode(np.zeros((1, 70_000, 3), np.uint8))


def test_a_crop_is_clipped_and_holds_every_pixel_it_touches() -> None:
    image = scene()
    assert np.array_equal(crop(image, (2, 3, 5, 4)), image[3:7, 2:7])
    assert np.array_equal(crop(image, (1.9, 2.9, 0.2, 0.2)), image[2:4, 1:3])
    assert np.array_equal(crop(image, (-50, -50, 500, 500)), image)
    assert np.array_equal(crop(image, (39.5, 23.5, 9, 9)), image[23:, 39:])


@pytest.mark.parametrize(
    "box", [(40, 0, 5, 5), (0, 0, 0, 5), (5, 5, -2, 2), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)]
)
def test_an_empty_crop_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ImageError, match=r"holds no pixel .*40x24"):
        crop(scene(), box)


def test_a_crop_is_a_copy_that_a_redactor_may_write_to() -> None:
    def blank(pixels: Pixels) -> Pixels:
        pixels[:] = 0
        return pixels

    hook: Redactor = blank
    image = scene()
    before = image.copy()
    assert not hook(crop(image, (0, 0, 10, 10))).any()
    assert np.array_equal(image, before)
