"""The port of the traces: what is told of a task on its way; `ledger.open_telemetry` is the adapter.

A task's events carry the trace context (W3C traceparent) of the span that appended them, so a trace goes on
through broker, retries and restarts without anything else being handed over. Where traces are off there is no
`Traces`, and nothing is imported.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol

from ledger.broker.port import OutgoingMessage
from ledger.store.records import Origin, RecordedEvent

# What a handler runs under, for the process that it may run in; None where nothing is traced.
HANDLER_TRACEPARENT: ContextVar[str | None] = ContextVar("handler_traceparent", default=None)


class AttemptTrace(Protocol):
    """The span of one delivery, from the message to the recorded outcome; claim and run have one each."""

    @property
    def traceparent(self) -> str | None:
        """What the events of the attempt carry; None where the trace is not recorded."""

    def claimed(self, attempt: int) -> None:
        """The task is ours."""

    def running(self) -> AbstractContextManager[None]:
        """Begin the run; its span is the current one in the body, and in whatever is started there."""

    def ran(self) -> None:
        """The handler has ended, or was given up."""

    def ended(self, outcome: str) -> None:
        """End the span: with an attempt's outcome, else with what became of the message."""


class Traces(Protocol):
    """Tells spans of one process."""

    def submitting(
        self, origin: Origin, *, queue: str | None = None, kind: str | None = None
    ) -> AbstractContextManager[Origin]:
        """Trace a submit in the body; yield the origin for its events, whose traceparent is the span's.

        Without a queue it is that of a batch.
        """

    def published(
        self, messages: Sequence[OutgoingMessage], traceparents: Sequence[str | None], *, began_ns: int
    ) -> None:
        """Tell that the broker confirmed messages: a span for each that makes a traced task ready."""

    def attempt(self, hint: RecordedEvent) -> AttemptTrace:
        """Begin the span of a delivery, under what the event that made the task ready carries."""

    def under(self, traceparent: str | None) -> AbstractContextManager[None]:
        """Make a span of another process the current one in the body."""

    def flush(self) -> None:
        """Send what has not been sent, within a second."""

    def close(self) -> None:
        """Send what has not been sent, and stop; blocks for a few seconds at most."""


def trace_fields(traceparent: str | None) -> dict[str, str]:
    """Return the log field of a trace; nothing where there is none."""
    parts = (traceparent or "").split("-")
    return {"trace_id": parts[1]} if len(parts) > 1 else {}
