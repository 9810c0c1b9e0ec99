"""The traces on OpenTelemetry: our words, and those of its semantic conventions for messaging.

    submit (producer) ─▶ publish (producer) · process (consumer) ─▶ claim · run ─▶ the handler's own spans

`publish` and `process` are children of the span that made the task ready, so a task without retries is one trace
below its submit, and a retry is below the attempt that failed. What a relay published together is linked.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from ledger.broker.port import OutgoingMessage
from ledger.store.records import Origin, RecordedEvent
from ledger.telemetry import SPAN_CLAIM, SPAN_PROCESS, SPAN_PUBLISH, SPAN_RUN, SPAN_SUBMIT, Role
from ledger.traces import HANDLER_TRACEPARENT, AttemptTrace, Traces

_NAME = "task-ledger"
_FLUSH_SECONDS_MAX = 1.0
_LINKS_MAX = 100
_GOOD_ENDS = frozenset({"completed", "cancelled", "passed_by"})

Attributes = dict[str, str | int]


class OpenTelemetryTraces:
    """Spans of one process, under a provider that whoever made it closes unless it is `owned`."""

    def __init__(self, provider: trace.TracerProvider, *, owned: TracerProvider | None = None) -> None:
        self._tracer = provider.get_tracer(_NAME)
        self._owned = owned
        self._flushing: threading.Thread | None = None

    @contextmanager
    def submitting(self, origin: Origin, *, queue: str | None = None, kind: str | None = None) -> Iterator[Origin]:
        """Trace a submit; see the port."""
        destination = queue or "batch"
        attributes = _attributes(SPAN_SUBMIT, "create", destination)
        attributes |= {} if kind is None else {"taskledger.kind": kind}
        with self._tracer.start_as_current_span(
            f"{SPAN_SUBMIT} {destination}",
            _context_of(origin.traceparent),
            kind=SpanKind.PRODUCER,
            attributes=attributes,
        ) as span:
            yield replace(origin, traceparent=_traceparent_of(span) or origin.traceparent)

    def published(
        self, messages: Sequence[OutgoingMessage], traceparents: Sequence[str | None], *, began_ns: int
    ) -> None:
        """Tell a span for each message; see the port."""
        traced = [
            (message, parent)
            for message, parent in zip(messages, traceparents, strict=True)
            if message.must_route and parent is not None
        ]
        batch = [context for _, parent in traced[:_LINKS_MAX] if (context := _span_context(parent))]
        for message, parent in traced:
            own = _span_context(parent)
            span = self._tracer.start_span(
                f"{SPAN_PUBLISH} {message.queue}",
                _context_of(parent),
                kind=SpanKind.PRODUCER,
                attributes={
                    **_attributes(SPAN_PUBLISH, "send", message.queue),
                    "messaging.message.id": message.message_id,
                    "messaging.rabbitmq.destination.routing_key": message.routing_key,
                    "messaging.batch.message_count": len(messages),
                },
                links=[Link(other) for other in batch if own is None or other.span_id != own.span_id],
                start_time=began_ns,
            )
            span.end()

    def attempt(self, hint: RecordedEvent) -> AttemptTrace:
        """Begin the span of a delivery."""
        return _Attempt(self._tracer, hint)

    @contextmanager
    def under(self, traceparent: str | None) -> Iterator[None]:
        """Make a span of another process the current one."""
        token = otel_context.attach(_context_of(traceparent))
        try:
            yield
        finally:
            otel_context.detach(token)

    def flush(self) -> None:
        """Send what has not been sent."""
        # The SDK's own bound is not kept where whoever collects hangs, and the next job must not wait for him.
        if self._owned is None or (self._flushing is not None and self._flushing.is_alive()):
            return
        self._flushing = threading.Thread(target=self._owned.force_flush, name="traces-flush", daemon=True)
        self._flushing.start()
        self._flushing.join(_FLUSH_SECONDS_MAX)

    def close(self) -> None:
        """Send what has not been sent, and stop."""
        if self._owned is not None:
            self._owned.shutdown()


class _Attempt:
    """The span of one delivery."""

    def __init__(self, tracer: trace.Tracer, hint: RecordedEvent) -> None:
        self._tracer = tracer
        self._kind = hint.kind
        task = {"taskledger.task_id": str(hint.task_id), "taskledger.kind": hint.kind}
        self._span = tracer.start_span(
            f"{SPAN_PROCESS} {hint.queue}",
            _context_of(hint.traceparent),
            kind=SpanKind.CONSUMER,
            attributes={
                **_attributes(SPAN_PROCESS, "process", hint.queue),
                **task,
                "messaging.message.id": hint.event_id,
                "messaging.message.conversation_id": hint.correlation_id,
            },
        )
        self._context = trace.set_span_in_context(self._span)
        self._claim: Span | None = tracer.start_span(f"{SPAN_CLAIM} {hint.queue}", self._context)
        self._run: Span | None = None

    @property
    def traceparent(self) -> str | None:
        """What the events of the attempt carry."""
        return _traceparent_of(self._span)

    def claimed(self, attempt: int) -> None:
        """End the span of the claim."""
        self._span.set_attribute("taskledger.attempt", attempt)
        self._end_claim()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Begin the run, and make its span the current one."""
        self._run = self._tracer.start_span(f"{SPAN_RUN} {self._kind}", self._context)
        token = otel_context.attach(trace.set_span_in_context(self._run))
        handed = HANDLER_TRACEPARENT.set(_traceparent_of(self._run))
        try:
            yield
        finally:
            HANDLER_TRACEPARENT.reset(handed)
            otel_context.detach(token)

    def ran(self) -> None:
        """End the span of the run."""
        if self._run is not None:
            self._run.end()
            self._run = None

    def ended(self, outcome: str) -> None:
        """End the span of the delivery."""
        self._end_claim()
        self.ran()
        self._span.set_attribute("taskledger.outcome", outcome)
        if outcome not in _GOOD_ENDS:
            self._span.set_attribute("error.type", outcome)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _end_claim(self) -> None:
        if self._claim is not None:
            self._claim.end()
            self._claim = None


