"""Traces: one frame from the camera to its answer, whoever computed what."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs the extra [cloud]")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dicem_cloud.gateway import Gateway
from dicem_cloud.http.settings import TracingConfig
from dicem_cloud.service import Finished, Service
from dicem_cloud.tracing import Traces
from dicem_shared.errors import MissingExtra, Overloaded
from dicem_shared.ids import digest, parse_traceparent, span_of, traceparent
from dicem_shared.types import ModelId, Reply, Request

from .http_client import NOW, answer

Ask = Callable[..., Request]
ANSWER = digest("some answer")


class Seen:
    """Traces, and the spans that came out of them."""

    def __init__(self, clock: Any, sample: float = 1.0) -> None:
        self.exporter = InMemorySpanExporter()
        config = TracingConfig(endpoint="http://127.0.0.1:4318/v1/traces", sample=sample)
        self.traces = Traces(config, clock, SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def seen(clock: Any) -> Seen:
    return Seen(clock)


def finished(request: Request, **how: Any) -> Finished:
    model = ModelId(function="colour", name="mean", sha256="0" * 64)
    reply = Reply(call_id=request.call_id, result=1, model=model, price_usd=0.25)
    given: dict[str, Any] = {"request": request, "vehicle": "boat", "reply": reply, "error": None}
    return Finished(**given | how)


def of(request: Request, trace: str) -> Request:
    return request.model_copy(update={"traceparent": trace})


def ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def parent(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent else None


def times(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return round(span.start_time / 1e9 - NOW, 6), round(span.end_time / 1e9 - NOW, 6)


def test_a_frame_from_the_camera_to_its_answer(seen: Seen, ask: Ask, clock: Any) -> None:
    clock.now = NOW + 2
    seen.traces.observe(finished(of(ask(), traceparent(ANSWER)), queue_s=0.25, compute_s=0.5, batch_size=3))
    seen.traces.answered(answer(0, id=ANSWER, t_utc=NOW, latency_s=4.0, status="final"))
    spans = seen.spans
    assert {name: times(span) for name, span in spans.items()} == {
        "queue": (1.25, 1.5), "compute": (1.5, 2.0), "call colour": (1.25, 2.0), "frame": (0.0, 4.0),
    }  # fmt: skip
    assert {ids(span)[0] for span in spans.values()} == {ANSWER}
    call = ids(spans["call colour"])[1]
    assert {name: parent(span) for name, span in spans.items()} == {
        "frame": None, "call colour": ids(spans["frame"])[1], "queue": call, "compute": call,
    }  # fmt: skip
    about = spans["compute"].attributes
    assert about is not None
    assert (about["dicem.function"], about["dicem.model"], about["dicem.batch_size"]) == ("colour", "mean", 3)
    about = spans["frame"].attributes
    assert about is not None
    assert (about["dicem.answer"], about["dicem.vehicle"]) == (ANSWER, "boat")


def test_the_first_span_is_known_to_all_beforehand(seen: Seen) -> None:
    seen.traces.answered(answer(0, id=ANSWER))
    assert parse_traceparent(traceparent(ANSWER)) == (*ids(seen.spans["frame"]), 1)


def test_a_call_without_a_trace_begins_one_with_its_own_id(seen: Seen, ask: Ask) -> None:
    request = ask()
    seen.traces.observe(finished(request))
    (span,) = seen.exporter.get_finished_spans()  # nothing was computed: no queue, no batch
    assert ids(span)[0] == request.call_id
    assert span.parent is None


def test_a_refusal(seen: Seen, ask: Ask) -> None:
    seen.traces.observe(finished(ask(), reply=None, error=Overloaded("busy", retry_after_s=1)))
    span = seen.spans["call"]
    assert span.attributes is not None
    assert span.attributes["error.type"] == "Overloaded"
    assert not span.status.is_ok


def test_a_service_traces_its_calls(seen: Seen, gateway: Gateway, ask: Ask) -> None:
    with Service(gateway, observers=[seen.traces.observe]) as service:
        service.submit(of(ask(), traceparent(ANSWER)), vehicle="boat").result(30)
    assert set(seen.spans) == {"call colour", "queue", "compute"}
    assert {ids(span)[0] for span in seen.spans.values()} == {ANSWER}


def test_a_share_of_the_traces_is_kept_each_as_a_whole(clock: Any, ask: Ask) -> None:
    seen, other = Seen(clock, sample=0.5), Seen(clock, sample=0.5)
    answers = [digest("answer", number) for number in range(40)]
    for one in answers:
        seen.traces.answered(answer(0, id=one))
        other.traces.observe(finished(of(ask(), traceparent(one))))
    kept = {ids(span)[0] for span in seen.exporter.get_finished_spans()}
    assert kept == {ids(span)[0] for span in other.exporter.get_finished_spans()}
    assert 0 < len(kept) < len(answers)


def test_a_caller_may_say_that_his_trace_is_not_kept(seen: Seen, ask: Ask) -> None:
    seen.traces.observe(finished(of(ask(), traceparent(ANSWER)[:-1] + "0"), batch_size=1))
    assert seen.spans == {}


@pytest.mark.parametrize(
    "trace", ["x", "00-", f"00-{'0' * 32}-{'1' * 16}-01", f"01-{'1' * 32}-{'1' * 16}-01", "é" * 55, "9" * 100_000]
)
def test_a_trace_that_is_none(seen: Seen, ask: Ask, trace: str) -> None:
    request = of(ask(), trace)
    seen.traces.observe(finished(request))
    assert ids(seen.spans["call colour"])[0] == request.call_id


@pytest.mark.parametrize(
    "odd", [{"id": "not hex"}, {"id": "-" + "1" * 31}, {"id": "x" * 5000}, {"id": "0" * 32}, {"reason": "x" * 9999}]
)
def test_an_odd_answer_is_traced_all_the_same(seen: Seen, odd: dict[str, Any]) -> None:
    seen.traces.answered(answer(0, status="failed", **odd))
    trace, span = ids(seen.spans["frame"])
    assert int(trace, 16) > 0
    assert int(span, 16) > 0


def test_what_no_clock_shows_is_not_traced(seen: Seen) -> None:
    seen.traces.answered(answer(0, t_utc=253402300799.0))
    seen.traces.answered(answer(0, latency_s=1e300))
    assert seen.spans == {}


def test_it_never_raises(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    seen.traces.observe(None)  # type: ignore[arg-type]
    seen.traces.answered(None)  # type: ignore[arg-type]
    assert caplog.text.count("not traced") == 2


def test_ids_that_were_asked_for_are_not_given_again(seen: Seen, ask: Ask) -> None:
    seen.traces.answered(answer(0, id=ANSWER))
    request = ask()
    seen.traces.observe(finished(request))
    assert ids(seen.spans["call colour"])[1] != span_of(ANSWER)


def test_without_the_sdk(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingExtra, match="tracing"):
        Traces(TracingConfig(endpoint="http://127.0.0.1:1/v1/traces"), clock)


class Collector:
    """Takes spans over HTTP, as `status` says."""

    def __init__(self) -> None:
        self.came: list[tuple[str, bytes]] = []
        self.status = 200
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.came.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(owner.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A plain server; what the exporter is told to keep quiet about is loud again afterwards."""
    made, told = Collector(), logging.getLogger("opentelemetry")
    before, thread = told.level, threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()
    told.setLevel(before)


