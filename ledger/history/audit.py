"""The audit: who did what, when and why, searched in the log and in the tables beside it, either way round.

Besides the events of tasks there is what was set for queues, changed about schedules, webhooks and keys, done
about messages that nobody could take, asked of projections, ordered to be erased, and archived. Each is a source
of its own: they have no order in common but their time. Only the log has an append horizon. A change that is
committed late appears among those of its time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
import orjson

from ledger.bootstrap import Ledger
from ledger.codec import EVENT_TYPES
from ledger.dead_letters.letters import TOP, Place
from ledger.errors import InvalidValueError
from ledger.history.search import EventFilter, LogSearch
from ledger.queries import query
from ledger.store.records import RecordedEvent

_BOTTOM = Place(datetime(1970, 1, 2, tzinfo=TOP.died_at.tzinfo), UUID(int=0))


class AuditSource(StrEnum):
    """Where to search."""

    EVENTS = "events"
    QUEUE_CHANGES = "queue_changes"
    SCHEDULE_CHANGES = "schedule_changes"
    DEAD_LETTER_ACTS = "dead_letter_acts"
    WEBHOOK_CHANGES = "webhook_changes"
    WORKER_CHANGES = "worker_changes"
    KEY_CHANGES = "key_changes"
    PROJECTION_RUNS = "projection_runs"
    ERASURE_ORDERS = "erasure_orders"
    ARCHIVE_ACTS = "archive_acts"


class AuditOrder(StrEnum):
    """Which way round."""

    NEWEST = "newest"
    OLDEST = "oldest"


ACTS: Mapping[AuditSource, Sequence[str]] = {
    AuditSource.EVENTS: tuple(EVENT_TYPES),
    AuditSource.QUEUE_CHANGES: ("paused", "resumed", "set", "reset"),
    AuditSource.SCHEDULE_CHANGES: ("created", "changed", "paused", "resumed", "fired", "removed"),
    AuditSource.DEAD_LETTER_ACTS: ("redriven", "discarded"),
    AuditSource.WEBHOOK_CHANGES: (
        *("created", "changed", "paused", "resumed", "skipped", "rotated"),
        *("failing", "gone", "removed"),
    ),
    AuditSource.WORKER_CHANGES: ("draining", "resumed"),
    AuditSource.KEY_CHANGES: ("created", "rotated", "revoked"),
    AuditSource.PROJECTION_RUNS: ("rebuild", "verify", "reset"),
    AuditSource.ERASURE_ORDERS: ("ordered",),
    AuditSource.ARCHIVE_ACTS: ("archived", "dropped", "attached"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What is searched, which way round, and for what; `wanted.types` are types of events, or acts of the source.

    Raises:
        InvalidValueError: the source has no such acts, or no correlation ids.
    """

    source: AuditSource = AuditSource.EVENTS
    order: AuditOrder = AuditOrder.NEWEST
    wanted: EventFilter = field(default_factory=EventFilter)

    def __post_init__(self) -> None:
        """Refuse what the source cannot tell."""
        known = ACTS[self.source]
        for act in self.wanted.types or ():
            if act not in known:
                raise InvalidValueError(
                    field="types", bound=f"one of {', '.join(known)} in {self.source}", value=act
                )
        if self.source is not AuditSource.EVENTS and self.wanted.correlation_id is not None:
            bound = f"absent for {self.source}, which have none"
            raise InvalidValueError(field="correlation_id", bound=bound, value=self.wanted.correlation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act, of whatever source.

    Attributes:
        id: of an event `task_id:version`; of the others their own.
        act: the type of the event, or what was done.
        subject: the id of the task or the dead letter, the name of the queue or the schedule.
        reason: empty where none was given.
        data: JSON text.
    """

    source: AuditSource
    id: str
    act: str
    subject: str
    actor: str
    reason: str
    recorded_at: datetime
    task_id: UUID | None
    kind: str | None
    queue: str | None
    data: str
    event: RecordedEvent | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page, and where the next one begins: at a position of the log, or at a place in another source."""

    entries: Sequence[AuditEntry]
    rest: int | Place | None


class Audit:
    """Searches for auditors."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._search = LogSearch(ledger)

    async def events(self, asked: AuditFilter, *, begin: int | None, limit: int) -> AuditPage:
        """Return a page of events from a position on: after it, or with it and before it.

        It has fewer than `limit`, even none, when as many events were looked through as one step may.
        """
        horizon = await self._search.horizon()
        is_newest_first = asked.order is AuditOrder.NEWEST
        after = 0 if is_newest_first or begin is None else begin
        upto = min(horizon, begin) if is_newest_first and begin is not None else horizon
        stretch = await self._search.stretch(asked.wanted, after=after, upto=upto)
        if stretch is None:
            return AuditPage([], None)
        step = self._search.backwards if is_newest_first else self._search.forwards
        found = await step(asked.wanted, stretch, limit=limit)
        entries = [_of_event(event) for event in found.events]
        if found.rest is None:
            return AuditPage(entries, None)
        return AuditPage(entries, found.rest.upto if is_newest_first else found.rest.after)

    async def changes(self, asked: AuditFilter, *, begin: Place | None, limit: int) -> AuditPage:
        """Return a page of the changes of another source, beyond a place."""
        is_newest_first = asked.order is AuditOrder.NEWEST
        wanted = asked.wanted
        place = begin or (TOP if is_newest_first else _BOTTOM)
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                query("search_changes"),
                asked.source.value,
                None if wanted.types is None else list(wanted.types),
                wanted.kind,
                wanted.queue,
                wanted.actor,
                *wanted.interval,
                wanted.reason_part,
                *place,
                is_newest_first,
                wanted.task_id,
                limit + 1,
            )
        page = rows[:limit]
        rest = Place(page[-1]["recorded_at"], page[-1]["place_id"]) if len(rows) > limit else None
        return AuditPage([_of_change(row, asked.source) for row in page], rest)


def reason_of(event: RecordedEvent) -> str:
    """Return why an event happened: its reason, or the cause of a failure; empty where it says neither."""
    if '"reason"' not in event.data and '"cause"' not in event.data:  # most say neither, and some say a lot
        return ""
    said = orjson.loads(event.data)
    reason = said.get("reason", said.get("cause", ""))
    return reason if isinstance(reason, str) else ""


def _of_event(event: RecordedEvent) -> AuditEntry:
    return AuditEntry(
        source=AuditSource.EVENTS,
        id=event.event_id,
        act=event.type,
        subject=str(event.task_id),
        actor=event.actor,
        reason=reason_of(event),
        recorded_at=event.recorded_at,
        task_id=event.task_id,
        kind=event.kind,
        queue=event.queue,
        data=event.data,
        event=event,
    )


def _of_change(row: asyncpg.Record, source: AuditSource) -> AuditEntry:
    facts = {name: row[name] for name in _OF_CHANGES}
    return AuditEntry(source=source, **facts)


_OF_CHANGES = ("id", "act", "subject", "actor", "reason", "recorded_at", "task_id", "kind", "queue", "data")