def open_open_telemetry(otlp_endpoint: str | None, *, to_console: bool, role: Role) -> Traces:
    """Open the traces of a process.

    A provider that the process has already (an app made it, or `opentelemetry-instrument` did) is used as it is.
    Else one is made and registered: handlers make their own spans with the library's global provider.
    """
    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        return OpenTelemetryTraces(present)
    provider = TracerProvider(resource=_resource_of(role), shutdown_on_exit=False)
    if to_console:
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr, formatter=_line)))
    if otlp_endpoint is not None:
        provider.add_span_processor(BatchSpanProcessor(_otlp_exporter(otlp_endpoint)))
    trace.set_tracer_provider(provider)
    return OpenTelemetryTraces(provider, owned=provider)


def _resource_of(role: Role) -> Resource:
    given = Resource.create()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the first word
    if not str(given.attributes.get("service.name", "")).startswith("unknown_service"):
        return given
    return Resource.create({"service.name": f"{_NAME}-{role}", "service.namespace": _NAME})


def _otlp_exporter(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - only here

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def _attributes(operation: str, operation_type: str, queue: str) -> Attributes:
    return {
        "messaging.system": "rabbitmq" if operation == SPAN_PUBLISH else "task_ledger",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation_type,
        "messaging.destination.name": queue,
    }


def _traceparent_of(span: Span) -> str | None:
    context = span.get_span_context()
    if not (context.is_valid and span.is_recording()):
        return None  # whoever began the trace does not record it: what he sent goes on as it is
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _span_context(traceparent: str | None) -> SpanContext | None:
    try:
        _, trace_id, span_id, flags = (traceparent or "").split("-")[:4]
        context = SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True,
            trace_flags=TraceFlags(int(flags, 16)), trace_state=TraceState(),
        )  # fmt: skip
    except ValueError:  # what a client of another release stored
        return None
    return context if context.is_valid else None


def _context_of(traceparent: str | None) -> otel_context.Context:
    # Of the event alone: what happens to be current in this process is another story.
    parent = _span_context(traceparent)
    empty = otel_context.Context()
    return empty if parent is None else trace.set_span_in_context(trace.NonRecordingSpan(parent), empty)
