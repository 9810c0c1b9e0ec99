"""The events of a task, with explicit topics that stay for ever, and the state that they fold into.

A new shape of an event is a new `class_version` with an `upcast_vX_vY` beside the class and a golden file in
tests/contract/golden. `timestamp` is when it occurred by the clock of whoever decided it; in an event read
back from the ledger it is the database's `recorded_at`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from eventsourcing.domain import AggregateCreated, AggregateEvent
from pydantic import JsonValue


class Status(StrEnum):
    """The status words of the API."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Cause(StrEnum):
    """Why an attempt ended without a result."""

    ERROR = "error"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    INTERRUPTED = "interrupted"


class ReleaseReason(StrEnum):
    """Why a pending task became ready."""

    DUE = "due"
    RETRY = "retry"
    RESUMED = "resumed"
    RECONCILED = "reconciled"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class TaskError:
    """What went wrong in an attempt."""

    type: str
    message: str
    traceback: str = ""

    def as_dict(self) -> dict[str, JsonValue]:
        """Return it as it stands in the event."""
        return {"type": self.type, "message": self.message, "traceback": self.traceback}


class TaskState:
    """The state that the events fold into; `Task` inherits it."""

    kind: str
    queue: str
    input: JsonValue
    priority: int
    max_attempts: int
    timeout_s: float
    backoff: dict[str, JsonValue]
    tags: list[str]
    parent: UUID | None

    status: Status
    ready: bool
    release_at: datetime | None
    attempt: int
    failures: int
    losses: int
    worker_id: str | None
    started_at: datetime | None
    finished_at: datetime | None
    result: JsonValue
    error: dict[str, JsonValue] | None
    cause: str | None
    progress: float | None
    progress_message: str | None
    cancel_requested: bool
    cancel_actor: str
    cancel_reason: str


class TaskEvent(AggregateEvent):
    """What every event of a task has: `originator_id`, `originator_version` and `timestamp`.

    TIMES and IDS name the fields that stand in JSON as text; PAYLOAD the one that the user fills.
    """

    class_version: ClassVar[int] = 1
    PAYLOAD: ClassVar[str] = "data"
    TIMES: ClassVar[tuple[str, ...]] = ()
    IDS: ClassVar[tuple[str, ...]] = ()


class Submitted(AggregateCreated, TaskEvent):
    """A client asked for the task; it is ready unless `run_at` holds it back."""

    TOPIC = "task.submitted"
    PAYLOAD: ClassVar[str] = "input"
    TIMES: ClassVar[tuple[str, ...]] = ("run_at",)
    IDS: ClassVar[tuple[str, ...]] = ("parent",)

    kind: str
    queue: str
    input: JsonValue = None
    priority: int = 5
    run_at: datetime | None = None
    max_attempts: int = 3
    timeout_s: float = 300.0
    backoff: dict[str, JsonValue] | None = None
    tags: list[str] | None = None
    parent: UUID | None = None

    def apply(self, aggregate: TaskState) -> None:
        """Set every attribute of the state for the first time."""
        aggregate.kind = self.kind
        aggregate.queue = self.queue
        aggregate.input = self.input
        aggregate.priority = self.priority
        aggregate.max_attempts = self.max_attempts
        aggregate.timeout_s = self.timeout_s
        aggregate.backoff = self.backoff or {}
        aggregate.tags = self.tags or []
        aggregate.parent = self.parent
        aggregate.attempt = 0
        aggregate.worker_id = aggregate.started_at = None
        _make_pending(aggregate, ready=self.run_at is None, release_at=self.run_at)
        _forget_the_past(aggregate)


class Released(TaskEvent):
    """A pending task became ready (again)."""

    TOPIC = "task.released"

    reason: ReleaseReason
    priority: int = 5

    def apply(self, aggregate: TaskState) -> None:
        """Make the task ready."""
        _make_pending(aggregate, ready=True, release_at=None)


