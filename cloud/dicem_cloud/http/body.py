"""A request's body as the parameters of a function: a multipart form or JSON, images as bytes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from dicem_shared.errors import ImageError, MessageError, MessageTooLarge
from dicem_shared.functions import FunctionSpec

from .errors import BodyTimeout, CallerGone
from .limits import Share

MAX_FIELDS = 128
"""Fields of one form; a list is a field that repeats."""
MAX_VALUES = 200_000
"""Commas and brackets in a JSON body: each value takes many times the bytes that it came in."""
CHARSETS = (b"utf-8", b"utf8", b"us-ascii")
JSON, FORM = "application/json", "multipart/form-data"
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a line for each damaged body


@dataclass(frozen=True)
class BodyLimits:
    """What one body may be."""

    max_bytes: int
    timeout_s: float


async def read_body(request: Request, limits: BodyLimits, share: Share) -> bytes:
    """A request's body, of a type that `read_params` knows.

    :raises DicemError: it is too large, too slow or of another type, or there is no room for it now
    """
    kind = _kind(request.headers)
    if kind not in (JSON, FORM):
        raise MessageError(
            "the body is of a type that is not read here", expected=f"{FORM} or {JSON}", got=repr(kind[:64])
        )
    return await _body(request, limits, share)


async def read_params(request: Request, spec: FunctionSpec, body: bytes) -> dict[str, Any]:
    """The parameters in a request's body; images as bytes.

    :raises DicemError: it is damaged
    """
    if _kind(request.headers) == JSON:
        return await run_in_threadpool(_from_json, body, spec)
    return await _from_form(request.headers, body, spec)


def _kind(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request, limits: BodyLimits, share: Share) -> bytes:
    """The body, given up as soon as it is over the limit: by what it says of itself, or by what comes.

    :raises MessageTooLarge: over `limits.max_bytes`
    :raises BodyTimeout: it has not come within `limits.timeout_s`
    :raises CallerGone: the sender hung up halfway
    """
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdecimal() and len(told) < 20:
        _hold(int(told), limits, share)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.timeout_s):
            async for chunk in request.stream():
                _hold(len(body) + len(chunk), limits, share)
                body += chunk
    except TimeoutError:
        raise BodyTimeout(
            "the body did not come in time", expected=f"all of it within {limits.timeout_s:g} s", got=f"{len(body)} B"
        ) from None
    except ClientDisconnect:
        raise CallerGone("the caller hung up") from None
    return bytes(body)


def _hold(size: int, limits: BodyLimits, share: Share) -> None:
    if size > limits.max_bytes:
        raise MessageTooLarge(
            "the body is too large", expected=f"at most {limits.max_bytes} bytes", todo="Send a smaller image."
        )
    share.grow_to(size)


def _from_json(body: bytes, spec: FunctionSpec) -> dict[str, Any]:
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise MessageError("the body holds too many values", expected=f"at most {MAX_VALUES}")
    try:
        params = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MessageError("the body is no JSON", got=str(error)[:120]) from None
    if not isinstance(params, dict):
        raise MessageError("the body is no JSON object", got=type(params).__name__)
    if b"\\u" in body and not _is_text(params):
        raise MessageError("the body holds half a character", expected="whole UTF-16 surrogate pairs after \\u")
    for name in spec.image_parameters:
        if params.get(name) is not None:
            params[name] = _from_base64(name, params[name])
    return params


def _is_text(value: Any) -> bool:
    """Whether all of it can be written as UTF-8: JSON lets half a character through."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _from_base64(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise ImageError(f"{name} is no image", expected="a JPEG, PNG or WebP file in base64", got=type(value).__name__)


async def _from_form(headers: Headers, body: bytes, spec: FunctionSpec) -> dict[str, Any]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    _, options = parse_options_header(headers["content-type"])
    charset = options.get(b"charset", b"utf-8").lower()
    if charset not in CHARSETS:  # Python knows some that are no text, and some that are slow
        got = repr(charset[:32])
        raise MessageError("the form is in a character set that is not read here", expected="utf-8", got=got)
    try:
        form = await MultiPartParser(
            headers, stream(), max_files=len(spec.image_parameters) + 1, max_fields=MAX_FIELDS, max_part_size=len(body)
        ).parse()
    except (MultiPartException, KeyError) as error:
        raise MessageError("the body is no multipart form", got=str(getattr(error, "message", error))[:120]) from None
    try:
        return {name: await _form_value(form, name, spec) for name in form}
    finally:
        await form.close()


async def _form_value(form: FormData, name: str, spec: FunctionSpec) -> Any:
    """Bytes for an image, a list where the function takes one (the field repeats), else the text."""
    values = form.getlist(name)
    if name in spec.image_parameters:
        if not isinstance(values[0], UploadFile):
            raise ImageError(f"{name} is no file", expected="a JPEG, PNG or WebP file", todo=f"curl -F {name}=@FILE")
        return await values[0].read()
    texts = [f"<file {value.filename}>" if isinstance(value, UploadFile) else value for value in values]
    return texts if _is_list(spec.parameters_schema["properties"].get(name, {})) else texts[-1]


def _is_list(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "array" or any(_is_list(option) for option in schema.get("anyOf", ()))
