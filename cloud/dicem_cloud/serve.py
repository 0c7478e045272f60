"""The cloud as a process: gateway, HTTP and, where a broker is configured, the MQTT worker."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from types import FrameType

import typer

from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.clock import Clock, SystemClock
from dicem_shared.demo import demo_notice
from dicem_shared.errors import ConfigError, MissingExtra
from dicem_shared.implementations import Implementation

from .config import CloudConfig
from .functions import build
from .gateway import Gateway
from .http.settings import HttpConfig
from .results import ResultStore
from .service import Service


def make_gateway(
    config: CloudConfig,
    clock: Clock,
    functions: Mapping[str, Implementation] | None = None,
    results: ResultStore | None = None,
) -> Gateway:
    """The gateway that a config describes, its models loaded.

    :param functions: from elsewhere, not built in this process
    :param results: shared with other gateways; left out: in memory
    :raises DicemError: a model is missing, damaged, or its backend is not installed
    """
    store = MemoryBlobStore(clock, max_bytes=int(config.blobs.max_mb * 1_000_000), max_age_s=config.blobs.max_age_s)
    return Gateway(
        build(config) if functions is None else functions,
        store,
        clock,
        prices=config.functions.prices,
        limits=config.limits,
        results=results,
    )


def serve(config: CloudConfig) -> None:
    """Serve until SIGINT or SIGTERM; then stop cleanly.

    :raises DicemError: something that is needed is missing: an extra, a model, a free port, the broker, the database
    """
    try:
        from .assembled import assembled
        from .http.server import Server
    except ImportError as error:
        raise MissingExtra(f"the HTTP API ({error.name})", "cloud") from None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)  # before models are loaded: a container's first process has no other
    config.http.token_keys()  # what the config promises is looked for before models are loaded
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(config.http))
        if notice := demo_notice(config.functions.models.values()):
            typer.echo(notice, err=True)
        cloud = stack.enter_context(assembled(config, SystemClock()))
        stack.enter_context(cloud.running())
        listener.listen()  # whoever reads the next line may connect at once
        typer.echo(_where(config, cloud.service), err=True)
        try:
            Server(cloud.app).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn has shut down by now and passes the signal on
            return


def _listen(config: HttpConfig) -> socket.socket:
    """The bound socket: a port that is taken is found before anything else is done."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {config.host} port {config.port}",
            got=error.strerror or str(error),
            todo="Choose another http.port or http.host in the config.",
        ) from None
    return listener


def _where(config: CloudConfig, service: Service) -> str:
    names = ", ".join(sorted(service.functions))
    host = f"[{config.http.host}]" if ":" in config.http.host else config.http.host
    mqtt = f" and mqtt://{config.broker.host}:{config.broker.port}" if config.broker else ""
    return f"dicem cloud serves {names} on http://{host}:{config.http.port}{mqtt}"


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds the stack, so that the worker says `stopped`; uvicorn passes the signal on when it is done."""
    raise SystemExit(0)
