"""The shapes of requests and answers about bulk acts, and about those upon tasks."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.dead_letter_shapes import BulkPace, LetterFilter
from api.schemas import SHOWN_WITHOUT_NUL, Moment, Tag, without_nul
from ledger.bulk_acts.bulk_act import BulkState, BulkSubject
from ledger.bulk_acts.task_choice import TaskAct, TaskChoice
from ledger.dead_letters.letters import Act
from ledger.specification import KIND_PATTERN, QUEUE_PATTERN, TAGS_MAX
from ledger.task_words import Status

_WORD_CHARS_MAX = 200
_Word = Annotated[str, Field(max_length=_WORD_CHARS_MAX), AfterValidator(without_nul), SHOWN_WITHOUT_NUL]


class TaskFilterGiven(BaseModel):
    """Which tasks are meant: the filters of `GET /tasks`, and the error. A task that was discarded never is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: list[Status] = Field(
        [],
        max_length=len(Status),
        description="Tasks in any of these states. When empty: FAILED to retry, PENDING and RUNNING to cancel.",
    )
    kind: str | None = Field(None, pattern=KIND_PATTERN)
    queue: str | None = Field(None, pattern=QUEUE_PATTERN)
    tags: list[Tag] = Field([], max_length=TAGS_MAX, description="Tasks that have every one of these tags.")
    error_type: _Word | None = Field(None, description="Tasks whose last error was of this type.")
    created_after: Moment | None = Field(None, description="Tasks submitted at this moment or later.")
    created_before: Moment | None = Field(None, description="Tasks submitted before this moment.")

    def choice(self, act: TaskAct) -> TaskChoice:
        """Return what is asked for, with the states that are usual for the act where none is."""
        return TaskChoice(
            status=tuple(self.status) or act.usual_statuses,
            kind=self.kind,
            queue=self.queue,
            tags=self.tags or None,
            error_type=self.error_type,
            created_after=self.created_after,
            created_before=self.created_before,
        )


class TaskBulkRequest(BulkPace):
    """Which tasks to retry or to cancel, and how fast."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"filter": {"queue": "mail", "error_type": "ConnectionError"}},
                {"filter": {"kind": "report"}, "dry_run": False, "rate_per_s": 10, "reason": "the disk is back"},
            ]
        },
    )

    filter: TaskFilterGiven = TaskFilterGiven()


class ChosenTaskShown(BaseModel):
    """A task that a bulk act would be about."""

    task_id: UUID
    status: Status
    kind: str
    queue: str
    tags: list[str]
    attempt: int
    error_type: str | None
    created_at: datetime
    updated_at: datetime


class TaskSample(BaseModel):
    """What a bulk act upon tasks would find."""

    dry_run: bool
    count: int
    filter: TaskFilterGiven = Field(description="What was asked for, with the states that were meant.")
    sample: list[ChosenTaskShown] = Field(description="The newest of them.")


class BulkActShown(BaseModel):
    """What is done about many dead letters or tasks, and how far it has come."""

    bulk_id: UUID
    subject: BulkSubject
    act: Act | TaskAct
    state: BulkState
    filter: LetterFilter | TaskFilterGiven
    reason: str
    actor: str
    rate_per_s: int
    limit: int | None
    count: int = Field(description="How many there were when it was asked for.")
    acted: int = Field(description="How many it has acted upon.")
    skipped: int = Field(description="Those that others dealt with first, or that refuse the act.")
    created_at: datetime = Field(description="What died or was submitted later is none of them.")
    ended_at: datetime | None
    cancelled_by: str | None


class BulkActsQuery(BaseModel):
    """Which bulk acts to list."""

    model_config = ConfigDict(extra="forbid")

    subject: BulkSubject | None = None
    state: list[BulkState] = Field([], description="Bulk acts in any of these states.")
    before: UUID | None = Field(None, description="Only those begun before this one.")
    limit: int = Field(50, ge=1, description="How many at most.")


class BulkActPage(BaseModel):
    """A page of bulk acts, newest first."""

    bulk_acts: list[BulkActShown]
    next_before: UUID | None = Field(description="Ask for the next page with it; null on the last one.")