def test_spans_go_over_http(clock: Any, collector: Collector) -> None:
    traces = Traces(TracingConfig(endpoint=collector.url), clock)
    traces.answered(answer(0, id=ANSWER))
    traces.close()
    ((path, body),) = collector.came
    assert path == "/v1/traces"
    assert bytes.fromhex(ANSWER) in body
    assert b"dicem-cloud" in body


def test_a_collector_that_refuses_is_spoken_of_once(
    clock: Any, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    traces = Traces(TracingConfig(endpoint=collector.url), clock)
    for collector.status in (400, 400, 200, 200):
        traces.answered(answer(0, id=ANSWER))
        traces._provider.force_flush()
    traces.close()
    assert len(collector.came) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"traces are dropped: they do not reach {collector.url}", f"traces reach again {collector.url}",
    ]  # fmt: skip


def test_nobody_waits_for_a_collector_that_is_away(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    traces, shut = Traces(TracingConfig(endpoint="http://127.0.0.1:1/v1/traces"), clock), threading.Event()
    monkeypatch.setattr("dicem_cloud.tracing.LAST_S", 0.01)
    monkeypatch.setattr(traces._provider, "shutdown", lambda: shut.wait(30))
    traces.close()
    assert not shut.is_set()
    shut.set()


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:4318", "ftp://host/x", "http://", "file:///etc/passwd"])
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        TracingConfig(endpoint=endpoint)
