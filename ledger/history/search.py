"""The search of the log: step by step in the order of positions, bounded in events and bytes, nothing skipped.

A search goes through a stretch that ends at the append horizon, so it may take many statements: nothing appears in
the stretch meanwhile. Each step says what is left of it. Positions have gaps, which a step passes over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger
from ledger.codec import EVENT_TYPES
from ledger.queries import query
from ledger.store.records import RecordedEvent

# `recorded_at` follows the positions but for what two clocks may differ by, when the database moves to another
# machine or its clock is set back. What is further out of order is not found by its time.
CLOCK_SLACK = timedelta(minutes=5)
# A stretch is not narrowed further than this by its times: to read it is cheaper.
_NARROW_ENOUGH = 256
# Only these have a reason or a cause, and they are small: nobody's input or result is taken apart to look for one.
_GIVE_REASONS = tuple(
    topic for topic, event in EVENT_TYPES.items() if {"reason", "cause"} & {field.name for field in fields(event)}
)
_FIRST = datetime(1970, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are meant; None stands for all. The times are a half-open interval of `recorded_at`.

    Attributes:
        reason_part: stands somewhere in the event's reason, or in the cause of a failure, in upper or lower case.
    """

    types: Sequence[str] | None = None
    kind: str | None = None
    queue: str | None = None
    actor: str | None = None
    correlation_id: str | None = None
    task_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    reason_part: str | None = None

    @property
    def interval(self) -> tuple[datetime | None, datetime | None]:
        """Return the bounds of the time, in what the database can compare."""
        since = None if self.since is None else min(max(self.since, _FIRST), _LAST)
        return since, None if self.until is None else min(max(self.until, _FIRST), _LAST)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the log: the positions above `after`, up to `upto` and with it."""

    after: int
    upto: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one step of a search found, and what is left of its stretch; None when it was searched to its end."""

    events: Sequence[RecordedEvent]
    rest: Stretch | None


@dataclass(frozen=True, slots=True)
class ArchivedPart:
    """A month that has left the log: its events had positions between these, others may have some too."""

    month: str
    first_position: int
    last_position: int
    file: str


@dataclass(frozen=True, slots=True)
class LogRead:
    """What a read of the log found; up to `next_after` it was searched, up to `horizon` it can be.

    `archived` are the months that have left the part of the log that was searched.
    """

    events: Sequence[RecordedEvent]
    next_after: int
    horizon: int
    archived: Sequence[ArchivedPart] = ()


