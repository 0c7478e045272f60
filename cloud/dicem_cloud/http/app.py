"""The HTTP API, put together.

    curl http://127.0.0.1:8080/v1/functions
    curl -F image=@crop.jpg -F query="What is it made of?" http://127.0.0.1:8080/v1/functions/blip2:call

docs/http.md says what a caller may expect; `/v1/openapi.json` says it to machines.
"""

from __future__ import annotations

from fastapi import FastAPI

from ..config import CloudConfig
from ..metrics import HttpMeter, Meter
from .answers import record_routes
from .doors import Doors
from .errors import add_handlers
from .functions import Calls, function_routes
from .health import Checks, health_routes, metrics_route
from .limits import Rates
from .live import Live
from .openapi import describe
from .records import Records
from .tokens import Tokens


def create_app(
    service: Calls,
    config: CloudConfig,
    *,
    records: Records | None = None,
    meter: Meter | None = None,
    checks: Checks | None = None,
) -> FastAPI:
    """The API in front of `service`.

    `records`: what was answered; without them there are no routes for it.  `meter`: what `/metrics` shows; without it
    there is none.  `checks`: what else must hold for the cloud to be ready.  `app.state.live` is everybody who watches
    live answers: `notify` it of new ones, `close` it to end all streams.

    :raises ConfigError: an environment variable that must hold a token is not set
    """
    keys = config.http.token_keys()
    doors = Doors(Tokens(keys), Rates(keys, config.http.rate, service.clock))
    app = FastAPI(
        title="dicem cloud",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    add_handlers(app)
    app.include_router(health_routes(service, checks or {}))
    app.include_router(function_routes(service, doors, config.http, config.limits.max_pixels))
    if records is not None:
        live = Live(records.answers, max_watchers=config.http.max_live, heartbeat_s=config.http.heartbeat_s)
        app.state.live = live
        app.include_router(record_routes(records, live, doors))
        if meter is not None:
            meter.gauge("http_watchers", "Streams of live answers", lambda: live.watchers)
    if meter is not None:
        app.include_router(metrics_route(meter, doors, config.metrics))
        app.add_middleware(HttpMeter, meter=meter, seconds=service.clock.monotonic)
    describe(app, service.functions)
    return app
