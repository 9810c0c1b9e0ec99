"""The log over all tasks: its events, who did what, and how it was."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Unpack
from uuid import UUID

from api.sdk.answers import Event, LedgerCounts, LedgerDiff
from api.sdk.calls import Answer, Call, Cursor, Page, look, nothing, page_reader, reader
from api.sdk.operations import Asked, Downloaded, Listed
from api.sdk.options import AuditFilter, LogFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what, when and why; what only events have is None elsewhere."""

    source: str
    id: str
    act: str
    subject: str
    actor: str
    recorded_at: datetime
    reason: str = ""
    occurred_at: datetime | None = None
    task_id: UUID | None = None
    position: int | None = None
    version: int | None = None
    kind: str | None = None
    queue: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


class LogOperations:
    """What is asked of the log; part of both clients."""

    @Listed
    def events(self, cursor: Cursor, **wanted: Unpack[LogFilter]) -> Call[Page[Event]]:
        """Yield the events of all tasks by position, up to where the log is complete now, but no archived ones."""
        after = wanted.get("after", 0) if cursor is None else cursor
        return look(_log_page, "events", query={**wanted, "after": after})

    @Downloaded
    def export(
        self,
        *,
        format: Literal["ndjson", "csv"] = "ndjson",  # noqa: A002 - the server's own word
        ciphertext: bool = False,
        **wanted: Unpack[LogFilter],
    ) -> Call[None]:
        """Yield the events of all tasks as the bytes of a file, up to where the log is complete now.

        With `ciphertext` what is encrypted stays so. One that breaks off raises ConnectionFailedError: throw away
        what has come, or go on with `after` the last whole event.
        """
        query = {**wanted, "format": format, "ciphertext": ciphertext}
        return look(nothing, "events", "export", query=query)

    @Listed
    def audit(self, cursor: Cursor, **wanted: Unpack[AuditFilter]) -> Call[Page[AuditEntry]]:
        """Yield who did what, when and why: events, or what was changed beside them; newest first."""
        read = page_reader(AuditEntry, "entries", "next_cursor")
        return look(read, "audit", query={**wanted, "cursor": cursor})

    @Asked
    def as_of(self, moment: datetime) -> Call[LedgerCounts]:
        """Say how many tasks there were at a moment, by status, queue and kind."""
        return look(reader(LedgerCounts), "ledger", query={"as_of": moment})

    @Asked
    def changed(self, begin: datetime, end: datetime | None = None) -> Call[LedgerDiff]:
        """Say how many tasks there were at two moments, and which way they moved in between; until now at last."""
        return look(reader(LedgerDiff), "ledger", "diff", query={"from": begin, "to": end})


_EVENTS = page_reader(Event, "events", "next_after")


def _log_page(answer: Answer) -> Page[Event]:
    page, horizon = _EVENTS(answer), answer.json().get("horizon", 0)
    return page if isinstance(page.next, int) and page.next < horizon else Page(page.items, None)
