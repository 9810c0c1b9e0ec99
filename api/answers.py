"""The shapes of answers, for the OpenAPI document; the routes write their JSON straight from what they have."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ledger.task_words import Status


class Submitted(BaseModel):
    """The receipt of a submitted task."""

    task_id: UUID


class BatchTaken(BaseModel):
    """The receipt of a batch: all of it is in the ledger."""

    task_ids: list[UUID] = Field(description="In the order of the items.")
    count: int


class TaskStatus(BaseModel):
    """The status of a task, as the seed answers it."""

    task_id: UUID
    status: Status
    input: JsonValue
    result: JsonValue = Field(
        description="What the handler returned; the error's message when FAILED; null while not finished."
    )
    created_at: datetime
    updated_at: datetime


class TaskFailure(BaseModel):
    """What went wrong in the last failed attempt."""

    type: str
    message: str | None = Field(None, description="Absent where it was erased.")
    traceback: str | None = None


class TaskListed(BaseModel):
    """A task in a list: everything but its input, its result and the traceback of its error."""

    task_id: UUID
    version: int = Field(description="How many events it has.")
    position: int = Field(description="Where its last event stands in the ledger.")
    status: Status
    kind: str
    queue: str
    priority: int
    tags: list[str]
    error: TaskFailure | None
    cause: str | None = Field(
        description="Why the last attempt failed: error, timeout, worker_lost, interrupted, parent."
    )
    attempt: int = Field(description="The number of the last attempt; 0 before the first.")
    failures: int = Field(description="Attempts that failed, since the last retry by hand.")
    losses: int = Field(description="Attempts that were lost with their worker.")
    max_attempts: int
    timeout_s: float
    worker_id: str | None
    ready: bool = Field(description="Pending, and nothing holds it back.")
    release_at: datetime | None = Field(description="When a pending task that waits becomes ready.")
    ready_at: datetime | None
    progress: float | None
    progress_message: str | None
    cancel_requested: bool
    parent: UUID | None
    key: str | None = Field(description="What limits by key count it under.")
    unique_key: str | None = Field(description="No two unfinished tasks of a kind have the same.")
    after: list[UUID] = Field(description="The tasks that have to complete before it is ready.")
    on_parent_failure: str | None = Field(
        description="What becomes of it when one of those does not: cancel, fail."
    )
    tenant: str | None = Field(description="What follows `tenant:` in its first tag that begins so.")
    hold: str | None = Field(description="Why it is held back while pending: paused, limit, after.")
    discarded: bool = Field(description="Failed, and set aside as dealt with.")
    correlation_id: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


class StaleWriteShown(BaseModel):
    """The outcome of an attempt that no longer owned the task: refused, and kept as evidence."""

    type: str
    attempt: int
    current_attempt: int
    status: Status = Field(description="The task's status when it was refused.")
    worker_id: str
    data: JsonValue
    occurred_at: datetime
    recorded_at: datetime


class TaskShown(TaskListed):
    """Everything known about a task."""

    input: JsonValue
    result: JsonValue
    stale_writes: list[StaleWriteShown]


class Change(BaseModel):
    """What a field was, and what it became."""

    was: JsonValue = Field(alias="from")
    became: JsonValue = Field(alias="to")


class TaskMoment(BaseModel):
    """One side of a comparison of a task with itself."""

    as_of: datetime
    version: int = Field(description="How many events it had; 0 where it was not there yet.")


class TaskDiff(BaseModel):
    """What changed of a task between two moments."""

    task_id: UUID
    before: TaskMoment = Field(alias="from")
    after: TaskMoment = Field(alias="to")
    changes: dict[str, Change] = Field(description="By the names of the fields that differ.")


class TaskCounts(BaseModel):
    """How many tasks there were at a moment."""

    as_of: datetime
    total: int
    by_status: dict[Status, int]
    by_queue: dict[str, dict[Status, int]]
    by_kind: dict[str, dict[Status, int]]


_SETTLED = Field(description="False while a transaction that may have recorded something by then is still open.")


class LedgerThen(TaskCounts):
    """How many tasks there were at a moment, and whether that can still change."""

    settled: bool = _SETTLED


class Moved(BaseModel):
    """How many tasks had one status and came to another one."""

    was: Status | None = Field(alias="from", description="Null: they were not submitted yet.")
    became: Status = Field(alias="to")
    tasks: int


class LedgerDiff(BaseModel):
    """How many tasks there were at two moments, and how they moved."""

    before: TaskCounts = Field(alias="from")
    after: TaskCounts = Field(alias="to")
    settled: bool = _SETTLED
    changed: int = Field(description="How many tasks have an event that was recorded in between.")
    moved: list[Moved]


class TaskPage(BaseModel):
    """A page of tasks, newest first."""

    tasks: list[TaskListed]
    next_cursor: str | None = Field(
        description="Ask for the next page with it: one ends after `limit` events, "
        "or as much data as an answer may have (LEDGER_SEARCH_BYTES_MAX). Null on the last one."
    )


class EventShown(BaseModel):
    """An event, as the ledger holds it for ever."""

    id: str = Field(description="`task_id:version`.")
    position: int
    task_id: UUID
    version: int
    type: str
    schema_version: int
    kind: str
    queue: str
    data: dict[str, JsonValue]
    occurred_at: datetime = Field(description="By the clock of whoever decided it.")
    recorded_at: datetime = Field(description="By the database's clock.")
    actor: str
    correlation_id: str
    causation_id: str | None
    traceparent: str | None


class History(BaseModel):
    """The events of a task, oldest first."""

    events: list[EventShown]
    next_after_version: int | None = Field(description="Ask for the next page with it; null on the last one.")


class ExplainedReason(BaseModel):
    """One reason, with the numbers that its sentence speaks of beside it."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(examples=["no_worker"])
    sentence: str


class Explained(BaseModel):
    """Why a task is where it is."""

    task_id: UUID
    status: Status
    summary: str = Field(description="One sentence: that of the first reason.")
    facts: dict[str, JsonValue] = Field(description="What the reasons were drawn from.")
    because: list[ExplainedReason]


class CommandTaken(BaseModel):
    """What a command left the task as."""

    task_id: UUID
    status: Status
    version: int
    cancel_requested: bool = Field(description="The worker of the running attempt was asked to stop.")


class Health(BaseModel):
    """The process answers."""

    status: str = Field(examples=["ok"])


class Ready(BaseModel):
    """The process can serve."""

    status: str = Field(description="`ready`, or `degraded` when the broker is out of reach.", examples=["ready"])
    checks: dict[str, JsonValue] = Field(
        description="`database`, `schema`, `broker` where it is configured, and `lag_events`: how many events "
        "each reader of the ledger, by the name of its checkpoint, has before it."
    )


class ProblemDocument(BaseModel):
    """What went wrong, by RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    error: str = Field(description="The same as one text, as the seed answers it.")
