"""The event store port: append-only streams under one log, and the contract that every adapter keeps.

Every method may raise StoreUnavailableError (the database is out of reach; an append in flight may or may not
have happened) and StoreRefusedError (it answered no: permission, storage full, read-only).
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

import asyncpg

from ledger.store.keys import Once
from ledger.store.records import Appended, FirstEvents, NewEvent, RecordedEvent, StaleWrite
from ledger.store.shard import WHOLE_LOG, LogShard


class AppendSignal(Protocol):
    """Wakes a reader when something may have been appended."""

    async def wait(self, timeout_seconds: float) -> bool:
        """Return True as soon as something may have been appended since the last call, False after the timeout."""


class EventStore(Protocol):
    """Streams of events by task id, and the log over all of them."""

    async def append(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append all events to the stream, or none: they get the versions after `expected_version`.

        With a connection the append joins the transaction that is open on it, and exists if and only if
        that commits; then nothing is retried and no reader is woken: whoever commits calls `wake_readers`.

        Raises:
            WrongExpectedVersionError: the stream's head is not at `expected_version` (behind or ahead).
            InvalidValueError: no events, or an expected version below 0.
        """

    async def append_first(
        self, events: FirstEvents, *, connection: asyncpg.Connection | None = None
    ) -> list[Appended]:
        """Append the first events of new streams in one transaction, all of them or none, in their order.

        Returns their receipts. With a connection the append joins the transaction that is open on it, as a single
        one does.

        Raises:
            WrongExpectedVersionError: one of the streams exists; it names it.
            InvalidValueError: there are none, or a stream twice.
        """

    async def append_once(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        once: Once,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append as `append` does, and keep the keys in the same transaction, unless a key says it was done.

        An idempotency key that was used with the same digest gives the receipt of its first use, marked
        `replayed`, and nothing is appended. With a connection that use is in flight until the caller's
        transaction ends.

        A unique key that another unfinished task of the kind holds gives the receipt of that task's submission,
        marked `existing`, and nothing is appended; the idempotency key is kept all the same. Else the task holds
        the key as long as its stream is unfinished. Whoever makes a finished task go on has to take it again.

        Raises:
            IdempotencyKeyReusedError: the idempotency key was used with another digest.
            KeyInFlightError: an append with the same key has not ended yet; nothing was appended.
            WrongExpectedVersionError, InvalidValueError: as `append`; the keys are not kept then.
        """

    async def read_stream(
        self, task_id: UUID, *, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return the events of one task after a version, oldest first, all of them unless there is a limit."""

    async def read_streams(self, task_ids: Sequence[UUID]) -> dict[UUID, list[RecordedEvent]]:
        """Return the events of many tasks in one go; a task without events has no entry."""

    async def heads(
        self, task_ids: Sequence[UUID], *, connection: asyncpg.Connection | None = None
    ) -> dict[UUID, int]:
        """Return the version at which each of these streams is; a task without events has no entry.

        With a connection, as seen by the transaction that is open on it.
        """

    async def safe_position(self) -> int:
        """Return the append horizon: no event will ever appear at or below it that is not there now."""

    async def read_log(
        self, *, after: int, upto: int, limit: int, shard: LogShard = WHOLE_LOG
    ) -> list[RecordedEvent]:
        """Return the events between two positions, in order; `upto` has to come from `safe_position`.

        Of a shard those of its tasks alone: each task is of one shard of a count, and always of the same.
        """

    def appends(self) -> AbstractAsyncContextManager[AppendSignal]:
        """Listen for appends; listening has begun when the context is entered."""

    def wake_readers(self) -> None:
        """Wake the readers soon, after the commit of an append that joined somebody's transaction."""

    async def record_stale_write(self, write: StaleWrite) -> None:
        """Keep a late write that was refused."""

    async def read_stale_writes(self, task_id: UUID, *, limit: int = 1000) -> list[StaleWrite]:
        """Return the refused writes of one task, oldest first."""

    async def database_time(self) -> datetime:
        """Return the clock that recorded_at and every deadline are measured by."""
