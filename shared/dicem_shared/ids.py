"""Names that are the same after a crash, in a replay and on another machine."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import cbor2

from .types import Answer, BlobId


def blob_id(data: bytes) -> BlobId:
    """SHA-256 of an encoded image."""
    return hashlib.sha256(data).hexdigest()


def digest(*parts: Any) -> str:
    """32 hex digits over any plain values, independent of dict order (canonical CBOR)."""
    return hashlib.sha256(cbor2.dumps(parts, canonical=True)).hexdigest()[:32]


def call_id(
    *, vehicle: str, camera: str, frame: str, program: str, function: str, params: Any, at: str, occurrence: int
) -> str:
    """The idempotency key of a call.

    `frame` is the frame's blob id; `at` is the call site and iteration path where the compiler gave one, else empty.
    What a call site cannot say, its content does: two calls of the same function with the same arguments in one run
    differ only by `occurrence`, and they are interchangeable.
    """
    return digest("call", vehicle, camera, frame, program, function, params, at, occurrence)


def answer_id(*, survey: str, vehicle: str, camera: str, frame: str, sequence: int, program: str) -> str:
    """One answer a program, frame (its blob id; a vehicle that starts again counts from 0 anew) and survey."""
    return digest("answer", survey, vehicle, camera, frame, sequence, program)


def traceparent(answer: str) -> str:
    """The W3C trace context of every call that is made for an answer: its id is the trace's, so that who has one finds
    the other."""
    return f"00-{answer}-{span_of(answer)}-01"


def span_of(answer: str) -> str:
    """The id of the span that holds all that is done for an answer: 16 hex digits."""
    return digest("span", answer)[:16]


_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})\Z")


def parse_traceparent(text: str) -> tuple[str, str, int] | None:
    """Trace id, span id (hex) and flags of a W3C trace context; None: it is none."""
    found = _TRACEPARENT.match(text)
    return (found[1], found[2], int(found[3], 16)) if found else None


def observation_id(answer: str, box: tuple[int, int, int, int]) -> str:
    """One observation a box of an answer."""
    return digest("observation", answer, list(box))


def answer_schema() -> dict[str, Any]:
    """The published JSON Schema of an answer."""
    schema = Answer.model_json_schema(by_alias=True, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://dicem.io/answer-1.json",
        **schema,
    }
