"""What the client returns: frozen, typed, and open for what a newer server adds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

Item = TypeVar("Item")

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


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list; `next` asks for the part after it, and is None on the last one."""

    items: tuple[Item, ...]
    next: str | int | None


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
class Queue:
    """A queue: `state` is open, draining or paused; `held` counts by reason what is held back."""

    name: str
    state: str
    paused_at: datetime | None = None
    ready: int = 0
    waiting: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    running: int = 0
    permits: int = 0
    dead: int = 0
    oldest_ready_at: datetime | None = None
    live_workers: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A task that failed for good, or a message that nobody could take."""

    id: UUID
    kind: str
    queue: str
    died_at: datetime
    reason: str = ""
    cause: str | None = None
    task_id: UUID | None = None
    task_kind: str | None = None
    task_version: int | None = None
    message_id: str | None = None
    error_type: str | None = None
    tags: tuple[str, ...] = ()
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterAct:
    """What was done about a dead letter."""

    id: UUID
    kind: str
    act: str
    task_id: UUID | None = None
    task_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule; `task` is what each fire submits."""

    name: str
    cron: str
    time_zone: str
    task: Mapping[str, Any] = field(repr=False)
    backfill: str = "latest"
    overlap: str = "allow"
    paused: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    next_fire_at: datetime | None = None
    last_fire_at: datetime | None = None
    last_task_id: UUID | None = None
    next_fires: tuple[datetime, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """The receipt of a fire by hand."""

    schedule: str
    fire_at: datetime
    task_id: UUID
