"""What the API refuses, with the status of each error, in one JSON shape:

    {"error": {"reason": "unknown-function", "message": ..., "what": ..., "expected": ..., "got": ..., "todo": ...}}

`message` is the whole sentence; the parts stand beside it for machines.  Never a traceback.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from dicem_shared.errors import (
    BlobMissing,
    CallTimeout,
    DicemError,
    ImageError,
    InvalidCall,
    MessageError,
    MessageTooLarge,
    OutOfDeviceMemory,
    Overloaded,
    SiteUnavailable,
    UnknownFunction,
)

from ..store.database import StoreUnavailable

STORE_RETRY_S: Final = 5.0
SHOWN: Final = 200
"""Characters of what was got that are told."""
MAX_TEXT: Final = 2000
"""Characters of each part of an error."""


class Unauthorised(DicemError):
    """The token is missing or wrong."""

    reason = "unauthorised"


class Forbidden(DicemError):
    """The token is known, and has not the role that this needs."""

    reason = "forbidden"


class RateLimited(DicemError):
    """Too many requests of one caller; try again after `retry_after_s` seconds."""

    reason = "rate-limited"

    def __init__(self, what: str, *, retry_after_s: float, expected: str = "") -> None:
        self.retry_after_s = retry_after_s
        super().__init__(what, expected=expected, todo=f"Try again in {retry_after_s:.2g} s.")


class InvalidQuery(DicemError):
    """A parameter of the address is wrong: a filter, a limit, a cursor."""

    reason = "invalid-query"


class NotFound(DicemError):
    """Nothing of that id is stored."""

    reason = "not-found"


class BodyTimeout(DicemError):
    """The body did not come in time."""

    reason = "body-timeout"


class CallerGone(DicemError):
    """Who asked has hung up; nobody reads this."""

    reason = "caller-gone"


class NotReady(DicemError):
    """The cloud is up and cannot serve yet, or not any more."""

    reason = "not-ready"


STATUS: Final[tuple[tuple[type[DicemError], int], ...]] = (
    (Unauthorised, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (UnknownFunction, 404),
    (BodyTimeout, 408),
    (BlobMissing, 409),
    (MessageTooLarge, 413),
    (InvalidQuery, 422),
    (InvalidCall, 422),
    (RateLimited, 429),
    (CallerGone, 499),
    (ImageError, 400),
    (MessageError, 400),
    (NotReady, 503),
    (Overloaded, 503),
    (SiteUnavailable, 503),
    (StoreUnavailable, 503),
    (CallTimeout, 504),
    (OutOfDeviceMemory, 507),  # not 503: the same call will not fit later either, so a retry is no use
)
"""The first that fits; anything else is 500."""


class ErrorDetail(BaseModel):
    """Why there is no answer."""

    reason: str
    """a stable word for it, the same as in a reply over MQTT"""
    message: str
    """the whole sentence"""
    what: str
    expected: str = ""
    got: str = ""
    todo: str = ""


class ErrorBody(BaseModel):
    """Every answer that is not 2xx."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "reason": "unknown-function",
                        "message": "this cloud serves no function 'blib2' (expected blip2, depth). Did you mean blip2?",
                        "what": "this cloud serves no function 'blib2'",
                        "expected": "blip2, depth",
                        "got": "",
                        "todo": "Did you mean blip2?",
                    }
                }
            ]
        }
    )
    error: ErrorDetail


def add_handlers(app: FastAPI) -> None:
    """Have every error of `app` answered in our shape."""
    app.add_exception_handler(DicemError, _dicem_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)


def response(error: DicemError, request: Request | None = None) -> JSONResponse:
    """The answer to what ended in `error`.  The request, where there is one, remembers why for the metrics."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    headers = {}
    if isinstance(error, Unauthorised):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded | RateLimited | StoreUnavailable):
        seconds = STORE_RETRY_S if isinstance(error, StoreUnavailable) else error.retry_after_s
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return _response(error, status, headers, request)


def _dicem_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DicemError)
    return response(error, request)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI itself refuses."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "header"))
    got = repr(first.get("input"))[:SHOWN]
    return response(InvalidQuery(f"{where}: {first['msg']}", got=got, todo="See /v1/openapi.json."), request)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the router itself refuses: no such path, or another method."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path[:SHOWN]}: {str(error.detail).lower()}"
    refused = DicemError(what, todo="See /v1/openapi.json.")
    return _response(refused, error.status_code, dict(error.headers or {}), request)


def _defect(request: Request, error: Exception) -> JSONResponse:
    """A mistake of ours; the server logs it."""
    return response(DicemError("the cloud failed", todo="Its log says more."), request)


def _response(
    error: DicemError, status: int, headers: Mapping[str, str], request: Request | None
) -> JSONResponse:  # fmt: skip
    if request is not None:
        request.scope["dicem.refused"] = error.reason
    detail = ErrorDetail(
        reason=error.reason,
        message=_text(str(error)),
        what=_text(error.what),
        expected=_text(error.expected),
        got=_text(error.got),
        todo=_text(error.todo),
    )
    return JSONResponse(ErrorBody(error=detail).model_dump(), status, dict(headers))


def _text(value: str) -> str:
    """What can be sent; an error may quote anything."""
    return value[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()
