"""The shapes of requests and answers about dead letters."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from api.answers import EventShown, StaleWriteShown
from api.schemas import CURSOR_CHARS_MAX, REASON_CHARS_MAX, SHOWN_WITHOUT_NUL, Moment, Tag, Text, without_nul
from ledger.bulk_acts.bulk_act import LIMIT_MAX
from ledger.bulk_acts.pace import RATE_PER_S_DEFAULT, RATE_PER_S_MAX
from ledger.dead_letters.letters import Act, DeadLetterFilter, LetterKind
from ledger.specification import KIND_PATTERN, QUEUE_PATTERN, TAGS_MAX

_WORD_CHARS_MAX = 200
_Word = Annotated[str, Field(max_length=_WORD_CHARS_MAX), AfterValidator(without_nul), SHOWN_WITHOUT_NUL]


class _Letters(BaseModel):
    kind: LetterKind | None = None
    task_kind: str | None = Field(None, pattern=KIND_PATTERN, description="Dead letters about tasks of this kind.")
    queue: str | None = Field(None, pattern=QUEUE_PATTERN)
    error_type: _Word | None = Field(None, description="Tasks whose last error was of this type.")
    cause: _Word | None = Field(
        None,
        description="Of tasks error, timeout, worker_lost, parent; of messages rejected or the broker's word.",
    )
    died_after: Moment | None = Field(None, description="Dead since this moment, or later.")
    died_before: Moment | None = Field(None, description="Dead before this moment.")

    def _letters(self, tags: Sequence[str]) -> DeadLetterFilter:
        asked = {name: getattr(self, name) for name in _Letters.model_fields}
        return DeadLetterFilter(**asked, tags=tags or None)


class LetterQuery(_Letters):
    """Which dead letters to list; several tags mean all of them."""

    model_config = ConfigDict(extra="forbid")

    tag: list[Tag] = Field([], max_length=TAGS_MAX, description="Tasks that have every one of these tags.")
    limit: int = Field(50, ge=1, description="How many dead letters at most.")
    cursor: str | None = Field(
        None,
        max_length=CURSOR_CHARS_MAX,
        description="The `next_cursor` of the page before, with the same filters.",
    )

    def letters(self) -> DeadLetterFilter:
        """Return what is asked for."""
        return self._letters(self.tag)


class LetterFilter(_Letters):
    """Which dead letters are meant; nothing given means all of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tags: list[Tag] = Field([], max_length=TAGS_MAX, description="Tasks that have every one of these tags.")

    def letters(self) -> DeadLetterFilter:
        """Return what is asked for."""
        return self._letters(self.tags)


class DiscardReason(BaseModel):
    """Why a dead letter is set aside; it goes into the history."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"reason": "the order was called off"}]}
    )

    reason: Text = Field(max_length=REASON_CHARS_MAX)


class BulkPace(BaseModel):
    """How fast, how many and why; what is not known to be wanted is not done."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dry_run: bool = Field(default=True, description="Only say how many there are, with a sample.")
    rate_per_s: int = Field(RATE_PER_S_DEFAULT, ge=1, le=RATE_PER_S_MAX, description="How many a second at most.")
    reason: Text = Field("", max_length=REASON_CHARS_MAX)
    limit: int | None = Field(None, ge=1, le=LIMIT_MAX, description="How many at most.")


class BulkRequest(BulkPace):
    """Which dead letters to redrive or to discard, and how fast."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"filter": {"queue": "mail", "error_type": "ConnectionError"}},
                {
                    "filter": {"queue": "mail"},
                    "dry_run": False,
                    "rate_per_s": 10,
                    "reason": "the mail server is back",
                },
            ]
        },
    )

    filter: LetterFilter = LetterFilter()


class LetterListed(BaseModel):
    """A dead letter in a list: a task that failed for good, or a message that nobody could take."""

    id: UUID = Field(description="The task's id, or that of the message's letter.")
    kind: LetterKind
    queue: str
    task_kind: str | None
    task_id: UUID | None = Field(description="The task that failed, or that the message is about.")
    task_version: int | None
    message_id: str | None
    error_type: str | None
    reason: str = Field(description="The message of the task's error, or why the message was rejected.")
    cause: str | None
    tags: list[str]
    attempt: int | None
    died_at: datetime


class LetterPage(BaseModel):
    """A page of dead letters, newest first."""

    dead_letters: list[LetterListed]
    next_cursor: str | None = Field(description="Ask for the next page with it; null on the last one.")


class ActShown(BaseModel):
    """What was done about a dead letter."""

    act: Act
    actor: str
    reason: str
    bulk_id: UUID | None = Field(description="The bulk act that did it, if one did.")
    acted_at: datetime


class LetterShown(BaseModel):
    """Everything known about a dead letter; what its kind does not have is absent."""

    id: UUID
    kind: LetterKind
    queue: str
    task_kind: str | None
    task_id: UUID | None
    task_version: int | None
    reason: str
    cause: str | None
    died_at: datetime
    act: ActShown | None = Field(description="What was done about it; null while it is a dead letter.")
    message_id: str | None = Field(None, description="Of a message.")
    headers: dict[str, JsonValue] | None = Field(None, description="Of a message.")
    properties: dict[str, JsonValue] | None = Field(None, description="Of a message.")
    body: str | None = Field(None, description="Of a message: as much as is kept of it.")
    body_encoding: str | None = Field(None, description="`text`, or `base64` where it is no text in UTF-8.")
    body_bytes: int | None = Field(None, description="How large the body was.")
    body_is_cut: bool | None = None
    task_status: str | None = Field(None, description="Of a message of ours: how its task stands now.")
    error: dict[str, JsonValue] | None = Field(None, description="Of a task: type, message and traceback.")
    tags: list[str] | None = None
    input: JsonValue = None
    attempt: int | None = None
    failures: int | None = None
    losses: int | None = None
    max_attempts: int | None = None
    history: list[EventShown] | None = Field(None, description="Of a task: its last events, oldest first.")
    stale_writes: list[StaleWriteShown] | None = None


class LetterActTaken(BaseModel):
    """What was done about a dead letter."""

    id: UUID
    kind: LetterKind
    act: Act
    task_id: UUID | None
    task_version: int | None = Field(description="Of the event that says so, where it is one of a task.")


class BulkSample(BaseModel):
    """What a bulk act would find."""

    dry_run: bool
    count: int
    sample: list[LetterListed] = Field(description="The newest of them.")
