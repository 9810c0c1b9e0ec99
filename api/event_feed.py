"""A feed: what one stream has still to send, in order of position, from the database and then from the tail."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from api.tail import Tail
from ledger.queries import query
from ledger.store.connection import Database
from ledger.store.records import RecordedEvent

_PAGE_SIZE_MAX = 100
# How much of the log one query looks through for what a filter lets pass, so that it ends in time.
_STRETCH_POSITIONS_MAX = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events a stream wants; None stands for all."""

    task_id: UUID | None = None
    types: Sequence[str] | None = None
    kind: str | None = None
    queue: str | None = None

    def passes(self, event: RecordedEvent) -> bool:
        """Whether the stream wants the event."""
        return (
            (self.task_id is None or event.task_id == self.task_id)
            and (self.types is None or event.type in self.types)
            and (self.kind is None or event.kind == self.kind)
            and (self.queue is None or event.queue == self.queue)
        )


class EventFeed:
    """Reads on from a position; only while the tail is followed.

    Attributes:
        position: up to where everything has been handed out; None before the first read of a feed that begins
            with what happens next.
    """

    def __init__(self, database: Database, tail: Tail, wanted: EventFilter, *, after: int | None) -> None:
        self._database = database
        self._tail = tail
        self._wanted = wanted
        self.position = after

    async def next(self, *, seconds_max: float) -> Sequence[RecordedEvent]:
        """Return the next events, some at a time; at the end of the log wait for them.

        None may come although the position has moved on, and when there are none in time.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        if self.position is None:
            await self._begin(seconds_max)
            return ()
        position = self.position
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._tail.beyond(position)
        recent = self._tail.kept
        if recent is None:
            return ()
        if position < recent.floor:
            return await self._catch_up(position, recent.head)
        # From the look at the floor on nobody else has a turn: it cannot pass by the position.
        events = recent.after(position)[:_PAGE_SIZE_MAX]
        if events:
            self.position = events[-1].position
        return [event for event in events if self._wanted.passes(event)]

    async def _begin(self, seconds_max: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                self.position = (await self._tail.recent()).head

    async def _catch_up(self, position: int, head: int) -> Sequence[RecordedEvent]:
        wanted = self._wanted
        end = head
        if wanted.task_id is not None:
            rows = await self._fetch("read_task_feed", wanted.task_id, position, end)
        else:
            end = min(head, position + _STRETCH_POSITIONS_MAX)
            rows = await self._fetch("read_feed", position, end, wanted.types, wanted.kind, wanted.queue)
        self.position = rows[-1].position if len(rows) == _PAGE_SIZE_MAX else end
        return rows

    async def _fetch(self, name: str, *arguments: object) -> list[RecordedEvent]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query(name), *arguments, _PAGE_SIZE_MAX)
        return [RecordedEvent(*row) for row in rows]
