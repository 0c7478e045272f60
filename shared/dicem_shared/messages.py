"""Messages as bytes: CBOR with a size limit, a depth limit and plain values only, both ways.

CBOR (RFC 8949) because images travel as bytes, never as base64, and because `cbor2` is a kept library.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any, TypeVar

import cbor2
from pydantic import BaseModel, ValidationError

from .errors import MessageError, MessageTooLarge

MAX_MESSAGE_BYTES = 128_000
"""Some brokers close the connection above 128 kB."""
MAX_DEPTH = 40
"""A program's value may nest 32 deep; the envelope takes the rest."""
CONTENT_TYPE = "application/cbor"
_PLAIN = "text, bytes, finite numbers of 64 bits"

M = TypeVar("M", bound=BaseModel)


def encode(message: BaseModel, *, limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """The message as CBOR.

    :raises MessageTooLarge: over `limit` bytes
    :raises MessageError: it holds what `decode` would refuse
    """
    value = message.model_dump(by_alias=True, exclude_defaults=True)
    _check_plain(value, MAX_DEPTH)
    try:
        data = cbor2.dumps(value, canonical=True)
    except (ValueError, cbor2.CBOREncodeError) as cause:  # half of a surrogate pair
        raise MessageError(f"a {type(message).__name__} cannot be sent", got=_one_line(str(cause))) from None
    if len(data) > limit:
        raise MessageTooLarge(
            f"a {type(message).__name__} of {len(data)} bytes does not go in one message",
            expected=f"at most {limit} bytes",
            todo="Lower the crop's size or quality, or raise limits.message_bytes on both ends and the broker.",
        )
    return data


def decode(kind: type[M], data: bytes, *, limit: int = MAX_MESSAGE_BYTES) -> M:
    """The message in `data`.

    :raises MessageTooLarge: over `limit` bytes
    :raises MessageError: not CBOR, not plain, nested too deep, bytes left over, or not a `kind`
    """
    if len(data) > limit:
        raise MessageTooLarge("a message is too large", expected=f"at most {limit} bytes", got=str(len(data)))
    value = _loads(data)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the message"
        raise MessageError(f"not a {kind.__name__}: {_one_line(where)}: {first['msg']}") from None


def _loads(data: bytes) -> Any:
    _refuse_tags(data)
    stream = BytesIO(data)
    decoder = cbor2.CBORDecoder(stream, max_depth=MAX_DEPTH, allow_duplicate_keys=False, allow_indefinite=False)
    try:
        value = decoder.decode()
    except Exception as error:  # cbor2 raises its own tree, and ValueError, OverflowError, RecursionError, MemoryError
        raise MessageError(f"not CBOR: {_one_line(str(error)) or type(error).__name__}") from None
    if stream.tell() != len(data):
        raise MessageError("bytes are left over after the message")
    _check_plain(value, MAX_DEPTH)
    return value


def _refuse_tags(data: bytes) -> None:
    """No tag (major type 6) is part of the protocol, and none may reach the decoder.

    Tags make it compile patterns and share containers: 300 bytes of the latter unfold into more values than there is
    time for.  Item heads follow each other in the bytes (RFC 8949, 3), so one flat walk sees them all.
    """
    at = 0
    while at < len(data):
        major, low = data[at] >> 5, data[at] & 31
        if major == 6:
            raise MessageError("a value is not plain", expected=_PLAIN, got="a CBOR tag")
        more = 1 << (low - 24) if 24 <= low <= 27 else 0
        length = int.from_bytes(data[at + 1 : at + 1 + more], "big") if more else low
        at += 1 + more + (length if major in (2, 3) and low <= 27 else 0)


def _one_line(text: str) -> str:
    """What a stranger wrote, fit for a log."""
    return "".join(c if c.isprintable() else "?" for c in text[:120])


def _check_plain(value: Any, left: int) -> None:
    """Dates, sets, big numbers and NaN are no part of the protocol."""
    if left == 0:
        raise MessageError("a message is nested too deep", expected=f"at most {MAX_DEPTH} levels")
    match value:
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise MessageError("a key is not text", got=type(key).__name__)
                _check_plain(item, left - 1)
        case list() | tuple():
            for item in value:
                _check_plain(item, left - 1)
        case int() if abs(value) < 1 << 63:
            pass
        case float() if math.isfinite(value):
            pass
        case None | bool() | str() | bytes():
            pass
        case _:
            got = repr(value) if isinstance(value, float) else type(value).__name__
            raise MessageError("a value is not plain", expected=_PLAIN, got=got)
