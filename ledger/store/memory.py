"""The memory adapter of the event store: for tests and for users' own tests; gone with the process."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from operator import attrgetter
from uuid import UUID

import asyncpg

from ledger.errors import IdempotencyKeyReusedError, InvalidValueError, WrongExpectedVersionError
from ledger.store.keys import Once, UniqueKey, is_unfinished
from ledger.store.port import AppendSignal
from ledger.store.records import Appended, FirstEvents, NewEvent, RecordedEvent, StaleWrite, StreamAppend
from ledger.store.shard import WHOLE_LOG, LogShard


class MemoryEventStore:
    """Streams in dictionaries; every append is atomic because nothing awaits in the middle of it.

    Args:
        now: the time, with its offset, as the database would tell it; this machine's if absent.
    """

    def __init__(self, *, now: Callable[[], datetime] | None = None) -> None:
        self._now = now or partial(datetime.now, UTC)
        self._log: list[RecordedEvent] = []
        self._streams: dict[UUID, list[RecordedEvent]] = {}
        self._stale_writes: list[StaleWrite] = []
        self._signals: set[MemoryAppendSignal] = set()
        self._holders: dict[UniqueKey, UUID] = {}
        self._first_uses: dict[tuple[str, str], tuple[bytes, Appended]] = {}

    async def append(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append to the stream; a connection is refused, since there is no database to enlist in."""
        _refuse_connection(connection)
        check_append(events, expected_version)
        return self._append_all([StreamAppend(task_id, events, expected_version)])[0]

    async def append_first(
        self, events: FirstEvents, *, connection: asyncpg.Connection | None = None
    ) -> list[Appended]:
        """Append to new streams; a connection and payload keys are refused, as with one."""
        _refuse_connection(connection)
        check_first(events)
        if events.payload_keys:
            raise _payload_key_refused()
        return self._append_all(list(_streams_of(events)))

    async def append_once(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        once: Once,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append unless a key says that it was done; a key is never in flight, and kept as long as the store.

        Payload keys are refused: memory would be a place where they are not erased.
        """
        if once.payload_key is not None:
            raise _payload_key_refused()
        key = once.idempotency_key
        if key is not None and (key.scope, key.key) in self._first_uses:
            digest, receipt = self._first_uses[key.scope, key.key]
            if digest != key.digest:
                raise IdempotencyKeyReusedError(key=key.key)
            return replace(receipt, replayed=True)
        holder = None if once.unique_key is None else self._holders.get(once.unique_key)
        if holder is not None and holder != task_id and is_unfinished(self._streams[holder]):
            receipt = replace(_receipt(self._streams[holder][0]), existing=True)
        else:
            receipt = await self.append(task_id, events, expected_version=expected_version, connection=connection)
            if once.unique_key is not None:
                self._holders[once.unique_key] = task_id
        if key is not None:
            self._first_uses[key.scope, key.key] = (key.digest, receipt)
        return receipt

    def stream(self, task_id: UUID) -> Sequence[RecordedEvent]:
        """Return the events of one task, without waiting."""
        return tuple(self._streams.get(task_id, ()))

    def streams(self) -> Sequence[Sequence[RecordedEvent]]:
        """Return the events of every task, in the order of their submission."""
        return tuple(self._streams.values())

    async def read_stream(
        self, task_id: UUID, *, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return the events of one task after a version."""
        return self._streams.get(task_id, [])[after_version:][:limit]

    async def read_streams(self, task_ids: Sequence[UUID]) -> dict[UUID, list[RecordedEvent]]:
        """Return the events of many tasks."""
        return {task_id: list(self._streams[task_id]) for task_id in task_ids if task_id in self._streams}

    async def heads(
        self, task_ids: Sequence[UUID], *, connection: asyncpg.Connection | None = None
    ) -> dict[UUID, int]:
        """Return the versions of many streams."""
        _refuse_connection(connection)
        return {task_id: len(self._streams[task_id]) for task_id in task_ids if task_id in self._streams}

    async def safe_position(self) -> int:
        """Return the last position: nothing is ever in flight."""
        return len(self._log)

    async def read_log(
        self, *, after: int, upto: int, limit: int, shard: LogShard = WHOLE_LOG
    ) -> list[RecordedEvent]:
        """Return the events between two positions; of a shard, those whose task's id has its remainder."""
        start = bisect_right(self._log, after, key=attrgetter("position"))
        end = bisect_right(self._log, upto, key=attrgetter("position"))
        if shard.count == 1:
            return self._log[start : min(end, start + limit)]
        events = (event for event in self._log[start:end] if event.task_id.int % shard.count == shard.index)
        return list(islice(events, limit))

    @asynccontextmanager
    async def appends(self) -> AsyncIterator[AppendSignal]:
        """Listen for appends."""
        signal = MemoryAppendSignal()
        self._signals.add(signal)
        try:
            yield signal
        finally:
            self._signals.discard(signal)

    def wake_readers(self) -> None:
        """Wake the readers now."""
        for signal in self._signals:
            signal.fire()

    async def record_stale_write(self, write: StaleWrite) -> None:
        """Keep a late write that was refused."""
        self._stale_writes.append(write)

    async def read_stale_writes(self, task_id: UUID, *, limit: int = 1000) -> list[StaleWrite]:
        """Return the refused writes of one task."""
        return [write for write in self._stale_writes if write.task_id == task_id][:limit]

    async def database_time(self) -> datetime:
        """Return the time."""
        return self._now()

    def _append_all(self, streams: Sequence[StreamAppend]) -> list[Appended]:
        for stream in streams:
            self._check_head(stream)
        receipts = [self._record(stream) for stream in streams]
        self.wake_readers()
        return receipts

    def _check_head(self, append: StreamAppend) -> None:
        head = len(self._streams.get(append.task_id, ()))
        if head != append.expected_version:
            raise WrongExpectedVersionError(
                task_id=append.task_id, expected_version=append.expected_version, actual_version=head
            )

    def _record(self, append: StreamAppend) -> Appended:
        stream = self._streams.setdefault(append.task_id, [])
        for version, event in enumerate(append.events, start=append.expected_version + 1):
            row = _recorded(
                event, task_id=append.task_id, version=version, position=len(self._log) + 1, now=self._now()
            )
            stream.append(row)
            self._log.append(row)
        return _receipt(stream[-1])


class MemoryAppendSignal:
    """An event that is set by every append and cleared by the wait that saw it."""

    def __init__(self) -> None:
        self._fired = asyncio.Event()

    def fire(self) -> None:
        """Wake whoever waits now or next."""
        self._fired.set()

    async def wait(self, timeout_seconds: float) -> bool:
        """Return True once fired, False after the timeout."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._fired.wait()
        except TimeoutError:
            return False
        self._fired.clear()
        return True


def check_append(events: Sequence[NewEvent], expected_version: int) -> None:
    """Raise InvalidValueError for an append of nothing, or one that expects a version below 0."""
    if not events:
        raise InvalidValueError(field="events", bound="at least one", value=0)
    if expected_version < 0:
        raise InvalidValueError(field="expected_version", bound="at least 0", value=expected_version)


def check_first(events: FirstEvents) -> None:
    """Raise InvalidValueError where there are no events, or one stream twice."""
    if not events.task_ids:
        raise InvalidValueError(field="events", bound="at least one", value=0)
    if len(set(events.task_ids)) < len(events.task_ids):
        raise InvalidValueError(field="events", bound="of different tasks", value="a task twice")


def _streams_of(events: FirstEvents) -> Iterator[StreamAppend]:
    for task_id, kind, queue, data in zip(events.task_ids, events.kinds, events.queues, events.data, strict=True):
        row = NewEvent(
            type=events.type,
            schema_version=events.schema_version,
            kind=kind,
            queue=queue,
            data=data,
            occurred_at=events.occurred_at,
            origin=events.origin,
        )
        yield StreamAppend(task_id, (row,), 0)


def _payload_key_refused() -> InvalidValueError:
    return InvalidValueError(field="payload_key", bound="None: memory keeps none", value="one")


def _refuse_connection(connection: asyncpg.Connection | None) -> None:
    if connection is not None:
        raise InvalidValueError(field="connection", bound="None: memory has no transactions", value="one")


def _recorded(event: NewEvent, *, task_id: UUID, version: int, position: int, now: datetime) -> RecordedEvent:
    return RecordedEvent(
        position=position,
        task_id=task_id,
        version=version,
        type=event.type,
        schema_version=event.schema_version,
        kind=event.kind,
        queue=event.queue,
        data=event.data,
        occurred_at=event.occurred_at,
        recorded_at=now,
        actor=event.origin.actor,
        correlation_id=event.origin.correlation_id or str(task_id),
        causation_id=event.origin.causation_id,
        traceparent=event.origin.traceparent,
    )


def _receipt(row: RecordedEvent) -> Appended:
    return Appended(row.task_id, row.version, row.position, row.recorded_at)
