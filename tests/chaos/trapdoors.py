"""The trap doors: the real adapters of the ports, each with a step before and behind at which the process dies.

A step is `before:X`, `after:X` or `during:run`, where X is the type of an event that is appended, or `publish`,
`ack`, `fold` or `commit`.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from signal import SIGKILL
from uuid import UUID

import asyncpg

from ledger.broker.port import Band, Broker, BrokerFacts, Delivery, KeepLetters, OutgoingMessage, QueueDepth
from ledger.settings import Settings
from ledger.store.connection import Database
from ledger.store.keys import Once
from ledger.store.postgres import PostgresEventStore
from ledger.store.records import Appended, NewEvent
from projections.projection import Projection


@dataclass(frozen=True, slots=True)
class Doom:
    """The step at which this process is to die; empty: never."""

    step: str

    def reach(self, step: str) -> None:
        """Die here, if this is the step."""
        if step == self.step:
            os.kill(os.getpid(), SIGKILL)


class DoomedStore(PostgresEventStore):
    """The event store, with a trap door before and behind each append."""

    def __init__(self, database: Database, settings: Settings, doom: Doom) -> None:
        super().__init__(database, settings)
        self._doom = doom
        self._has_folded = False

    async def append(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append, and maybe do not live to see it, or to tell."""
        self._reach("before", events)
        appended = await super().append(task_id, events, expected_version=expected_version, connection=connection)
        self._reach("after", events)
        return appended

    async def append_once(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        once: Once,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append once, and maybe do not live to see it, or to tell."""
        self._reach("before", events)
        appended = await super().append_once(
            task_id, events, expected_version=expected_version, once=once, connection=connection
        )
        self._reach("after", events)
        return appended

    async def safe_position(self) -> int:
        """Answer; a projector that has folded has committed when it asks again."""
        if self._has_folded:
            self._doom.reach("after:commit")
        return await super().safe_position()

    def note_fold(self) -> None:
        """Note that the projector folds."""
        self._has_folded = True

    def _reach(self, when: str, events: Sequence[NewEvent]) -> None:
        for event in events:
            self._doom.reach(f"{when}:{event.type}")


@dataclass(frozen=True, slots=True)
class DoomedDelivery:
    """A delivery, with a trap door before and behind its acknowledgement."""

    delivery: Delivery
    doom: Doom

    @property
    def queue(self) -> str:
        """The task queue that it came from."""
        return self.delivery.queue

    @property
    def band(self) -> Band:
        """The priority band that it came from."""
        return self.delivery.band

    @property
    def message_id(self) -> str:
        """The publisher's id."""
        return self.delivery.message_id

    @property
    def body(self) -> bytes:
        """The payload."""
        return self.delivery.body

    @property
    def redelivered(self) -> bool:
        """Whether the broker may have handed it out before."""
        return self.delivery.redelivered

    async def ack(self) -> None:
        """Take the message from the broker."""
        self.doom.reach("before:ack")
        await self.delivery.ack()
        self.doom.reach("after:ack")

    async def reject(self, reason: str) -> None:
        """Move the message to the dead letters."""
        await self.delivery.reject(reason)


@dataclass(frozen=True, slots=True)
class DoomedBroker:
    """A broker, with a trap door before and behind each publish, and in its deliveries."""

    broker: Broker
    doom: Doom

    async def declare_queue(self, queue: str) -> None:
        """Make the queues of a task queue exist."""
        await self.broker.declare_queue(queue)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish, and maybe do not live to note that it was confirmed."""
        self.doom.reach("before:publish")
        confirmed = await self.broker.publish(messages)
        self.doom.reach("after:publish")
        return confirmed

    def consume(
        self, queues: Sequence[str], *, prefetch: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Receive from task queues."""
        return self._consume(queues, prefetch=prefetch)

    async def move_dead_letters(self, queue: str, keep: KeepLetters, *, letters_max: int) -> int:
        """Hand the oldest dead letters of a task queue over."""
        return await self.broker.move_dead_letters(queue, keep, letters_max=letters_max)

    async def depths(self, queues: Sequence[str]) -> Sequence[QueueDepth]:
        """Return how much lies in the queues."""
        return await self.broker.depths(queues)

    async def describe(self) -> BrokerFacts:
        """Return which broker this is."""
        return await self.broker.describe()

    async def ping(self) -> None:
        """Return when the broker answers."""
        await self.broker.ping()

    async def close(self) -> None:
        """Release every connection."""
        await self.broker.close()

    @asynccontextmanager
    async def _consume(self, queues: Sequence[str], *, prefetch: int) -> AsyncIterator[AsyncIterator[Delivery]]:
        async with self.broker.consume(queues, prefetch=prefetch) as deliveries:
            yield (DoomedDelivery(delivery, self.doom) async for delivery in deliveries)


@dataclass(frozen=True, slots=True)
class DoomedProjection:
    """A projection, with a trap door before and behind its fold, which the transaction has not committed yet."""

    projection: Projection
    store: DoomedStore
    doom: Doom

    name = property(lambda self: self.projection.name)
    version = property(lambda self: self.projection.version)
    tables = property(lambda self: self.projection.tables)
    table_statements = property(lambda self: self.projection.table_statements)
    index_statements = property(lambda self: self.projection.index_statements)
    difference_statement = property(lambda self: self.projection.difference_statement)
    may_lag = property(lambda self: self.projection.may_lag)

    @property
    def schema_versions(self) -> Mapping[str, int]:
        """The event types that the fold knows."""
        return self.projection.schema_versions

    async def fold(
        self, connection: asyncpg.Connection, *, after: int, upto: int, timeout_seconds: float | None = None
    ) -> None:
        """Fold, and maybe do not live to commit it."""
        self.doom.reach("before:fold")
        await self.projection.fold(connection, after=after, upto=upto, timeout_seconds=timeout_seconds)
        self.doom.reach("after:fold")
        self.store.note_fold()
