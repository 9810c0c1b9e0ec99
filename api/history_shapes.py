"""The shapes of requests and answers about the history of all tasks."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from api.answers import EventShown
from api.schemas import CURSOR_CHARS_MAX, SHOWN_WITHOUT_NUL, Moment, without_nul
from ledger.codec import EVENT_TYPES
from ledger.history.audit import ACTS, AuditFilter, AuditOrder, AuditSource
from ledger.history.search import EventFilter
from ledger.specification import KIND_PATTERN, QUEUE_PATTERN

POSITION_MAX = 2**63 - 1
WORD_CHARS_MAX = 200
_TYPES_MAX = max(len(acts) for acts in ACTS.values())


def _event_type(name: str) -> str:
    if name not in EVENT_TYPES:
        bound = f"one of {', '.join(EVENT_TYPES)}"
        raise ValueError(bound)
    return name


_SINCE = (
    "Recorded at this moment or later, by the database's clock. An event that is more than 5 minutes out of the "
    "order of positions, because that clock was set back, may not be found by its time."
)
EventType = Annotated[str, AfterValidator(_event_type), Field(json_schema_extra={"enum": list(EVENT_TYPES)})]
Word = Annotated[
    str, Field(min_length=1, max_length=WORD_CHARS_MAX), AfterValidator(without_nul), SHOWN_WITHOUT_NUL
]


class Events(BaseModel):
    """Which events are asked for; nothing given means all of them."""

    model_config = ConfigDict(extra="forbid")

    types: list[EventType] = Field(
        [], max_length=len(EVENT_TYPES), description="Events of any of these types; the parameter may be repeated."
    )
    kind: str | None = Field(None, pattern=KIND_PATTERN, description="Of tasks of this kind.")
    queue: str | None = Field(None, pattern=QUEUE_PATTERN, description="Of tasks of this queue.")
    actor: Word | None = Field(None, description="Decided by exactly this actor.")
    correlation_id: Word | None = Field(None, description="Of this story.")
    since: Moment | None = Field(None, description=_SINCE)
    until: Moment | None = Field(None, description="Recorded before this moment.")
    after: int = Field(0, ge=0, le=POSITION_MAX, description="Only the events after this position.")

    def events(self) -> EventFilter:
        """Return what is asked for."""
        return EventFilter(
            types=self.types or None,
            kind=self.kind,
            queue=self.queue,
            actor=self.actor,
            correlation_id=self.correlation_id,
            since=self.since,
            until=self.until,
        )


class LogQuery(Events):
    """Which part of the log to read."""

    limit: int = Field(100, ge=1, description="How many events at most.")


class ExportFormat(StrEnum):
    """How events are written out."""

    NDJSON = "ndjson"
    CSV = "csv"


class ExportQuery(Events):
    """Which events to export, and how."""

    format: ExportFormat = Field(
        ExportFormat.NDJSON,
        description="`ndjson`: a line is an event as `GET /events` has it; `csv`: RFC 4180, `data` as JSON text.",
    )
    ciphertext: bool = Field(
        default=False, description="Leave the payloads of erasable tasks encrypted, as the ledger holds them."
    )


class ArchivedShown(BaseModel):
    """A month that has left the log."""

    month: str
    first_position: int
    last_position: int
    file: str = Field(description="Where its events are.")


class LogPage(BaseModel):
    """A part of the log, in the order of positions; following `next_after` skips no event and repeats none."""

    events: list[EventShown]
    next_after: int = Field(
        description="Up to this position the log was searched, whether anything was found or not: ask for what "
        "follows with it as `after`."
    )
    horizon: int = Field(
        description="Up to this position the log is complete for ever. Where `next_after` is less, more can be "
        "searched at once: a request ends when it has `limit` events, or has looked through as many events "
        "(LEDGER_SEARCH_EVENTS_MAX) or found as much data (LEDGER_SEARCH_BYTES_MAX) as one request may."
    )
    archived: list[ArchivedShown] = Field(
        description="Months that have left the part of the log that was searched: their events are not found."
    )


class AuditQuery(BaseModel):
    """What to search for, where, and which way round."""

    model_config = ConfigDict(extra="forbid")

    source: AuditSource = Field(
        AuditSource.EVENTS,
        description="`events`: what happened to tasks; `queue_changes` and `schedule_changes`: what was set; "
        "`dead_letter_acts`: what was done about messages that nobody could take.",
    )
    order: AuditOrder = Field(AuditOrder.NEWEST, description="Which come first.")
    types: list[Word] = Field(
        [],
        max_length=_TYPES_MAX,
        description="Any of these types of events, or acts of another source; the parameter may be repeated.",
    )
    actor: Word | None = Field(None, description="Decided by exactly this actor.")
    kind: str | None = Field(None, pattern=KIND_PATTERN)
    queue: str | None = Field(None, pattern=QUEUE_PATTERN)
    task_id: UUID | None = None
    correlation_id: Word | None = Field(None, description="Of this story; only events have one.")
    reason: Word | None = Field(
        None, description="Stands somewhere in the reason, or in the cause of a failure; case does not matter."
    )
    since: Moment | None = Field(None, description=_SINCE)
    until: Moment | None = Field(None, description="Recorded before this moment.")
    limit: int = Field(50, ge=1, description="How many entries at most.")
    cursor: str | None = Field(
        None,
        max_length=CURSOR_CHARS_MAX,
        description="The `next_cursor` of the page before, with the same parameters but for `limit`.",
    )

    def asked(self) -> AuditFilter:
        """Return what is searched; raises InvalidValueError for what the source cannot tell."""
        wanted = EventFilter(
            types=self.types or None,
            kind=self.kind,
            queue=self.queue,
            actor=self.actor,
            correlation_id=self.correlation_id,
            task_id=self.task_id,
            since=self.since,
            until=self.until,
            reason_part=self.reason,
        )
        return AuditFilter(source=self.source, order=self.order, wanted=wanted)


class AuditEntryShown(BaseModel):
    """Who did what, when and why; what only events have is null elsewhere."""

    source: AuditSource
    id: str = Field(description="Of an event `task_id:version`.")
    act: str = Field(description="The type of the event, or what was done.")
    subject: str = Field(
        description="The id of the task or of the dead letter; the name of the queue or schedule."
    )
    actor: str
    reason: str = Field(description="Of a failure its cause; empty where none was given.")
    recorded_at: datetime
    occurred_at: datetime | None
    task_id: UUID | None
    position: int | None
    version: int | None
    kind: str | None
    queue: str | None
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None
    data: dict[str, JsonValue]


class AuditPageShown(BaseModel):
    """A page of a search, in the order of positions, or of times where it is no search of events."""

    entries: list[AuditEntryShown]
    next_cursor: str | None = Field(
        description="Ask for the next page with it, even where this one has fewer entries than `limit`, or none: "
        "a request ends when it has looked through LEDGER_SEARCH_EVENTS_MAX events. Null when all was searched."
    )
