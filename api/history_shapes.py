"""The shapes of requests and answers about the history of all tasks."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.answers import EventShown
from api.schemas import Moment, without_nul
from ledger.codec import EVENT_TYPES
from ledger.log_search import EventFilter
from ledger.specification import KIND_PATTERN, QUEUE_PATTERN

POSITION_MAX = 2**63 - 1
WORD_CHARS_MAX = 200


def _event_type(name: str) -> str:
    if name not in EVENT_TYPES:
        bound = f"one of {', '.join(EVENT_TYPES)}"
        raise ValueError(bound)
    return name


EventType = Annotated[str, AfterValidator(_event_type), Field(json_schema_extra={"enum": list(EVENT_TYPES)})]
Word = Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX), AfterValidator(without_nul)]


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
    since: Moment | None = Field(None, description="Recorded at this moment or later, by the database's clock.")
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
