"""The events of a task, with explicit topics that stay for ever, and the state that they fold into.

A new shape of an event is a new `class_version` with an `upcast_vX_vY` beside the class and a golden file in
tests/contract/golden. `timestamp` is when it occurred by the clock of whoever decided it; in an event read
back from the ledger it is the database's `recorded_at`.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from eventsourcing.domain import AggregateCreated, AggregateEvent
from pydantic import JsonValue

from ledger.task_words import TENANT_TAG, Cause, HoldReason, ParentPolicy, ReleaseReason, Status


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
    key: str | None
    unique_key: str | None
    after: list[UUID]
    on_parent_failure: str | None

    status: Status
    ready: bool
    release_at: datetime | None
    hold: str | None
    admitted: bool
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
    discarded: bool
    erasable: bool
    erased: bool

    @property
    def tenant(self) -> str | None:
        """Whose task it is: what follows `tenant:` in the first tag that begins so."""
        return next((tag.removeprefix(TENANT_TAG) for tag in self.tags if tag.startswith(TENANT_TAG)), None)

    def become_pending(self, *, ready: bool, release_at: datetime | None = None, hold: str | None = None) -> None:
        """Wait for a worker, for a moment, or for whatever holds the task back."""
        self.status = Status.PENDING
        self.ready = ready
        self.release_at = release_at
        self.hold = hold
        self.admitted = False

    def leave_pending(self, status: Status) -> None:
        """Run, or be finished: nothing is waited for any more."""
        self.status = status
        self.ready = self.admitted = False
        self.release_at = self.hold = None

    def forget_the_past(self) -> None:
        """Begin anew, as after the submission."""
        self.failures = self.losses = 0
        self.finished_at = None
        self.result = self.error = self.cause = None
        self.progress = self.progress_message = None
        self.cancel_requested = self.discarded = False
        self.cancel_actor = self.cancel_reason = ""


class TaskEvent(AggregateEvent):
    """What every event of a task has: `originator_id`, `originator_version` and `timestamp`.

    TIMES and IDS name the fields that stand in JSON as text; PAYLOAD the one that the user fills, SEALED the
    one that is encrypted where the task is erasable.
    """

    class_version: ClassVar[int] = 1
    PAYLOAD: ClassVar[str] = "data"
    SEALED: ClassVar[str | None] = None
    TIMES: ClassVar[tuple[str, ...]] = ()
    IDS: ClassVar[tuple[str, ...]] = ()


class Submitted(AggregateCreated, TaskEvent):
    """A client asked for the task; it is ready unless `run_at` or `hold` holds it back."""

    TOPIC = "task.submitted"
    class_version: ClassVar[int] = 3
    PAYLOAD: ClassVar[str] = "input"
    SEALED: ClassVar[str | None] = "input"
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
    key: str | None = None
    unique_key: str | None = None
    after: list[str] | None = None
    on_parent_failure: ParentPolicy | None = None
    hold: HoldReason | None = None
    erasable: bool | None = None

    @staticmethod
    def upcast_v1_v2(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Leave it as it is: what version 2 has besides is absent where nobody asked for it.

        It has a version of its own all the same: a release that knows no `hold` would run what is held back.
        """
        return data

    @staticmethod
    def upcast_v2_v3(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Leave it as it is: a task that is not erasable says nothing of it.

        A release that knows no `erasable` would hand ciphertext to handlers, and record their results in clear.
        """
        return data

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
        aggregate.key = self.key
        aggregate.unique_key = self.unique_key
        aggregate.after = [UUID(parent) for parent in self.after or ()]
        aggregate.on_parent_failure = self.on_parent_failure
        aggregate.erasable = bool(self.erasable)
        aggregate.erased = False
        aggregate.attempt = 0
        aggregate.worker_id = aggregate.started_at = None
        is_ready = self.run_at is None and self.hold is None
        aggregate.become_pending(ready=is_ready, release_at=self.run_at, hold=self.hold)
        aggregate.forget_the_past()


class Released(TaskEvent):
    """A pending task became ready (again)."""

    TOPIC = "task.released"

    reason: ReleaseReason
    priority: int = 5

    def apply(self, aggregate: TaskState) -> None:
        """Make the task ready; what a limit admitted stays admitted when it is released again."""
        was_admitted = aggregate.ready and aggregate.admitted
        aggregate.become_pending(ready=True)
        aggregate.admitted = was_admitted or self.reason == ReleaseReason.LIMIT


class Held(TaskEvent):
    """A pending task is held back (again): nothing makes it ready but a Released."""

    TOPIC = "task.held"

    reason: HoldReason

    def apply(self, aggregate: TaskState) -> None:
        """Make the task wait, whenever it was due."""
        aggregate.become_pending(ready=False, hold=self.reason)


class Started(TaskEvent):
    """A worker was permitted to run the task."""

    TOPIC = "task.started"

    attempt: int
    worker_id: str

    def apply(self, aggregate: TaskState) -> None:
        """Make the task run under a new attempt number."""
        aggregate.leave_pending(Status.RUNNING)
        aggregate.attempt = self.attempt
        aggregate.worker_id = self.worker_id
        aggregate.started_at = self.timestamp
        aggregate.progress = aggregate.progress_message = None


class Progressed(TaskEvent):
    """The running attempt said how far it got; at most once a second is recorded."""

    TOPIC = "task.progressed"
    SEALED: ClassVar[str | None] = "message"

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
    SEALED: ClassVar[str | None] = "result"

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
    SEALED: ClassVar[str | None] = "error"
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
            aggregate.become_pending(ready=False, release_at=self.retry_at)
            return
        aggregate.leave_pending(Status.FAILED)
        aggregate.finished_at = self.timestamp
