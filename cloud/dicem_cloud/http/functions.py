"""The routes of functions: list them, read one, call one."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from dicem_shared import images, types
from dicem_shared.clock import Clock
from dicem_shared.errors import CallTimeout, Overloaded
from dicem_shared.functions import FunctionSpec
from dicem_shared.ids import blob_id, digest, parse_traceparent
from dicem_shared.implementations import Implementation
from dicem_shared.types import FrameInfo, Reply, ShippedBlob

from ..described import resource
from .body import BodyLimits, read_body, read_params
from .doors import Doors
from .errors import CallerGone, InvalidQuery
from .limits import BUSY_RETRY_S, Room
from .models import CallResult, FunctionList, FunctionResource
from .settings import HttpConfig
from .tokens import Caller

GRACE_S: Final = 5.0
"""So long after its deadline a call that is being computed may still end."""


MIN_UNPACKING: Final = 4
"""Bodies that are unpacked at once, or as many as there are processors: pixels and values take many times the room of
what came."""


class Calls(Protocol):
    """What the routes need of the service."""

    @property
    def functions(self) -> Mapping[str, Implementation]: ...
    @property
    def clock(self) -> Clock: ...
    def function(self, name: str) -> Implementation: ...
    def submit(self, request: types.Request, *, vehicle: str) -> Future[Reply]: ...


def function_routes(service: Calls, doors: Doors, config: HttpConfig, max_pixels: int) -> APIRouter:
    """See the module's text."""
    router = APIRouter(prefix="/v1/functions", tags=["functions"])
    known = Depends(doors.to("read", "call"))
    allowed = Depends(doors.to("call"))
    limits = BodyLimits(int(config.max_body_mb * 1_000_000), config.body_timeout_s)
    room = Room(int(config.max_bodies_mb * 1_000_000))
    unpacking = asyncio.Semaphore(max(MIN_UNPACKING, os.cpu_count() or 1))

    @router.get("", dependencies=[known], response_model=FunctionList, response_model_exclude_unset=True)
    def functions() -> dict[str, Any]:
        """Every function, as Kubernetes lists its resources."""
        items = [resource(one) for _, one in sorted(service.functions.items())]
        return {"apiVersion": "v1", "kind": "List", "items": items}

    @router.get("/{name}", dependencies=[known], response_model=FunctionResource, response_model_exclude_unset=True)
    def function(name: str) -> dict[str, Any]:
        """One function: documentation, schemas, model."""
        return resource(service.function(name))

    @router.post("/{name}:call", response_model=CallResult)
    async def call(
        name: str,
        request: Request,
        deadline_s: Annotated[float | None, Query(gt=0, allow_inf_nan=False, description="seconds from now")] = None,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=128)] = None,
        traceparent: Annotated[str, Header(max_length=256)] = "",
        caller: Caller = allowed,
    ) -> JSONResponse:
        """Call a function: a multipart form (an image file, the other parameters as fields) or JSON (images in base64).

        `Idempotency-Key`: the same call of the same caller with the same key is computed once and answered again.
        `traceparent` (W3C): the call's spans join that trace.
        """
        spec = service.function(name).spec
        seconds = config.call_timeout_s if deadline_s is None else deadline_s
        if seconds > config.call_timeout_s:
            expected = f"at most {config.call_timeout_s:g}"
            raise InvalidQuery("deadline_s is too long", expected=expected, got=f"{seconds:g}")
        with room.share() as share:
            body = await read_body(request, limits, share)
            async with unpacking:
                params = await read_params(request, spec, body)
                asked = _Asked(params, caller, seconds, idempotency_key, traceparent)
                future = await run_in_threadpool(_submit, service, spec, asked, max_pixels)
            del body, params, asked
        reply = await answered(future, request, seconds + GRACE_S)
        return JSONResponse(
            {
                "result": reply.result,
                "model": reply.model.model_dump() if reply.model else None,
                "compute_s": reply.compute_s,
                "queue_s": reply.queue_s,
                "price_usd": reply.price_usd,
                "cached": reply.cached,
                "call_id": reply.call_id,
            }
        )

    return router


class _Asked:
    """One call as it came."""

    def __init__(
        self, params: dict[str, Any], caller: Caller, seconds: float, key: str | None, traceparent: str
    ) -> None:  # fmt: skip
        self.params, self.caller, self.seconds, self.key = params, caller, seconds, key
        self.traceparent = traceparent if parse_traceparent(traceparent) else ""


def _submit(service: Calls, spec: FunctionSpec, asked: _Asked, max_pixels: int) -> Future[Reply]:
    """Hand the call over.  Not on an event loop: images are decoded, a store may be asked.

    :raises ImageError: an image cannot be read
    """
    return service.submit(_request(spec, asked, service.clock, max_pixels), vehicle=asked.caller.vehicle)


def _request(spec: FunctionSpec, asked: _Asked, clock: Clock, max_pixels: int) -> types.Request:
    """The call as the gateway knows calls: each image is a frame of its own, without pose.

    :raises ImageError: an image cannot be read
    """
    now, params = clock.utc(), asked.params
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
        call_id=digest("http", spec.name, asked.key, params) if asked.key else uuid.uuid4().hex,
        vehicle=asked.caller.vehicle,
        program="",
        frame=frame,
        function=spec.name,
        params=params,
        blobs=tuple(shipped),
        deadline_utc=now + asked.seconds,
        reply_topic="",
        traceparent=asked.traceparent,
    )


async def answered(future: Future[Reply], request: Request, timeout_s: float) -> Reply:
    """The reply.  If the caller hangs up before it comes, the call is taken out: nobody waits for it.

    :raises DicemError: why there is none
    """
    waiting = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((waiting, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        await run_in_threadpool(future.cancel)
        if gone.done():
            raise CallerGone("the caller hung up before the call ended")
        raise CallTimeout("the call took too long", expected=f"at most {timeout_s:g} s")
    except asyncio.CancelledError:
        future.cancel()
        if waiting.cancelled():  # the service's doing, not the server's
            raise Overloaded("the cloud is being stopped", retry_after_s=BUSY_RETRY_S) from None
        raise
    finally:
        gone.cancel()
        waiting.cancel()


async def _hung_up(request: Request) -> None:
    """Return when the connection is gone; the body has been read."""
    message = await request.receive()
    if message["type"] != "http.disconnect":  # a server that says more has nothing to say of that
        await asyncio.get_running_loop().create_future()
