"""Messages as bytes: CBOR with a size limit, a depth limit and strict types on the way in.

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
MAX_DEPTH = 32
CONTENT_TYPE = "application/cbor"

M = TypeVar("M", bound=BaseModel)


def encode(message: BaseModel, *, limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """The message as CBOR.

    :raises MessageTooLarge: over `limit` bytes
    """
    data = cbor2.dumps(message.model_dump(by_alias=True, exclude_defaults=True), canonical=True)
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
    :raises MessageError: not CBOR, nested too deep, bytes left over, or not a `kind`
    """
    if len(data) > limit:
        raise MessageTooLarge("a message is too large", expected=f"at most {limit} bytes", got=str(len(data)))
    value = _loads(data)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the message"
        raise MessageError(f"not a {kind.__name__}: {where}: {first['msg']}") from None


def _loads(data: bytes) -> Any:
    stream = BytesIO(data)
    decoder = cbor2.CBORDecoder(stream, max_depth=MAX_DEPTH, allow_duplicate_keys=False, allow_indefinite=False)
    try:
        value = decoder.decode()
    except Exception as error:  # cbor2 raises its own tree, and ValueError, OverflowError, RecursionError, MemoryError
        raise MessageError(f"not CBOR: {str(error)[:120] or type(error).__name__}") from None
    if stream.tell() != len(data):
        raise MessageError("bytes are left over after the message")
    _check_plain(value, MAX_DEPTH)
    return value


def _check_plain(value: Any, left: int) -> None:
    """Dates, sets, big numbers, shared references and NaN are no part of the protocol."""
    if left == 0:
        raise MessageError("a message is nested too deep", expected=f"at most {MAX_DEPTH} levels")
    match value:
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise MessageError("a key is not text", got=type(key).__name__)
                _check_plain(item, left - 1)
        case list():
            for item in value:
                _check_plain(item, left - 1)
        case int() if abs(value) < 1 << 63:
            pass
        case float() if math.isfinite(value):
            pass
        case None | bool() | str() | bytes():
            pass
        case _:
            raise MessageError("a value is not plain", expected="text, bytes, finite numbers", got=type(value).__name__)
