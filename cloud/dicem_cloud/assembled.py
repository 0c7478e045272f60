"""All parts of a cloud, made from its config and put together: what `dicem cloud` runs.

with assembled(config, SystemClock()) as cloud, cloud.running():
    ...
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from dicem_shared.clock import Clock

from .backend import Backend, backend
from .config import CloudConfig
from .http.app import create_app
from .ingest import Ingest
from .metrics import Meter
from .serve import make_gateway
from .service import Service
from .store.answers import StoredAnswer
from .store.opened import Store, open_store
from .tracing import Traces
from .worker import Worker


@dataclass(frozen=True)
class Cloud:
    """The parts that others use."""

    service: Service
    app: FastAPI
    store: Store
    worker: Worker | None
    """None: no broker is configured, and only HTTP is served"""
    ingest: Ingest | None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serving as long as the block runs; at the end the batches under way are finished and their replies go out.

        :raises BrokerError: no broker there, or it refused us
        """
        with ExitStack() as stack:
            stack.callback(self.app.state.live.close)
            if self.ingest is not None:
                stack.enter_context(self.ingest.running())
            stack.enter_context(self.service if self.worker is None else self.worker.running())
            yield


@contextmanager
def assembled(config: CloudConfig, clock: Clock) -> Iterator[Cloud]:
    """The parts, for as long as they are used.

    :raises DicemError: something that is needed is missing: an extra, a model, the database, a cluster
    """
    with ExitStack() as stack:
        store = stack.enter_context(open_store(config.store, clock, hot=config.limits.results_kept))
        functions = stack.enter_context(backend(config))
        meter = Meter(functions.functions, max_pairs=config.metrics.max_pairs)
        traces = _traces(config, clock, stack)
        observers = [meter.observe] if traces is None else [meter.observe, traces.observe]
        gateway = make_gateway(config, clock, functions.functions, store.results)
        service = Service(gateway, observers=observers)
        meter.watch(service.loads)
        functions.watch(service.loads)
        _count_retries(meter, functions)

        def news(answers: Sequence[StoredAnswer]) -> None:
            app.state.live.notify()
            if traces is not None:
                for one in answers:
                    traces.answered(one.answer)

        worker, ingest = _at_the_broker(config, service, store, news)
        checks = {} if worker is None else {"broker": lambda: worker.is_up}
        app = create_app(service, config, records=store, meter=meter, checks=checks)
        yield Cloud(service, app, store, worker, ingest)


def _traces(config: CloudConfig, clock: Clock, stack: ExitStack) -> Traces | None:
    if config.tracing is None:
        return None
    traces = Traces(config.tracing, clock)
    stack.callback(traces.close)
    return traces


def _at_the_broker(
    config: CloudConfig, service: Service, store: Store, news: Callable[[Sequence[StoredAnswer]], None]
) -> tuple[Worker | None, Ingest | None]:
    if config.broker is None:
        return None, None
    name = config.store.name or f"{socket.gethostname().split('.')[0][:20]}-{config.http.port}"
    message_bytes = config.limits.message_bytes
    worker = Worker(config.broker, service, fleets=config.fleets, message_bytes=message_bytes)
    ingest = Ingest(config.broker, store, name=name, fleets=config.fleets, message_bytes=message_bytes, on_stored=news)
    return worker, ingest


def _count_retries(meter: Meter, functions: Backend) -> None:
    """Batches that were sent again because their replica died, where there are replicas."""
    remote = [one for one in functions.functions.values() if hasattr(one, "retries")]
    if remote:
        meter.gauge(
            "retried_batches", "Batches sent again because a replica died", lambda: sum(one.retries for one in remote)
        )