class Started(TaskEvent):
    """A worker was permitted to run the task."""

    TOPIC = "task.started"

    attempt: int
    worker_id: str

    def apply(self, aggregate: TaskState) -> None:
        """Make the task run under a new attempt number."""
        aggregate.status = Status.RUNNING
        aggregate.ready = False
        aggregate.release_at = None
        aggregate.attempt = self.attempt
        aggregate.worker_id = self.worker_id
        aggregate.started_at = self.timestamp
        aggregate.progress = aggregate.progress_message = None


class Progressed(TaskEvent):
    """The running attempt said how far it got; at most once a second is recorded."""

    TOPIC = "task.progressed"

    attempt: int
    fraction: float
    message: str = ""

    def apply(self, aggregate: TaskState) -> None:
        """Keep the last word."""
        aggregate.progress = self.fraction
        aggregate.progress_message = self.message


class Completed(TaskEvent):
    """The attempt succeeded."""

    TOPIC = "task.completed"
    PAYLOAD: ClassVar[str] = "result"

    attempt: int
    result: JsonValue = None

    def apply(self, aggregate: TaskState) -> None:
        """Finish with the result; the error of an earlier attempt is history."""
        aggregate.status = Status.COMPLETED
        aggregate.result = self.result
        aggregate.error = aggregate.cause = None
        aggregate.finished_at = self.timestamp


class Failed(TaskEvent):
    """The attempt ended without a result; the task waits until `retry_at`, or is FAILED where there is none."""

    TOPIC = "task.failed"
    PAYLOAD: ClassVar[str] = "error"
    TIMES: ClassVar[tuple[str, ...]] = ("retry_at",)

    attempt: int
    error: dict[str, JsonValue]
    cause: Cause
    retry_at: datetime | None = None

    def apply(self, aggregate: TaskState) -> None:
        """Count the failure by its cause, and wait or finish."""
        aggregate.error = self.error
        aggregate.cause = self.cause
        aggregate.failures += self.cause in (Cause.ERROR, Cause.TIMEOUT)
        aggregate.losses += self.cause == Cause.WORKER_LOST
        if self.retry_at is not None:
            _make_pending(aggregate, ready=False, release_at=self.retry_at)
            return
        aggregate.status = Status.FAILED
        aggregate.finished_at = self.timestamp


class CancelRequested(TaskEvent):
    """Somebody asked the worker of a running task to stop it."""

    TOPIC = "task.cancel_requested"

    actor: str
    reason: str = ""

    def apply(self, aggregate: TaskState) -> None:
        """Remember who asked and why."""
        aggregate.cancel_requested = True
        aggregate.cancel_actor = self.actor
        aggregate.cancel_reason = self.reason


class Cancelled(TaskEvent):
    """The task will not run (any further)."""

    TOPIC = "task.cancelled"

    actor: str
    reason: str = ""

    def apply(self, aggregate: TaskState) -> None:
        """Finish without a result."""
        aggregate.status = Status.CANCELLED
        aggregate.ready = False
        aggregate.release_at = None
        aggregate.finished_at = self.timestamp


class Retried(TaskEvent):
    """A person or a policy drives a finished task again, with a fresh budget."""

    TOPIC = "task.retried"

    actor: str
    reason: str = ""
    priority: int = 5

    def apply(self, aggregate: TaskState) -> None:
        """Make the task ready; attempt numbers go on, so that an old attempt stays fenced out."""
        _make_pending(aggregate, ready=True, release_at=None)
        _forget_the_past(aggregate)


def _make_pending(aggregate: TaskState, *, ready: bool, release_at: datetime | None) -> None:
    aggregate.status = Status.PENDING
    aggregate.ready = ready
    aggregate.release_at = release_at


def _forget_the_past(aggregate: TaskState) -> None:
    aggregate.failures = aggregate.losses = 0
    aggregate.finished_at = None
    aggregate.result = aggregate.error = aggregate.cause = None
    aggregate.progress = aggregate.progress_message = None
    aggregate.cancel_requested = False
    aggregate.cancel_actor = aggregate.cancel_reason = ""
