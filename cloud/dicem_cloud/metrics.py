"""What Prometheus reads: how calls fare, what they cost, what waits.

    meter = Meter(service.functions)
    service = Service(gateway, observers=[meter.observe])
    meter.watch(service.loads)

The number of time series is bounded whatever vehicles send: functions are those that are served, reasons are the
words of our errors, and beyond so many pairs of vehicle and program the rest is `other`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from .batcher import Load
from .service import Finished

log = logging.getLogger(__name__)

OTHER: Final = "other"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
METHODS: Final = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


class Meter:
    """See the module's text; safe to be used by any thread."""

    def __init__(self, functions: Iterable[str], *, max_pairs: int = 200) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._functions = frozenset(functions)
        self._max_pairs, self._pairs, self._lock = max_pairs, set[tuple[str, str]](), Lock()
        self._loads: Callable[[], Mapping[str, Load]] = dict
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._calls = self._counter("calls", "Calls that have ended", "function", "outcome")
        self._refused = self._counter("refusals", "Calls without a result, by the error's word", "reason")
        self._cached = self._counter("cached", "Calls that were answered from what is known", "function")
        self._cost = self._counter("cost_usd", "Price of what was computed, US dollars", "vehicle", "program")
        self._billed = self._counter(
            "device_seconds", "Device time by who asked, each with his share of a batch", "vehicle", "program"
        )
        self._waited = self._histogram("wait_seconds", "From a call's arrival to the start of its batch", "function")
        self._computed = self._histogram("compute_seconds", "Of a call's whole batch, on the device", "function")
        self._latency = self._histogram("latency_seconds", "From a call's arrival to its result", "function")
        self._batches = self._histogram(
            "batch_size", "Calls that shared a call's batch, by call", "function", buckets=BATCHES
        )
        self._http = self._counter("http_requests", "Requests of the HTTP API", "route", "method", "status")
        self._http_refused = self._counter("http_refusals", "Requests that were refused, by error", "reason", "caller")
        self._http_seconds = self._histogram("http_seconds", "From a request to the end of its answer", "route")
        self.registry.register(self)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"dicem_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(f"dicem_{name}", text, labels, registry=self.registry, buckets=buckets)

    # What is told to it

    def observe(self, ended: Finished) -> None:
        """Count a call that has ended.  Never raises: whoever tells of it has a caller to answer."""
        try:
            self._observe(ended)
        except Exception:
            log.exception("a call was not counted")

    def _observe(self, ended: Finished) -> None:
        name = ended.request.function if ended.request.function in self._functions else OTHER
        reply = ended.reply
        if reply is None:
            reason = ended.error.reason if ended.error is not None else OTHER
            self._calls.labels(name, "refused").inc()
            self._refused.labels(reason).inc()
            return
        if reply.cached:
            self._calls.labels(name, "cached").inc()
            self._cached.labels(name).inc()
            return
        self._calls.labels(name, "answered").inc()
        self._waited.labels(name).observe(ended.queue_s)
        self._computed.labels(name).observe(ended.compute_s)
        self._latency.labels(name).observe(ended.latency_s)
        if ended.batch_size:
            self._batches.labels(name).observe(ended.batch_size)
        pair = self._pair(ended.vehicle, ended.request.program)
        self._cost.labels(*pair).inc(reply.price_usd)
        self._billed.labels(*pair).inc(reply.compute_s)

    def http(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """A request was answered; `route` is the template of its path."""
        self._http.labels(route, method if method in METHODS else OTHER, str(status)).inc()
        if seconds is not None:
            self._http_seconds.labels(route).observe(seconds)

    def http_refused(self, reason: str, caller: str) -> None:
        """A request was refused; `caller` is the name of a token, or empty."""
        self._http_refused.labels(reason, caller).inc()

    def watch(self, loads: Callable[[], Mapping[str, Load]]) -> None:
        """Ask this for what waits, whenever somebody reads the metrics."""
        self._loads = loads

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Ask this for one more number."""
        self._gauges[name] = (text, read)

    # What is read from it

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """All of it, and the type that it is in: the one that `accept` asks for."""
        encode, kind = choose_encoder(accept)
        return encode(self.registry), kind

    def collect(self) -> Iterable[Metric]:
        """For the registry: what is only known when it is asked for."""
        depth = GaugeMetricFamily("dicem_queue_depth", "Calls that wait", labels=["function"])
        oldest = GaugeMetricFamily("dicem_queue_oldest_seconds", "How long the first has waited", labels=["function"])
        running = GaugeMetricFamily("dicem_batches_running", "Batches that are being computed", labels=["function"])
        expected = GaugeMetricFamily("dicem_expected_wait_seconds", "Of a call that came now", labels=["function"])
        for name, load in self._loads().items():
            depth.add_metric([name], load.waiting)
            oldest.add_metric([name], load.oldest_s)
            running.add_metric([name], load.running)
            expected.add_metric([name], load.expected_wait_s)
        yield from (depth, oldest, running, expected)
        for name, (text, read) in self._gauges.items():
            yield GaugeMetricFamily(f"dicem_{name}", text, value=read())

    def describe(self) -> Iterable[Metric]:
        """For the registry: nothing that it must know beforehand."""
        return ()

    def _pair(self, vehicle: str, program: str) -> tuple[str, str]:
        """The labels of a vehicle and its program, or `other` where there are too many."""
        pair = (vehicle, program)
        with self._lock:
            if pair not in self._pairs:
                if len(self._pairs) >= self._max_pairs:
                    return OTHER, OTHER
                self._pairs.add(pair)
        return pair


class HttpMeter:
    """ASGI: has every request counted.  `seconds` is a monotonic clock."""

    def __init__(self, app: Any, meter: Meter, seconds: Callable[[], float]) -> None:
        self._app, self._meter, self._seconds = app, meter, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the class's text."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, streams = self._seconds(), 500, False

        async def noting(message: Any) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                streams = any(value.startswith(b"text/event-stream") for _, value in message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            self._meter.http(route, scope["method"], status, None if streams else self._seconds() - began)
            if reason := scope.get("dicem.refused"):
                self._meter.http_refused(reason, scope.get("dicem.caller", ""))
