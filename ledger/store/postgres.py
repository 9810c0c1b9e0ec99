"""The Postgres adapter of the event store: asyncpg, group commit, and a wake-up that never rides in an append."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import groupby
from uuid import UUID

import asyncpg

from ledger.errors import StoreRefusedError, WrongExpectedVersionError
from ledger.measures import Measures
from ledger.queries import query
from ledger.settings import Settings
from ledger.store.append_measures import AppendMeasures
from ledger.store.archived import refuse_archived
from ledger.store.batcher import AppendBatcher, AppendRequest
from ledger.store.connection import Database, translated
from ledger.store.enlisted import append_in, columns_of, enlisted, is_partial
from ledger.store.first import append_first_in
from ledger.store.gate import Gate
from ledger.store.keys import Once
from ledger.store.memory import check_append, check_first
from ledger.store.once import append_once_in
from ledger.store.port import AppendSignal
from ledger.store.records import Appended, FirstEvents, NewEvent, RecordedEvent, StaleWrite, StreamAppend
from ledger.store.shard import WHOLE_LOG, LogShard
from ledger.store.signals import Doorbell, listening


class PostgresEventStore:
    """The ledger in Postgres; made by `open_store`."""

    def __init__(self, database: Database, settings: Settings, measures: Measures | None = None) -> None:
        self._database = database
        self._appends = AppendMeasures(measures or Measures())
        self._settings = settings
        self._doorbell = Doorbell(self._notify)
        self._batcher = AppendBatcher(
            self._append_batch,
            lanes=settings.append_connections,
            batch_size_max=settings.append_batch_size_max,
            batch_bytes_max=settings.append_batch_bytes_max,
            queue_max=settings.append_queue_max,
            queue_bytes_max=settings.append_queue_bytes_max,
        )
        self._gate = Gate(
            at_once_max=max(1, settings.pool_size_max // 2),
            waiting_max=settings.keyed_append_queue_max,
            waiting_bytes_max=settings.append_queue_bytes_max,
        )

    async def append(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append with the next group commit, or inside the caller's transaction."""
        check_append(events, expected_version)
        if connection is None:
            return await self._batcher.append(task_id, events, expected_version=expected_version)
        async with enlisted(connection):
            return await append_in(connection, StreamAppend(task_id, events, expected_version))

    async def append_each(
        self, appends: Sequence[StreamAppend], *, connection: asyncpg.Connection
    ) -> dict[UUID, Appended]:
        """Append one event to each of many streams, in the transaction that is open on the connection.

        A stream that is not at its expected version is left out: it has no receipt. Whoever commits announces it.

        Raises:
            StoreRefusedError: the database refused the statement; then the transaction is lost.
        """
        if not appends:
            return {}
        with translated():
            rows = await connection.fetch(query("append_events"), *columns_of(appends))
        return {row["task_id"]: Appended(*tuple(row)[:4]) for row in rows}

    async def append_first(
        self, events: FirstEvents, *, connection: asyncpg.Connection | None = None
    ) -> list[Appended]:
        """Append in one transaction, a few statements long, or inside the caller's."""
        check_first(events)
        began = time.monotonic()
        try:
            if connection is not None:
                async with enlisted(connection):
                    return await append_first_in(connection, events, self._settings)
            async with self._database.connection() as own, own.transaction():
                receipts = await append_first_in(own, events, self._settings)
        except StoreRefusedError as error:
            if not isinstance(error.__cause__, asyncpg.UniqueViolationError):
                raise
            raise await self._conflict(events) from error
        self._doorbell.ring()
        self._appends.note_first(events, began=began)
        return receipts

    async def append_once(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        once: Once,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append in a transaction of its own, which no group commit shares, or inside the caller's."""
        check_append(events, expected_version)
        stream = StreamAppend(task_id, events, expected_version)
        if connection is not None:
            async with enlisted(connection):
                return await append_once_in(connection, stream, once)
        size = sum(len(event.data) for event in events)
        began = time.monotonic()
        async with self._gate.passed(size), self._database.connection() as own, own.transaction():
            await own.execute(query("bound_keyed_append"))
            receipt = await append_once_in(own, stream, once)
        if not (receipt.replayed or receipt.existing):
            self._doorbell.ring()
            self._appends.note([stream], {task_id: receipt}, began=began)
        return receipt

    async def read_stream(
        self, task_id: UUID, *, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return the events of one task after a version; raises TaskArchivedError where its month left the log."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_stream"), task_id, after_version, limit)
            if not rows:
                await refuse_archived(connection, task_id)
        return [RecordedEvent(*row) for row in rows]

    async def read_streams(self, task_ids: Sequence[UUID]) -> dict[UUID, list[RecordedEvent]]:
        """Return the events of many tasks."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_streams"), list(task_ids))
        events = [RecordedEvent(*row) for row in rows]
        return {task_id: list(stream) for task_id, stream in groupby(events, key=lambda event: event.task_id)}

    async def heads(
        self, task_ids: Sequence[UUID], *, connection: asyncpg.Connection | None = None
    ) -> dict[UUID, int]:
        """Return the versions of many streams."""
        if connection is None:
            async with self._database.connection() as own:
                rows = await own.fetch(query("stream_heads"), list(task_ids))
        else:
            with translated():
                rows = await connection.fetch(query("stream_heads"), list(task_ids))
        return {row["task_id"]: row["version"] for row in rows}

    async def safe_position(self) -> int:
        """Return the append horizon."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(query("safe_position")))

    async def read_log(
        self, *, after: int, upto: int, limit: int, shard: LogShard = WHOLE_LOG
    ) -> list[RecordedEvent]:
        """Return the events between two positions; of a shard, those that the database's hash puts there."""
        async with self._database.connection() as connection:
            if shard.count == 1:
                rows = await connection.fetch(query("read_log"), after, upto, limit)
            else:
                of_shard = (after, upto, limit, shard.index, shard.count)
                rows = await connection.fetch(query("read_log_of_shard"), *of_shard)
        return [RecordedEvent(*row) for row in rows]

    @asynccontextmanager
    async def appends(self) -> AsyncIterator[AppendSignal]:
        """Listen for appends of every process."""
        async with listening(self._database) as signal:
            yield signal

    def wake_readers(self) -> None:
        """Ring the doorbell."""
        self._doorbell.ring()

    async def record_stale_write(self, write: StaleWrite) -> None:
        """Keep a late write that was refused."""
        async with self._database.connection() as connection:
            await connection.execute(
                query("insert_stale_write"),
                write.task_id,
                write.type,
                write.attempt,
                write.current_attempt,
                write.status,
                write.worker_id,
                write.data,
                write.occurred_at,
            )
        self._appends.note_stale_write()

    async def read_stale_writes(self, task_id: UUID, *, limit: int = 1000) -> list[StaleWrite]:
        """Return the refused writes of one task."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_stale_writes"), task_id, limit)
        return [StaleWrite(*tuple(row)[1:]) for row in rows]

    async def database_time(self) -> datetime:
        """Return the database's clock."""
        async with self._database.connection() as connection:
            now: datetime = await connection.fetchval(query("database_time"))
        return now

    async def close(self) -> None:
        """Answer every append that was asked for, then ring the doorbell a last time."""
        await self._batcher.close()
        await self._gate.close()
        await self._doorbell.close()

    async def _append_batch(self, batch: Sequence[AppendRequest]) -> dict[UUID, Appended]:
        began = time.monotonic()
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(query("append_events"), *columns_of(batch))
        except StoreRefusedError as error:
            if len(batch) == 1 and is_partial(error.__cause__):
                return {}
            raise
        if rows:
            self._doorbell.ring()
        receipts = {row["task_id"]: Appended(*tuple(row)[:4]) for row in rows}
        self._appends.note(batch, receipts, began=began)
        return receipts

    async def _conflict(self, events: FirstEvents) -> WrongExpectedVersionError:
        heads = await self.heads(events.task_ids)
        taken = next((task_id for task_id in events.task_ids if task_id in heads), events.task_ids[0])
        return WrongExpectedVersionError(task_id=taken, expected_version=0, actual_version=heads.get(taken, 0))

    async def _notify(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("notify_append"))


@asynccontextmanager
async def open_store(
    database: Database, settings: Settings, measures: Measures | None = None
) -> AsyncIterator[PostgresEventStore]:
    """Open the store, and close it with every append answered."""
    store = PostgresEventStore(database, settings, measures)
    try:
        yield store
    finally:
        await store.close()
