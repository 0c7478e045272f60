"""The HTTP API: list the functions, and call them with an image in a form or in JSON.

curl http://127.0.0.1:8080/v1/functions
curl -F image=@crop.jpg -F query="What is it made of?" http://127.0.0.1:8080/v1/functions/blip2:call
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from dicem_shared import images, types
from dicem_shared.clock import Clock
from dicem_shared.errors import (
    BlobMissing,
    CallTimeout,
    DicemError,
    ImageError,
    InvalidCall,
    MessageError,
    MessageTooLarge,
    Overloaded,
    UnknownFunction,
)
from dicem_shared.functions import FunctionSpec
from dicem_shared.ids import blob_id
from dicem_shared.types import FrameInfo, ShippedBlob

from .config import CloudConfig
from .described import resource
from .gateway import Gateway
from .service import Service

HTTP_VEHICLE = "_http"
"""As whom the callers of this API are known to the gateway."""
DEADLINE_S = 60.0
MAX_FIELDS = 128
"""Fields of one form; a list is a field that repeats."""
STATUS: tuple[tuple[type[DicemError], int], ...] = (
    (UnknownFunction, 404),
    (InvalidCall, 422),
    (CallTimeout, 504),
    (Overloaded, 503),
    (ImageError, 400),
    (MessageTooLarge, 413),
    (BlobMissing, 409),
    (MessageError, 400),
)
"""The first that fits; anything else is 500."""


class Unauthorised(DicemError):
    """The token is missing or wrong."""


def create_app(gateway: Gateway | Service, config: CloudConfig) -> FastAPI:
    """The API in front of `gateway`.

    :raises ConfigError: the environment variable that must hold the token is not set
    """
    token = config.http.token()
    max_body = int(config.http.max_body_mb * 1_000_000)

    def authorised(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Unauthorised("the token is missing or wrong", expected="Authorization: Bearer TOKEN")

    app = FastAPI(title="dicem cloud", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")
    app.add_exception_handler(DicemError, _dicem_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)
    guarded = [Depends(authorised)]

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        """That this process answers, and what it serves."""
        return {"status": "ok", "functions": sorted(gateway.functions)}

    @app.get("/v1/functions", dependencies=guarded)
    def functions() -> dict[str, Any]:
        """Every function, as Kubernetes lists its resources."""
        items = [resource(one) for _, one in sorted(gateway.functions.items())]
        return {"apiVersion": "v1", "kind": "List", "items": items}

    @app.get("/v1/functions/{name}", dependencies=guarded)
    def function(name: str) -> dict[str, Any]:
        """One function: documentation, schemas, model."""
        return resource(gateway.function(name))

    @app.post("/v1/functions/{name}:call", dependencies=guarded)
    async def call(name: str, request: Request) -> dict[str, Any]:
        """Call a function: multipart form (an image file and the other parameters as fields) or JSON (base64)."""
        spec = gateway.function(name).spec
        params = await _params(request, spec, max_body)
        prepared = await run_in_threadpool(_request, spec, params, gateway.clock, config.limits.max_pixels)
        reply = await run_in_threadpool(gateway.call, prepared, vehicle=HTTP_VEHICLE)
        model = reply.model.model_dump() if reply.model else None
        return {"result": reply.result, "model": model, "compute_s": reply.compute_s}

    return app


async def _params(request: Request, spec: FunctionSpec, max_body: int) -> dict[str, Any]:
    """The parameters in a request's body; images as bytes.

    :raises DicemError: the body is too large, of another type, or damaged
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "multipart/form-data"):
        raise MessageError(
            "the body is of a type that is not read here",
            expected="multipart/form-data or application/json",
            got=repr(kind[:64]),
        )
    body = await _body(request, max_body)
    if kind == "application/json":
        return _from_json(body, spec)
    return await _from_form(request.headers, body, spec)


async def _body(request: Request, limit: int) -> bytes:
    """The body, given up as soon as it is over the limit.

    :raises MessageTooLarge: over `limit` bytes
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise MessageTooLarge(
                "the body is too large", expected=f"at most {limit} bytes", todo="Send a smaller image."
            )
    return bytes(body)


def _from_json(body: bytes, spec: FunctionSpec) -> dict[str, Any]:
    try:
        params = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MessageError("the body is no JSON", got=str(error)[:120]) from None
    if not isinstance(params, dict):
        raise MessageError("the body is no JSON object", got=type(params).__name__)
    for name in spec.image_parameters:
        if params.get(name) is not None:
            params[name] = _from_base64(name, params[name])
    return params


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


def _request(spec: FunctionSpec, params: dict[str, Any], clock: Clock, max_pixels: int) -> types.Request:
    """The call as the gateway knows calls: each image is a frame of its own, without pose.

    :raises ImageError: an image cannot be read
    """
    now = clock.utc()
    frame = FrameInfo(camera="http", sequence=0, t_utc=now, blob=blob_id(b""), width=1, height=1)
    shipped: list[ShippedBlob] = []
    for name in spec.image_parameters:
        data = params.get(name)
        if isinstance(data, bytes):
            height, width, _ = images.decode(data, max_pixels=max_pixels).shape
            frame = frame.model_copy(update={"blob": blob_id(data), "width": width, "height": height})
            shipped.append(ShippedBlob(blob=frame.blob, source=frame.handle, data=data))
            params = params | {name: frame.handle.model_dump()}
    return types.Request(
        call_id=uuid.uuid4().hex,
        vehicle=HTTP_VEHICLE,
        program="",
        frame=frame,
        function=spec.name,
        params=params,
        blobs=tuple(shipped),
        deadline_utc=now + DEADLINE_S,
        reply_topic="",
    )


def _dicem_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DicemError)
    if isinstance(error, Unauthorised):
        return _error(error, 401, {"WWW-Authenticate": "Bearer"})
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    headers = {"Retry-After": str(max(1, round(error.retry_after_s)))} if isinstance(error, Overloaded) else {}
    return _error(error, status, headers)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the router itself refuses: no such path, or another method."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
    return _error(DicemError(what, todo="See /v1/openapi.json."), error.status_code, dict(error.headers or {}))


def _defect(request: Request, error: Exception) -> JSONResponse:
    """A mistake of ours; the server logs it."""
    return _error(DicemError("the cloud failed", todo="Its log says more."), 500, {})


def _error(error: DicemError, status: int, headers: Mapping[str, str]) -> JSONResponse:
    body = {"what": error.what, "expected": error.expected, "got": error.got, "todo": error.todo}
    return JSONResponse({"error": body}, status, dict(headers))
