"""The routes of those who look after the process: does it live, can it serve, how does it fare."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ..metrics import Meter
from .doors import Doors
from .errors import NotReady
from .functions import Calls
from .models import Health, Readiness
from .settings import MetricsConfig

Checks = Mapping[str, Callable[[], bool]]
"""What must hold for calls to be served, by name."""


def health_routes(service: Calls, checks: Checks) -> APIRouter:
    """`/healthz` and `/readyz`, for everybody."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> Health:
        """That this process answers, and what it serves."""
        return Health(functions=sorted(service.functions))

    @router.get("/readyz")
    def readyz() -> Readiness:
        """That calls can be served: 503 while something that they need is not there."""
        found = {"functions": bool(service.functions)} | {name: check() for name, check in checks.items()}
        missing = [name for name, holds in found.items() if not holds]
        if missing:
            raise NotReady("calls cannot be served now", expected=", ".join(found), got=f"not {', not '.join(missing)}")
        return Readiness(checks=found)

    return router


def metrics_route(meter: Meter, doors: Doors, config: MetricsConfig) -> APIRouter:
    """`/metrics`, for Prometheus."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/metrics",
        dependencies=[] if config.public else [Depends(doors.to("read"))],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"example": 'dicem_queue_depth{function="blip2"} 3.0\n'}}}},
    )
    def metrics(request: Request) -> Response:
        """Everything that is counted, as Prometheus reads it."""
        text, kind = meter.text(request.headers.get("accept", ""))
        return Response(text, media_type=kind)

    return router
