"""Traces at the worker: what a handler does is below its attempt, in threads and in processes of their own."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ledger.instruments import Instruments
from ledger.measures import Measures
from ledger.open_telemetry import OpenTelemetryTraces
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from ledger.task_words import Status
from tests.unit import isolated_handlers
from tests.unit.worker_bed import Bed, MemoryLedger, bed, working
from worker.consumer import Worker

CLIENT_TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = Origin(actor="client", traceparent=f"00-{CLIENT_TRACE}-b7ad6b7169203331-01")
UNSAMPLED = replace(CLIENT, traceparent=f"00-{CLIENT_TRACE}-b7ad6b7169203331-00")


class Traced:
    """A bed whose worker traces into memory."""

    def __init__(self, stand: Bed) -> None:
        self.bed = stand
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = OpenTelemetryTraces(self.provider)

    def worker(self) -> Worker:
        """Make the worker."""
        ledger = MemoryLedger(self.bed.settings, self.bed.store, self.bed.clock)
        instruments = Instruments(Measures(), self.traces)
        return Worker(ledger, self.bed.broker, self.bed.registry, roster=self.bed.roster, instruments=instruments)

    async def run(self, kind: str, value: object = None, *, origin: Origin = CLIENT) -> Sequence[ReadableSpan]:
        """Run one task to its end, and return the spans by the time of their beginning."""
        async with working(self.bed, self.worker()):
            specification = TaskSpecification(kind=kind, input=value, max_attempts=1)  # type: ignore[arg-type]  # JSON
            receipt = await self.bed.commands.submit(specification, origin=origin)
            self.task = await self.bed.finished(receipt.task_id)
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def names(self, spans: Sequence[ReadableSpan]) -> dict[str, str | None]:
        """Return which span each is below."""
        own = {span.context.span_id: span.name for span in spans if span.context}
        return {span.name: own.get(span.parent.span_id, "the client's") if span.parent else None for span in spans}


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_the_spans_of_a_handler_are_below_its_run(*, is_coroutine: bool) -> None:
    traced = Traced(bed())
    tracer = traced.provider.get_tracer("app")

    async def on_the_loop(_value: object) -> None:
        with tracer.start_as_current_span("inner"):
            pass

    def in_a_thread(_value: object) -> None:
        with tracer.start_as_current_span("inner"):
            pass

    handler: Callable[[object], object] = on_the_loop if is_coroutine else in_a_thread
    traced.bed.registry.task_handler("work")(handler)

    spans = await traced.run("work")

    assert traced.names(spans) == {
        "process default": "the client's",
        "claim default": "process default",
        "run work": "process default",
        "inner": "run work",
    }
    assert {format(span.context.trace_id, "032x") for span in spans if span.context} == {CLIENT_TRACE}


async def test_what_an_attempt_appends_carries_its_span() -> None:
    traced = Traced(bed())

    spans = await traced.run("echo", "hi")

    process = next(span.context for span in spans if span.name == "process default")
    events = traced.bed.events(traced.task.id)
    own = f"00-{CLIENT_TRACE}-{process.span_id:016x}-01" if process else ""
    assert [event.traceparent for event in events] == [CLIENT.traceparent, own, own]
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_the_span_of_an_attempt_that_failed_says_how() -> None:
    traced = Traced(bed())

    spans = await traced.run("fail", "no")

    attributes = next(span for span in spans if span.name == "process default").attributes or {}
    assert traced.task.status is Status.FAILED
    assert (attributes["taskledger.outcome"], attributes["error.type"]) == ("error", "error")
    assert (attributes["taskledger.attempt"], attributes["messaging.operation.type"]) == (1, "process")


async def test_a_trace_that_its_client_does_not_record_goes_on_unrecorded() -> None:
    traced = Traced(bed())

    spans = await traced.run("echo", "hi", origin=UNSAMPLED)

    assert spans == []
    assert {event.traceparent for event in traced.bed.events(traced.task.id)} == {UNSAMPLED.traceparent}


async def test_a_handler_in_a_process_of_its_own_runs_below_its_run() -> None:
    traced = Traced(bed(traces="console"))
    traced.bed.registry.task_handler("answer", isolation="process")(isolated_handlers.answer)
    context = "__import__('opentelemetry.trace').trace.get_current_span().get_span_context()"

    spans = await traced.run("answer", f"'%032x-%016x' % ({context}.trace_id, {context}.span_id)")

    run = next(span.context for span in spans if span.name == "run answer")
    assert run is not None
    assert traced.task.result == f"{CLIENT_TRACE}-{run.span_id:016x}"


def test_nothing_of_it_is_imported_where_traces_are_off() -> None:
    script = (
        "import sys, api.process, api.up, worker.process, ledger.roles, projections.commands\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'prometheus_client'))])"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"
