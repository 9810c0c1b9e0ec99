"""The shapes of requests: what is accepted, and what the OpenAPI document says of it.

Shapes are strict (no "5" for 5) and refuse unknown fields. Bounds that the ledger itself checks stand here for the
document only: `ledger.specification` has the last word, over HTTP and without.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from ledger.specification import (
    AFTER_MAX,
    ATTEMPTS_MAX,
    DEFAULT_KIND,
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    DELAY_SECONDS_MAX,
    KEY_CHARS_MAX,
    KIND_PATTERN,
    PRIORITY_MAX,
    QUEUE_PATTERN,
    TAG_CHARS_MAX,
    TAGS_MAX,
    TIMEOUT_SECONDS_MAX,
)
from ledger.task_words import ParentPolicy, Status

REASON_CHARS_MAX = 1000
REF_PATTERN = r"^[A-Za-z0-9_.:/-]{1,100}$"
VERSION_MAX = 2_147_483_647
CURSOR_CHARS_MAX = 200
POSITION_MAX = 2**63 - 1
EVENT_TYPES_MAX = 50
WITHOUT_NUL_PATTERN = r"^[^\u0000]*$"

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


# What is nearer to an end of the calendar stands for these, so that offsets and intervals can be added to it.
_FIRST = datetime(1, 1, 3, tzinfo=UTC)
_LAST = datetime(9999, 12, 29, tzinfo=UTC)


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str) and _RFC_3339.fullmatch(value):
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
            return min(max(moment, _FIRST), _LAST)
    except (ValueError, OverflowError):
        pass
    bound = "an RFC 3339 time with its offset, for example 2030-01-31T09:30:00Z"
    raise ValueError(bound)


def without_nul(text: str) -> str:
    """Return the text; ValueError where it has a NUL character, which Postgres does not store."""
    if "\0" in text:
        bound = "text without NUL characters"
        raise ValueError(bound)
    return text


Moment = Annotated[datetime, PlainValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
SHOWN_WITHOUT_NUL = Field(json_schema_extra={"pattern": WITHOUT_NUL_PATTERN})
Text = Annotated[str, AfterValidator(without_nul), SHOWN_WITHOUT_NUL]
EventTypes = Annotated[str, Field(max_length=1000, pattern=r"^[a-z_]+\.[a-z_]+(,[a-z_]+\.[a-z_]+)*$")]
Tag = Annotated[str, Field(min_length=1, max_length=TAG_CHARS_MAX), AfterValidator(without_nul), SHOWN_WITHOUT_NUL]
# The specification refuses it, with a sentence that is the same for every way in.
ShownTag = Annotated[
    str,
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": TAG_CHARS_MAX, "pattern": WITHOUT_NUL_PATTERN}),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Submission(_Request):
    """A task to run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"input": "hello"},
                {
                    "input": {"to": "ada@example.org", "template": "welcome"},
                    "kind": "mail.send",
                    "queue": "mail",
                    "priority": 7,
                    "delay_s": 60,
                    "max_attempts": 5,
                    "timeout_s": 30,
                    "tags": ["tenant:acme"],
                },
            ]
        }
    )

    input: JsonValue = Field(description="Any JSON value: what the handler gets.")
    kind: str | None = Field(
        None,
        description=f"Which handler runs it; `{DEFAULT_KIND}` when absent.",
        json_schema_extra={"pattern": KIND_PATTERN},
    )
    queue: str | None = Field(
        None,
        description=f"Which workers get it; `{DEFAULT_QUEUE}` when absent.",
        json_schema_extra={"pattern": QUEUE_PATTERN},
    )
    priority: int | None = Field(
        None,
        description=f"0 (last) to {PRIORITY_MAX} (first); {DEFAULT_PRIORITY} when absent.",
        json_schema_extra={"minimum": 0, "maximum": PRIORITY_MAX},
    )
    run_at: Moment | None = Field(None, description="Not before this moment; in the past means now.")
    delay_s: float | None = Field(
        None,
        ge=0,
        le=DELAY_SECONDS_MAX,
        description="Not before so many seconds from now; not together with run_at.",
    )
    max_attempts: int | None = Field(
        None,
        description="How many attempts may fail before the task is FAILED.",
        json_schema_extra={"minimum": 1, "maximum": ATTEMPTS_MAX},
    )
    timeout_s: float | None = Field(
        None,
        description="How many seconds one attempt may run.",
        json_schema_extra={"minimum": 0.1, "maximum": TIMEOUT_SECONDS_MAX},
    )
    tags: list[ShownTag] | None = Field(
        None,
        description=f"Labels to search by, at most {TAGS_MAX} of 1 to {TAG_CHARS_MAX} characters each.",
        json_schema_extra={"maxItems": TAGS_MAX},
    )
    key: str | None = Field(
        None,
        description="What the limits by key of its queue count it under, for example an account.",
        json_schema_extra={"minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": WITHOUT_NUL_PATTERN},
    )
    unique_key: str | None = Field(
        None,
        description="While an unfinished task of the same kind has it, a submit makes no task: it is answered "
        "with the id of that one and `Ledger-Existing: true`.",
        json_schema_extra={"minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": WITHOUT_NUL_PATTERN},
    )
    after: list[str] | None = Field(
        None,
        max_length=AFTER_MAX,
        description="The tasks that have to complete before it is ready.",
        json_schema_extra={"items": {"type": "string", "format": "uuid"}, "uniqueItems": True},
    )
    on_parent_failure: ParentPolicy | None = Field(
        None, description="What becomes of it when one of those does not complete; `cancel` when absent."
    )
    erasable: bool | None = Field(
        None,
        description="What it is given and comes up with is encrypted, and can be erased when it is finished; "
        "false when absent, unless LEDGER_ERASABLE is all.",
    )

    @model_validator(mode="after")
    def _starts_once(self) -> Self:
        if self.run_at is not None and self.delay_s is not None:
            sentence = "run_at and delay_s must not both be given"
            raise ValueError(sentence)
        return self


