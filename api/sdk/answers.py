"""What the client returns: frozen, typed, and open for what a newer server adds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

FINISHED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A submission that is in the ledger.

    Attributes:
        position: where the task's first event stands in the log.
        replayed: the same request was answered before, with this task.
        existing: an unfinished task of the same kind and unique key was found, and is this one.
    """

    task_id: UUID
    position: int
    replayed: bool = False
    existing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """What went wrong in the last failed attempt."""

    type: str
    message: str
    traceback: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleWrite:
    """What an attempt wanted to record when it was no longer the current one."""

    type: str
    attempt: int
    current_attempt: int
    status: str
    worker_id: str = ""
    data: Any = field(default=None, repr=False)
    occurred_at: datetime | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """The status of a task.

    Attributes:
        status: PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.
        result: what the handler returned; the error's message when FAILED; None while not finished.
    """

    task_id: UUID
    status: str
    input: Any = field(repr=False)
    result: Any = field(repr=False)
    created_at: datetime
    updated_at: datetime

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless somebody retries the task."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Everything known about a task; a list leaves out the input, the result and the traceback."""

    task_id: UUID
    status: str
    version: int
    position: int
    kind: str
    queue: str
    priority: int = 5
    tags: tuple[str, ...] = ()
    input: Any = field(default=None, repr=False)
    result: Any = field(default=None, repr=False)
    error: TaskFailure | None = None
    cause: str | None = None
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    max_attempts: int = 0
    timeout_s: float = 0.0
    worker_id: str | None = None
    ready: bool = False
    release_at: datetime | None = None
    ready_at: datetime | None = None
    progress: float | None = None
    progress_message: str | None = None
    cancel_requested: bool = False
    parent: UUID | None = None
    key: str | None = None
    unique_key: str | None = None
    after: tuple[UUID, ...] = ()
    on_parent_failure: str | None = None
    tenant: str | None = None
    hold: str | None = None
    discarded: bool = False
    correlation_id: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    stale_writes: tuple[StaleWrite, ...] = field(default=(), repr=False)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless somebody retries the task."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event, as the ledger holds it for ever."""

    id: str
    position: int
    task_id: UUID
    version: int
    type: str
    kind: str
    queue: str
    data: Mapping[str, Any] = field(repr=False)
    occurred_at: datetime
    recorded_at: datetime
    schema_version: int = 1
    actor: str = ""
    correlation_id: str = ""
    causation_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason why a task is where it is."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a task is where it is.

    Attributes:
        summary: one sentence: that of the first reason.
        facts: what the reasons were drawn from.
    """

    task_id: UUID
    status: str
    summary: str
    because: tuple[Reason, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded:
    """What a command left the task as; `cancel_requested` says that its worker was asked to stop."""

    task_id: UUID
    status: str
    version: int
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCounts:
    """How many tasks there were at a moment; `settled` says that this can no longer change."""

    as_of: datetime
    total: int
    settled: bool = True
    by_status: Mapping[str, int] = field(default_factory=dict)
    by_queue: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    by_kind: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How many tasks went from one status to another; from None are those that were submitted."""

    begin: str | None = field(metadata={"json": "from"})
    end: str = field(metadata={"json": "to"})
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDiff:
    """How many tasks there were at two moments; `settled` says that this can no longer change."""

    begin: LedgerCounts = field(metadata={"json": "from"})
    end: LedgerCounts = field(metadata={"json": "to"})
    changed: int = 0
    settled: bool = True
    moved: tuple[Moved, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMoment:
    """A task at a moment."""

    as_of: datetime
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDiff:
    """What changed about a task; `changes` has by name what it was and what it became."""

    task_id: UUID
    begin: TaskMoment = field(metadata={"json": "from"})
    end: TaskMoment = field(metadata={"json": "to"})
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One attempt in a timeline."""

    attempt: int
    worker: str
    ready_at: datetime
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """How long a task waited (not ready), was queued (ready) and ran, in seconds."""

    task_id: UUID
    state: str
    since: datetime
    submitted_at: datetime
    version: int = 0
    position: int = 0
    kind: str = ""
    queue: str = ""
    ready_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waiting_seconds: float = 0.0
    queued_seconds: float = 0.0
    running_seconds: float = 0.0
    total_seconds: float | None = None
    attempts: int = 0
    releases: int = 0
    holds: int = 0
    lanes: tuple[Lane, ...] = ()
