"""Traces that follow a frame from the camera to its answer (OpenTelemetry, OTLP over HTTP).

    frame                       its trace has the answer's id; from the frame's stamp to its answer
      |-- call blip2            from a call's arrival here to its result
      |     |-- queue           until its batch began
      |     `-- compute         its batch, with its size and the model
      `-- call depth

The vehicle sends no span: its requests name the trace and its first span (`ids.traceparent`), which are a hash of what
is computed, and the answer, when it comes, says when the frame was taken and answered.  So the spans of one trace may
come from several gateways, in any order.  A call without a trace, over HTTP, begins one with its own call id.

Spans are made when a call has ended, from what was measured: while it runs, tracing costs nothing.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dicem_shared.clock import Clock
from dicem_shared.errors import MissingExtra
from dicem_shared.ids import parse_traceparent, span_of
from dicem_shared.types import Answer

from .http.settings import TracingConfig
from .service import Finished

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

log = logging.getLogger(__name__)

LAST_UTC: Final = 4_000_000_000.0
"""Seconds; later than this no frame was taken, and what reads traces counts nanoseconds in 64 bits."""
MAX_TEXT: Final = 200
LAST_S: Final = 3.0


class Traces:
    """See the module's text; safe to be used by any thread.  No method raises."""

    def __init__(self, config: TracingConfig, clock: Clock, processor: SpanProcessor | None = None) -> None:
        """`processor`: what takes the spans; left out: it sends them to the config's endpoint.

        :raises MissingExtra: OpenTelemetry's SDK or exporter is not installed
        """
        try:
            self._provider, self._ids = _provider(config, processor)
        except ImportError as error:
            raise MissingExtra(f"tracing ({error.name})", "cloud") from None
        self._clock, self._tracer = clock, self._provider.get_tracer("dicem")

    def observe(self, ended: Finished) -> None:
        """A call has ended: its spans."""
        try:
            self._call(ended)
        except Exception:
            log.exception("a call was not traced")

    def answered(self, answer: Answer) -> None:
        """A frame is answered: the span that holds all of its calls."""
        try:
            self._frame(answer)
        except Exception:
            log.exception("an answer was not traced")

    def close(self) -> None:
        """Send what has not been sent, for some seconds at most."""
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(LAST_S)  # a collector that is away is given up; the exporter by itself would go on trying

    def _call(self, ended: Finished) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        request, reply, error = ended.request, ended.reply, ended.error
        end = self._clock.utc()
        began = end - ended.compute_s
        arrived = began - ended.queue_s
        about: dict[str, Any] = {
            "dicem.function": request.function[:MAX_TEXT],
            "dicem.vehicle": ended.vehicle,
            "dicem.program": request.program[:MAX_TEXT],
            "dicem.camera": request.frame.camera,
            "dicem.frame": request.frame.sequence,
            "dicem.call_id": request.call_id,
            "dicem.attempt": request.attempt,
        }
        if reply is not None:
            about |= {"dicem.cached": reply.cached, "dicem.price_usd": reply.price_usd}
        parent = _context_of(request.traceparent)
        with self._ids.preset(trace=None if parent is not None else request.call_id):
            name = f"call {request.function}" if reply is not None else "call"
            call = self._tracer.start_span(name, parent, SpanKind.SERVER, about, start_time=_ns(arrived))
        inside = set_span_in_context(call)
        if ended.batch_size:
            queue = self._tracer.start_span("queue", inside, start_time=_ns(arrived))
            queue.end(_ns(began))
            of_batch: dict[str, Any] = {"dicem.function": request.function, "dicem.batch_size": ended.batch_size}
            if reply is not None and reply.model is not None:
                of_batch |= {"dicem.model": reply.model.name, "dicem.model_sha256": reply.model.sha256}
            self._tracer.start_span("compute", inside, attributes=of_batch, start_time=_ns(began)).end(_ns(end))
        if error is not None:
            call.set_attribute("error.type", type(error).__name__)
            call.set_status(Status(StatusCode.ERROR, str(error)[:MAX_TEXT]))
        call.end(_ns(end))

    def _frame(self, answer: Answer) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, Status, StatusCode

        if answer.t_utc + answer.latency_s > LAST_UTC:
            return
        about: dict[str, Any] = {
            "dicem.vehicle": answer.vehicle,
            "dicem.camera": answer.camera,
            "dicem.frame": answer.frame,
            "dicem.program": answer.program_id[:MAX_TEXT],
            "dicem.answer": answer.id[:MAX_TEXT],
            "dicem.status": answer.status,
            "dicem.source": answer.source,
            "dicem.cost_usd": answer.cost.usd,
            "dicem.bytes_up": answer.cost.bytes_up,
        }
        with self._ids.preset(trace=answer.id, span=span_of(answer.id)):
            frame = self._tracer.start_span(
                "frame", Context(), SpanKind.CLIENT, about, start_time=_ns(answer.t_utc)
            )  # fmt: skip
        if answer.status == "failed":
            frame.set_status(Status(StatusCode.ERROR, answer.reason[:MAX_TEXT]))
        frame.end(_ns(answer.t_utc + answer.latency_s))


class _Preset(threading.local):
    trace = 0
    span = 0


class _Ids:
    """Random ids, but for those that somebody asks for: made into OpenTelemetry's `IdGenerator` below."""

    def __init__(self) -> None:
        self.next = _Preset()

    def preset(self, *, trace: str | None, span: str = "") -> _Ids:
        """The ids (hex) of the span that is begun within the block; what is no id is left to chance."""
        self.next.trace, self.next.span = _id(trace, 32), _id(span, 16)
        return self

    def __enter__(self) -> None:
        """See `preset`."""

    def __exit__(self, *_: object) -> None:
        self.next.trace = self.next.span = 0


def _provider(config: TracingConfig, processor: SpanProcessor | None) -> tuple[TracerProvider, _Ids]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    ids = _Ids()

    class Generator(RandomIdGenerator):
        def generate_span_id(self) -> int:
            return ids.next.span or super().generate_span_id()

        def generate_trace_id(self) -> int:
            return ids.next.trace or super().generate_trace_id()

    processor = processor or _sender(config.endpoint)
    by_id = TraceIdRatioBased(config.sample)  # the same in every gateway: a trace is kept as a whole
    provider = TracerProvider(
        sampler=ParentBased(by_id, remote_parent_sampled=by_id),
        resource=Resource.create({"service.name": config.service}),
        id_generator=Generator(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    return provider, ids


def _sender(endpoint: str) -> SpanProcessor:
    """Sends spans from a thread of its own; what does not fit its queue is dropped."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    class Sender(OTLPSpanExporter):
        """Says once that spans do not arrive, and once that they do again."""

        arrive = True

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            arrive = result is SpanExportResult.SUCCESS
            if arrive is not self.arrive:
                log.warning("traces %s %s", "reach again" if arrive else "are dropped: they do not reach", endpoint)
            self.arrive = arrive
            return result

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it says so several times a batch
    return BatchSpanProcessor(Sender(endpoint=endpoint, timeout=5))


def _context_of(traceparent: str) -> Context | None:
    """The span that a request names; None where it names none."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    named = parse_traceparent(traceparent)
    if named is None:
        return None
    trace, span, flags = named
    parent = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _id(text: str | None, digits: int) -> int:
    return int(text, 16) if text is not None and re.fullmatch(f"[0-9a-f]{{{digits}}}", text) else 0


def _ns(seconds: float) -> int:
    return max(0, int(seconds * 1e9))
