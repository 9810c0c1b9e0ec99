"""The Postgres adapter of the event store: asyncpg, group commit, and a wake-up that never rides in an append."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

import asyncpg

from ledger.errors import StoreRefusedError, StoreUnavailableError, WrongExpectedVersionError
from ledger.queries import query
from ledger.settings import Settings
from ledger.store.batcher import AppendBatcher, AppendRequest
from ledger.store.columns import columns_of
from ledger.store.connection import Database, translated
from ledger.store.memory import check_append, check_appends
from ledger.store.port import AppendSignal
from ledger.store.records import Appended, NewEvent, RecordedEvent, StaleWrite, StreamAppend
from ledger.store.signals import Doorbell, listening

_PARTIAL_APPEND = "LG001"


@dataclass(frozen=True, slots=True)
class _Statement:
    """A part of an append to many streams, as one statement sends it."""

    streams: Sequence[StreamAppend]
    columns: Sequence[Sequence[object]]


class PostgresEventStore:
    """The ledger in Postgres; made by `open_store`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
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
        return await self._append_enlisted(connection, task_id, events, expected_version)

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

    def announce(self) -> None:
        """Wake the readers, after a caller's own transaction with appends was committed."""
        self._doorbell.ring()

    async def append_many(
        self, streams: Sequence[StreamAppend], *, connection: asyncpg.Connection | None = None
    ) -> list[Appended]:
        """Append in one transaction, a few statements long, or inside the caller's."""
        check_appends(streams)
        statements = await self._statements(streams)
        try:
            if connection is None:
                async with self._database.connection() as own:
                    receipts = await _append_all(own, statements)
                self._doorbell.ring()
            else:
                _check_enlistable(connection)
                with translated():
                    receipts = await _append_all(connection, statements)
        except StoreRefusedError as error:
            if not _is_partial(error.__cause__):
                raise
            raise await self._conflict(streams) from error
        return [receipts[stream.task_id] for stream in streams]

    async def read_stream(
        self, task_id: UUID, *, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return the events of one task after a version."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_stream"), task_id, after_version, limit)
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

    async def read_log(self, *, after: int, upto: int, limit: int) -> list[RecordedEvent]:
        """Return the events between two positions."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_log"), after, upto, limit)
        return [RecordedEvent(*row) for row in rows]

    @asynccontextmanager
    async def appends(self) -> AsyncIterator[AppendSignal]:
        """Listen for appends of every process."""
        async with listening(self._database) as signal:
            yield signal

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
        await self._doorbell.close()

    async def _append_batch(self, batch: Sequence[AppendRequest]) -> dict[UUID, Appended]:
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(query("append_events"), *columns_of(batch))
        except StoreRefusedError as error:
            if len(batch) == 1 and _is_partial(error.__cause__):
                return {}
            raise
        if rows:
            self._doorbell.ring()
        return {row["task_id"]: Appended(*tuple(row)[:4]) for row in rows}

    async def _append_enlisted(
        self, connection: asyncpg.Connection, task_id: UUID, events: Sequence[NewEvent], expected_version: int
    ) -> Appended:
        _check_enlistable(connection)
        request = AppendRequest(task_id, events, expected_version, asyncio.get_running_loop().create_future())
        try:
            with translated():
                # A savepoint: a conflict leaves the caller's transaction usable.
                async with connection.transaction():
                    rows = await connection.fetch(query("append_events"), *columns_of([request]))
        except StoreRefusedError as error:
            if not _is_partial(error.__cause__):
                raise
            rows = []
        if not rows:
            raise WrongExpectedVersionError(task_id=task_id, expected_version=expected_version)
        return Appended(*tuple(rows[0])[:4])

    async def _statements(self, streams: Sequence[StreamAppend]) -> list[_Statement]:
        # All of it before the transaction begins, which keeps every reader of the log waiting while it is open.
        statements = []
        for part in self._parts(sorted(streams, key=lambda stream: stream.task_id)):
            statements.append(_Statement(part, columns_of(part)))
            await asyncio.sleep(0)
        return statements

    def _parts(self, streams: Sequence[StreamAppend]) -> Iterator[list[StreamAppend]]:
        part: list[StreamAppend] = []
        size = 0
        for stream in streams:
            stream_size = sum(len(event.data) for event in stream.events)
            is_full = len(part) >= self._settings.append_batch_size_max
            if part and (is_full or size + stream_size > self._settings.append_batch_bytes_max):
                yield part
                part, size = [], 0
            part.append(stream)
            size += stream_size
        yield part

    async def _conflict(self, streams: Sequence[StreamAppend]) -> WrongExpectedVersionError:
        heads = await self.heads([stream.task_id for stream in streams])
        wrong = next((one for one in streams if heads.get(one.task_id, 0) != one.expected_version), streams[0])
        return WrongExpectedVersionError(
            task_id=wrong.task_id,
            expected_version=wrong.expected_version,
            actual_version=heads.get(wrong.task_id, 0),
        )

    async def _notify(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(query("notify_append"))


@asynccontextmanager
async def open_store(database: Database, settings: Settings) -> AsyncIterator[PostgresEventStore]:
    """Open the store, and close it with every append answered."""
    store = PostgresEventStore(database, settings)
    try:
        yield store
    finally:
        await store.close()


async def _append_all(connection: asyncpg.Connection, statements: Sequence[_Statement]) -> dict[UUID, Appended]:
    receipts: dict[UUID, Appended] = {}
    async with connection.transaction():  # a savepoint where the caller has one open
        for statement in statements:
            rows = await connection.fetch(query("append_events"), *statement.columns)
            receipts.update({row["task_id"]: Appended(*tuple(row)[:4]) for row in rows})
            if len(rows) < len(statement.streams):
                missing = next(stream for stream in statement.streams if stream.task_id not in receipts)
                raise WrongExpectedVersionError(task_id=missing.task_id, expected_version=missing.expected_version)
    return receipts


def _check_enlistable(connection: asyncpg.Connection) -> None:
    if connection.is_closed():
        raise StoreUnavailableError("the connection to enlist in is closed")
    if not connection.is_in_transaction():
        raise StoreRefusedError("to enlist an append, open a transaction on the connection first")


def _is_partial(error: BaseException | None) -> bool:
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == _PARTIAL_APPEND
