"""The watch over one delivery: what is counted, traced and logged of it, from the message to the outcome."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog

from ledger.instruments import Instruments
from ledger.store.records import RecordedEvent
from ledger.telemetry import ATTEMPTS, DELIVERIES, QUEUED_SECONDS, RETRIES, RUN_SECONDS
from ledger.traces import trace_fields
from worker.claims import Claim
from worker.outcomes import Cancellation, Failure, Outcome

_UNKNOWN = "unknown"


class Watch:
    """Tells of one delivery, and of the attempt that comes of it.

    Attributes:
        hint: the event that the message announces; with the trace context of this delivery where that is traced,
            so that everything which the attempt appends carries it.
    """

    def __init__(self, instruments: Instruments, hint: RecordedEvent) -> None:
        self._measures = instruments.measures
        self._trace = None if instruments.traces is None else instruments.traces.attempt(hint)
        if self._trace is not None and self._trace.traceparent is not None:
            hint = replace(hint, traceparent=self._trace.traceparent)
        if hint.traceparent is not None:
            structlog.contextvars.bind_contextvars(**trace_fields(hint.traceparent))
        self.hint = hint
        self._began = 0.0
        self._outcome = _UNKNOWN

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Let the claim be made in the body."""
        try:
            yield
        except BaseException:
            self.ended("rejected")
            raise

    def claimed(self, claim: Claim | None) -> None:
        """Tell whether the task is ours."""
        if claim is None:
            self._measures.count(DELIVERIES, self.hint.queue, "passed_by")
            self.ended("passed_by")
            return
        self._measures.count(DELIVERIES, self.hint.queue, "started")
        if claim.task.started_at is not None:
            queued = claim.task.started_at - self.hint.recorded_at
            self._measures.observe(QUEUED_SECONDS, max(0.0, queued.total_seconds()), self.hint.queue)
        if self._trace is not None:
            self._trace.claimed(claim.attempt)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the handler be started in the body, which its own spans are to be children of."""
        self._began = time.monotonic()
        if self._trace is None:
            yield
            return
        with self._trace.running():
            yield

    def ran(self) -> None:
        """Tell that the handler has ended, or was given up."""
        self._measures.observe(RUN_SECONDS, time.monotonic() - self._began, self.hint.kind)
        if self._trace is not None:
            self._trace.ran()

    def judged(self, outcome: Outcome | None) -> None:
        """Tell what became of the attempt; None where its outcome is refused."""
        self._outcome = _word(outcome)
        self._measures.count(ATTEMPTS, self.hint.kind, self._outcome)
        if isinstance(outcome, Failure) and outcome.retry_delay_seconds is not None:
            self._measures.count(RETRIES, self.hint.kind)

    def ended(self, outcome: str | None = None) -> None:
        """Tell that the delivery is dealt with."""
        if self._trace is not None:
            self._trace.ended(outcome or self._outcome)


def _word(outcome: Outcome | None) -> str:
    if outcome is None:
        return "stale"
    if isinstance(outcome, Failure):
        return outcome.cause.value
    return "cancelled" if isinstance(outcome, Cancellation) else "completed"
