"""The shapes of schedules over HTTP: what is accepted, and what is answered.

`ledger.schedules.schedule` has the last word on every bound, over HTTP and without.
"""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.schemas import REASON_CHARS_MAX, WITHOUT_NUL_PATTERN, Moment, ShownTag, Text
from ledger.schedules.schedule import DEFAULT_TIME_ZONE, NAME_PATTERN, Backfill, Overlap
from ledger.specification import (
    ATTEMPTS_MAX,
    DEFAULT_KIND,
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    KEY_CHARS_MAX,
    KIND_PATTERN,
    PRIORITY_MAX,
    QUEUE_PATTERN,
    TAG_CHARS_MAX,
    TAGS_MAX,
    TIMEOUT_SECONDS_MAX,
)

LISTED_DEFAULT = 100


class ScheduledTask(BaseModel):
    """The task that each fire submits."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: JsonValue = Field(None, description="Any JSON value: what the handler gets.")
    kind: str = Field(DEFAULT_KIND, json_schema_extra={"pattern": KIND_PATTERN})
    queue: str = Field(DEFAULT_QUEUE, json_schema_extra={"pattern": QUEUE_PATTERN})
    priority: int = Field(DEFAULT_PRIORITY, json_schema_extra={"minimum": 0, "maximum": PRIORITY_MAX})
    max_attempts: int | None = Field(None, json_schema_extra={"minimum": 1, "maximum": ATTEMPTS_MAX})
    timeout_s: float | None = Field(None, json_schema_extra={"minimum": 0.1, "maximum": TIMEOUT_SECONDS_MAX})
    tags: list[ShownTag] = Field(
        [],
        description=f"1 to {TAG_CHARS_MAX} characters each; `schedule:<name>` is added.",
        json_schema_extra={"maxItems": TAGS_MAX - 1},
    )
    key: str | None = Field(
        None,
        description="What limits by key count it under.",
        json_schema_extra={"minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": WITHOUT_NUL_PATTERN},
    )


class ScheduleBody(BaseModel):
    """What a schedule fires, and when."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"cron": "*/5 * * * *"},
                {
                    "cron": "30 2 * * MON-FRI",
                    "time_zone": "Europe/Berlin",
                    "task": {"kind": "report.daily", "queue": "reports", "input": {"of": "yesterday"}},
                    "backfill": "latest",
                    "overlap": "skip",
                    "reason": "the daily report",
                },
            ]
        },
    )

    cron: str = Field(description="Five fields, as Debian's cron reads them, clock changes included.")
    time_zone: str = Field(DEFAULT_TIME_ZONE, description="A name of the IANA database.")
    task: ScheduledTask = Field(default_factory=ScheduledTask)
    backfill: Backfill = Field(
        Backfill.LATEST,
        description="Which missed fires are made up for: `none`, the `latest` one, `all`.",
    )
    overlap: Overlap = Field(
        Overlap.ALLOW, description="`skip` a fire while the task of the fire before it is unfinished."
    )
    paused: bool | None = Field(None, description="Left as it is when absent; a new schedule runs.")
    starts_at: Moment | None = Field(None, description="No fire before this moment.")
    ends_at: Moment | None = Field(None, description="No fire after this moment.")
    reason: Text = Field("", max_length=REASON_CHARS_MAX, description="Why; it goes into the changes.")


class ScheduleListQuery(BaseModel):
    """Which schedules to list."""

    model_config = ConfigDict(extra="forbid")

    after: Text = Field("", max_length=64, description="Only names after this one: the `next_after` of a page.")
    limit: int | None = Field(None, ge=1, description=f"How many schedules at most; {LISTED_DEFAULT} when absent.")


class ScheduledTaskShown(BaseModel):
    """The task that each fire submits."""

    kind: str
    queue: str
    input: JsonValue
    priority: int
    max_attempts: int
    timeout_s: float
    tags: list[str]
    key: str | None


class ScheduleListed(BaseModel):
    """A schedule as it stands."""

    name: str = Field(pattern=NAME_PATTERN)
    cron: str
    time_zone: str
    task: ScheduledTaskShown
    backfill: Backfill
    overlap: Overlap
    paused: bool
    starts_at: datetime | None
    ends_at: datetime | None
    next_fire_at: datetime | None = Field(description="null while it is paused, and when it will not fire again.")
    last_fire_at: datetime | None
    last_task_id: UUID | None
    created_at: datetime
    updated_at: datetime


class FireShown(BaseModel):
    """What became of a fire."""

    fire_at: datetime
    task_id: UUID | None = Field(description="null when it was skipped.")
    outcome: str = Field(description="fired, fired_by_hand, skipped.")
    recorded_at: datetime


class ScheduleShown(ScheduleListed):
    """A schedule with what it will fire next and what it fired last."""

    next_fires: list[datetime] = Field(description="The next five fire times, if it has as many.")
    recent_fires: list[FireShown] = Field(description="The latest five fires, newest first.")


class ScheduleList(BaseModel):
    """A page of the schedules, by name."""

    schedules: list[ScheduleListed]
    next_after: str | None = Field(description="Ask for the next page with it; null on the last one.")


class ScheduleChangeShown(BaseModel):
    """Who changed a schedule, when and why, with all of it as it was from then on."""

    id: int
    change: str = Field(description="created, changed, paused, resumed, fired, removed.")
    definition: dict[str, JsonValue]
    actor: str
    reason: str
    recorded_at: datetime


class ScheduleChanges(BaseModel):
    """A page of the changes of a schedule, newest first."""

    changes: list[ScheduleChangeShown]
    next_before: int | None = Field(description="Ask for the next page with it; null on the last one.")


class FiredByHandShown(BaseModel):
    """The receipt of a fire by hand."""

    schedule: str
    fire_at: datetime
    task_id: UUID