class LogSearch:
    """Searches the log.

    A step looks through LEDGER_SEARCH_EVENTS_MAX events at most, and ends with the event that makes its data
    LEDGER_SEARCH_BYTES_MAX.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._store = ledger.store
        self._events_max = ledger.settings.search_events_max
        self._bytes_max = ledger.settings.search_bytes_max

    async def horizon(self) -> int:
        """Return the position up to which the log is complete for ever."""
        return await self._store.safe_position()

    async def read(self, asked: EventFilter, *, after: int, limit: int) -> LogRead:
        """Return the next events after a position, oldest first; to go on from `next_after` skips nothing."""
        horizon = await self.horizon()
        stretch = await self.stretch(asked, after=after, upto=horizon)
        found = Found([], None) if stretch is None else await self.forwards(asked, stretch, limit=limit)
        searched = horizon if found.rest is None else found.rest.after
        archived = await self.archived(Stretch(after, searched))
        return LogRead(found.events, max(after, searched), horizon, archived)

    async def archived(self, stretch: Stretch) -> Sequence[ArchivedPart]:
        """Return the months that have left a stretch of the log."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("archived_between"), stretch.after, stretch.upto)
        return [ArchivedPart(*row) for row in rows]

    async def history(self, task_id: UUID, *, after_version: int, limit: int) -> tuple[list[RecordedEvent], bool]:
        """Return the next events of a task after a version, oldest first, and whether these are all of them."""
        arguments = (task_id, after_version, limit + 1, self._bytes_max)
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_history"), *arguments)
        return self._bounded(rows, limit)

    async def stretch(self, asked: EventFilter, *, after: int, upto: int) -> Stretch | None:
        """Return the part of these positions that can hold the times that are asked for; None for an empty one.

        `upto` comes from `horizon`.
        """
        since, until = asked.interval
        if until is not None:
            _, upto = await self._around(until + CLOCK_SLACK, after=after, upto=upto)
        if since is not None:
            after, _ = await self._around(since - CLOCK_SLACK, after=after, upto=upto)
        return _left(after, upto)

    async def forwards(self, asked: EventFilter, stretch: Stretch, *, limit: int) -> Found:
        """Return the next events of a stretch, oldest first."""
        if asked.task_id is not None:
            events, is_whole = await self._fetch("search_stream", asked, stretch, limit, asked.task_id, 1)
            return Found(events, None if is_whole else _left(events[-1].position, stretch.upto))
        step = Stretch(stretch.after, min(stretch.upto, stretch.after + self._events_max))
        events, is_whole = await self._fetch("search_log", asked, step, limit)
        if not is_whole:
            return Found(events, _left(events[-1].position, stretch.upto))
        following = await self._first_in(Stretch(step.upto, stretch.upto))
        return Found(events, None if following is None else _left(following[0] - 1, stretch.upto))

    async def backwards(self, asked: EventFilter, stretch: Stretch, *, limit: int) -> Found:
        """Return the last events of a stretch, newest first."""
        if asked.task_id is not None:
            events, is_whole = await self._fetch("search_stream", asked, stretch, limit, asked.task_id, -1)
            return Found(events, None if is_whole else _left(stretch.after, events[-1].position - 1))
        step = Stretch(max(stretch.after, stretch.upto - self._events_max), stretch.upto)
        events, is_whole = await self._fetch("search_log_backwards", asked, step, limit)
        if not is_whole:
            return Found(events, _left(stretch.after, events[-1].position - 1))
        preceding = await self._last_in(Stretch(stretch.after, step.after))
        return Found(events, None if preceding is None else _left(stretch.after, preceding))

    async def _fetch(
        self, name: str, asked: EventFilter, stretch: Stretch, limit: int, *of_task: object
    ) -> tuple[list[RecordedEvent], bool]:
        """Return the events that a statement finds within the bounds, and whether these are all of them."""
        arguments = (stretch.after, stretch.upto, limit + 1, self._bytes_max, *_arguments(asked), *of_task)
        async with self._database.connection() as connection:
            rows = await connection.fetch(query(name), *arguments)
        return self._bounded(rows, limit)

    def _bounded(self, rows: Sequence[asyncpg.Record], limit: int) -> tuple[list[RecordedEvent], bool]:
        events: list[RecordedEvent] = []
        size = 0
        for row in rows:
            if len(events) == limit or size >= self._bytes_max:
                return events, False
            events.append(RecordedEvent(*row))
            size += len(row["data"].encode())
        return events, True

    async def _around(self, moment: datetime, *, after: int, upto: int) -> tuple[int, int]:
        """Return a position up to which all is older than the moment, and one after which nothing is.

        A binary search, which ends when both lie so close together that it would not pay to go on.
        """
        low, high = after, upto
        while high - low > _NARROW_ENOUGH:
            middle = (low + high) // 2
            found = await self._first_in(Stretch(middle, high))
            if found is None or found[1] >= moment:
                high = middle
            else:
                low = found[0]
        return low, high

    async def _first_in(self, stretch: Stretch) -> tuple[int, datetime] | None:
        async with self._database.connection() as connection:
            row: asyncpg.Record | None = await connection.fetchrow(
                query("first_event_of_stretch"), stretch.after, stretch.upto
            )
        return None if row is None else (row["position"], row["recorded_at"])

    async def _last_in(self, stretch: Stretch) -> int | None:
        async with self._database.connection() as connection:
            position: int | None = await connection.fetchval(
                query("last_event_of_stretch"), stretch.after, stretch.upto
            )
        return position


def _left(after: int, upto: int) -> Stretch | None:
    return Stretch(after, upto) if after < upto else None


def _arguments(asked: EventFilter) -> Sequence[object]:
    since, until = asked.interval
    types = asked.types if asked.reason_part is None or asked.types is not None else _GIVE_REASONS
    return (
        None if types is None else list(types),
        asked.kind,
        asked.queue,
        asked.actor,
        asked.correlation_id,
        since,
        until,
        asked.reason_part,
    )
