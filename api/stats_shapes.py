"""The shapes of timelines, statistics and failures: what is asked for, and what is answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.failures import FailureFilter
from api.schemas import CURSOR_CHARS_MAX, Moment
from ledger.specification import KIND_PATTERN, QUEUE_PATTERN

_STEP_SECONDS_MAX = 366 * 86_400


class StatsQuery(BaseModel):
    """Which statistics; without `since` those of the last hour."""

    model_config = ConfigDict(extra="forbid")

    queue: str | None = Field(None, pattern=QUEUE_PATTERN)
    kind: str | None = Field(None, pattern=KIND_PATTERN)
    since: Moment | None = Field(None, description="From the minute of this moment on.")
    until: Moment | None = Field(None, description="Before the minute of this moment; now when absent.")
    step: int | None = Field(
        None,
        ge=60,
        le=_STEP_SECONDS_MAX,
        description="Seconds from point to point: whole minutes",
    )


class FailuresQuery(BaseModel):
    """Which failure groups."""

    model_config = ConfigDict(extra="forbid")

    kind: str | None = Field(None, pattern=KIND_PATTERN)
    queue: str | None = Field(None, pattern=QUEUE_PATTERN)
    since: Moment | None = Field(None, description="Groups with a failure at this moment or later.")
    limit: int = Field(50, ge=1, description="How many groups at most.")
    cursor: str | None = Field(
        None,
        max_length=CURSOR_CHARS_MAX,
        description="The `next_cursor` of the page before, with the same filters.",
    )

    def filter(self) -> FailureFilter:
        """Return which groups are meant."""
        return FailureFilter(kind=self.kind, queue=self.queue, since=self.since)


class LaneShown(BaseModel):
    """One attempt; what is null is still open."""

    attempt: int
    worker: str
    ready_at: datetime
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None = Field(description="completed, failed, will_retry, cancelled.")
    cause: str | None = Field(description="Why it failed: error, timeout, worker_lost, interrupted.")


class TimelineShown(BaseModel):
    """Where the time of a task went. The seconds are those of states that are over."""

    task_id: UUID
    version: int
    position: int
    kind: str
    queue: str
    state: str = Field(description="waiting (held back), queued (ready), running, finished; since `since`.")
    since: datetime
    submitted_at: datetime
    ready_at: datetime | None = Field(description="When it was ready for the first time.")
    started_at: datetime | None = Field(description="When it was started for the first time.")
    finished_at: datetime | None
    waiting_seconds: float
    queued_seconds: float
    running_seconds: float
    total_seconds: float | None
    attempts: int
    releases: int
    holds: int
    lanes: list[LaneShown] = Field(description="The last 100 attempts, oldest first.")


class Latencies(BaseModel):
    """Percentiles in seconds, at most 12 % beside the true ones; null where nothing was measured."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None


class Figures(BaseModel):
    """What happened within a time."""

    submitted: int
    started: int
    completed: int
    failed: int = Field(description="For good.")
    will_retry: int = Field(description="Attempts that failed and are followed by another.")
    cancelled: int
    retried: int = Field(description="Driven again by hand, after the end.")
    completed_per_second: float
    failure_share: float | None = Field(description="Failed attempts among those that completed or failed.")
    queued: Latencies = Field(description="From ready to started.")
    run: Latencies = Field(description="From started to the end of the attempt.")


class StatsPoint(Figures):
    """One step."""

    at: datetime


class Stats(BaseModel):
    """A series over time, and its totals."""

    since: datetime
    until: datetime
    step: float = Field(description="In seconds.")
    points: list[StatsPoint]
    totals: Figures


class FailureListed(BaseModel):
    """The same trouble: one type of error, one message without what varies in it, one place."""

    id: UUID = Field(description="A digest of type, message and frame: the same on every ledger.")
    type: str
    message: str = Field(description="With `<n>`, `<uuid>`, `<text>`, `<path>` … in place of what varies.")
    frame: str = Field(description="The top frame of the traceback: file and function.")
    attempts: int = Field(description="Failed attempts.")
    final: int = Field(description="Those that had no retry to come.")
    first_seen: datetime
    last_seen: datetime
    last_position: int
    tasks: list[UUID] = Field(description="The last 10 tasks, newest first.")
    kinds: list[str] = Field(description="At most 20.")
    queues: list[str] = Field(description="At most 20.")


class FailurePage(BaseModel):
    """A page of failure groups, the latest failure first."""

    failures: list[FailureListed]
    next_cursor: str | None = Field(description="Ask for the next page with it; null on the last one.")


class FailureHour(BaseModel):
    """How often it happened within an hour."""

    hour: datetime
    attempts: int
    final: int


class FailureShown(FailureListed):
    """A failure group with its trend."""

    trend: list[FailureHour] = Field(description="The last 336 hours that have any, oldest first.")