class BatchItem(Submission):
    """A task of a batch: what a submission takes, and a name by which the other tasks of the batch refer to it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"ref": "fetch", "input": {"url": "https://example.org"}},
                {"input": "report", "after": ["fetch", "0198f3c2-7a1e-7c3a-9d52-0f4be0a1c9d7"]},
            ]
        }
    )

    ref: str | None = Field(
        None,
        description="What `after` of other tasks in the batch may say for it; no task id, and once in a batch.",
        json_schema_extra={"pattern": REF_PATTERN},
    )
    after: list[str] | None = Field(
        None,
        max_length=AFTER_MAX,
        description="The tasks that have to complete before it is ready: task ids, and refs of the batch.",
    )
    unique_key: str | None = Field(
        None, description="Not taken in a batch.", json_schema_extra={"anyOf": [{"type": "null"}]}
    )

    @field_validator("unique_key")
    @classmethod
    def _is_not_unique(cls, unique_key: str | None) -> None:
        if unique_key is not None:
            bound = "absent in a batch (submit the task by itself)"
            raise ValueError(bound)


class Reason(_Request):
    """Why somebody cancels or retries; it goes into the history."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the customer called it off"}]})

    reason: Text = Field("", max_length=REASON_CHARS_MAX)


class HistoryQuery(BaseModel):
    """Which part of a task's history to show."""

    model_config = ConfigDict(extra="forbid")

    after_version: int = Field(0, ge=0, le=VERSION_MAX, description="Only the events after this version.")
    limit: int = Field(100, ge=1, description="How many events at most.")


class StreamQuery(BaseModel):
    """Which events to stream."""

    model_config = ConfigDict(extra="forbid")

    types: list[EventTypes] = Field(
        [],
        max_length=EVENT_TYPES_MAX,
        description="Events of any of these types, for example `task.completed`; again, or with commas between.",
    )
    kind: str | None = Field(None, pattern=KIND_PATTERN)
    queue: str | None = Field(None, pattern=QUEUE_PATTERN)
    after: int | None = Field(
        None,
        ge=0,
        le=POSITION_MAX,
        description="Only the events after this position; Last-Event-ID goes before it.",
    )


class ListQuery(BaseModel):
    """Which tasks to list; several values of one field mean any of them for `status` and all of them for `tag`."""

    model_config = ConfigDict(extra="forbid")

    status: list[Status] = Field([], description="Tasks in any of these states.")
    kind: str | None = Field(None, pattern=KIND_PATTERN)
    queue: str | None = Field(None, pattern=QUEUE_PATTERN)
    tag: list[Tag] = Field([], max_length=TAGS_MAX, description="Tasks that have every one of these tags.")
    created_after: Moment | None = Field(None, description="Tasks submitted at this moment or later.")
    created_before: Moment | None = Field(None, description="Tasks submitted before this moment.")
    as_of: Moment | None = Field(
        None, description="As they were at this moment: by the events recorded until then. Now when absent."
    )
    limit: int = Field(50, ge=1, description="How many tasks at most.")
    cursor: str | None = Field(
        None,
        max_length=CURSOR_CHARS_MAX,
        description="The `next_cursor` of the page before, with the same filters.",
    )
