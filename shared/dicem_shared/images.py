"""Images in and out: the only place where dicem decodes or encodes one.

Bytes from a network are hostile until shown otherwise.  Format and size are read here from the first bytes, and
compared with the limit, before a decoder allocates anything; then Pillow decodes, with the one format that was found.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from .errors import ImageError

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""uint8 (height, width, 3), red green blue, top row first."""

Format: TypeAlias = Literal["jpeg", "png", "webp"]

Redactor: TypeAlias = Callable[[Pixels], Pixels]
"""Blurs what must not leave (faces, plates); runs on a crop before it is encoded."""

NETWORK_MAX_PIXELS = 4_000_000
"""What one image from the network may hold unless told otherwise."""

CEILING_PIXELS = 64_000_000
"""What no `max_pixels` can raise: 192 MB decoded, and below the size at which Pillow starts to warn."""

# What Pillow finds odd about an EXIF block is no news to whoever reads a log; what matters becomes an ImageError.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_KINDS = "a JPEG, PNG or WebP image"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def probe(data: bytes) -> tuple[Format, int, int]:
    """Format, width and height (pixels, as stored: before EXIF orientation), read from the header alone.

    :raises ImageError: not JPEG, PNG or WebP, or the header is cut off or damaged.
    """
    if not data:
        raise ImageError("the image is empty", expected=_KINDS, got="0 bytes")
    kind: Format
    try:
        if data.startswith(b"\xff\xd8\xff"):
            kind, (width, height) = "jpeg", _jpeg_size(data)
        elif data.startswith(_PNG_SIGNATURE):
            kind, (width, height) = "png", _png_size(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            kind, (width, height) = "webp", _webp_size(data)
        else:
            raise ImageError(
                "this is no image we accept",
                expected=_KINDS,
                got=f"{len(data)} bytes that begin {data[:8].hex(' ')}",
                todo="Convert it first.",
            )
    except (struct.error, IndexError):
        raise ImageError("the image is truncated", expected="a whole header", got=f"{len(data)} bytes") from None
    if width < 1 or height < 1:
        raise ImageError("the image has no pixels", got=f"{width}x{height}")
    return kind, width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the segments to the start-of-frame marker (ITU T.81, B.1.1 and B.2.2)."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD7:  # these carry no length
            at += 2
        elif marker in (0xD9, 0xDA):  # pixels, or the end, and no size so far
            break
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + max(2, length)
    raise ImageError("the JPEG says no size", expected="a start-of-frame marker", todo="Save it again.")


def _png_size(data: bytes) -> tuple[int, int]:
    """Width and height of IHDR, which must come first (PNG 11.2.2)."""
    length, name, width, height = struct.unpack_from(">I4sII", data, len(_PNG_SIGNATURE))
    if name != b"IHDR" or length != 13:
        raise ImageError("the PNG is damaged", expected="an IHDR chunk first", got=repr(name), todo="Save it again.")
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    """Canvas of the extended, lossless or lossy form (RFC 9649, 2.5 to 2.7)."""
    (riff,) = struct.unpack_from("<I", data, 4)
    if len(data) < riff + 8:
        raise ImageError("the image is truncated", expected=f"{riff + 8} bytes", got=str(len(data)))
    form = data[12:16]
    if form == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1
    if form == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ImageError("the WebP is damaged", expected="a VP8, VP8L or VP8X chunk", got=repr(form), todo="Save it again.")


def decode(data: bytes, *, max_pixels: int = NETWORK_MAX_PIXELS) -> Pixels:
    """Pixels (H, W, 3) of one still image: upright by its EXIF, 8 bits a channel, what is transparent made black.

    A deeper image keeps its upper 8 bits.  `max_pixels` bounds width times height and is itself bounded by
    `CEILING_PIXELS`.

    :raises ImageError: another format, too large, truncated, damaged or animated.  Nothing else comes out.
    """
    kind, width, height = probe(data)
    limit = min(max_pixels, CEILING_PIXELS)
    if width * height > limit:
        raise ImageError(
            "the image is too large",
            expected=f"at most {limit} pixels",
            got=f"{width}x{height} = {width * height}",
            todo="Scale it down, or raise the limit of this camera.",
        )
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # a global: another library may have turned it on
    try:
        with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
            if image.size != (width, height):
                raise ImageError("the image is damaged", expected=f"{width}x{height}", got="{}x{}".format(*image.size))
            if kind != "jpeg" and getattr(image, "is_animated", False):
                raise ImageError("the image is animated", expected="one still image", todo="Send frame by frame.")
            image.load()
            return _upright_rgb(image)
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly anything on hostile bytes, zlib.error and IndexError included
        raise ImageError(
            f"the {kind.upper()} is truncated or damaged", got=_one_line(error), todo="Save or send it again."
        ) from error


def _upright_rgb(image: Image.Image) -> Pixels:
    """Turn by EXIF orientation and bring every mode to 8-bit RGB."""
    turn = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion would clip at 255
        grey = (np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return np.array(image.convert("RGB"), dtype=np.uint8)


def encode(image: Pixels, *, format: Format = "jpeg", quality: int = 90) -> bytes:
    """One encoded image; the same pixels give the same bytes.  `quality` is 1 to 100; PNG is lossless and ignores it.

    :raises ImageError: not uint8 (H, W, 3), or larger than the format can hold.
    """
    check(image)
    if format not in ("jpeg", "png", "webp"):
        raise ImageError("this is no format we write", expected="jpeg, png or webp", got=repr(format))
    if not 1 <= quality <= 100:
        raise ImageError("the quality is out of bounds", expected="1 to 100", got=str(quality))
    out = io.BytesIO()
    try:
        Image.fromarray(image).save(out, format=format.upper(), **({} if format == "png" else {"quality": quality}))
    except (OSError, ValueError) as error:
        height, width, _ = image.shape
        raise ImageError(
            f"an image of {width}x{height} cannot be written as {format.upper()}",
            got=_one_line(error),
            todo="Scale it down, or use another format.",
        ) from error
    return out.getvalue()


def crop(image: Pixels, box: tuple[float, float, float, float]) -> Pixels:
    """A copy of the pixels under `box` (x, y of the top-left corner, width, height; pixels), clipped to the image.

    Pixels that the box only touches are included, so a crop is never smaller than what was asked for.

    :raises ImageError: the box holds no pixel of the image.
    """
    check(image)
    rows, columns, _ = image.shape
    x, y, width, height = box
    if all(map(math.isfinite, box)) and width > 0 and height > 0:
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        right, bottom = min(columns, math.ceil(x + width)), min(rows, math.ceil(y + height))
        if left < right and top < bottom:
            return image[top:bottom, left:right].copy()
    raise ImageError("the box holds no pixel", expected=f"a part of {columns}x{rows} pixels", got=str(tuple(box)))


def check(image: Pixels) -> None:
    """Pass for `Pixels`, raise ImageError for any other object.

    :raises ImageError: not a uint8 array (H, W, 3), or empty.
    """
    wanted = "a uint8 array (height, width, 3)"
    if not isinstance(image, np.ndarray):
        raise ImageError("this is no image", expected=wanted, got=type(image).__name__)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError("this is no image", expected=wanted, got=f"{image.dtype} {image.shape}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
