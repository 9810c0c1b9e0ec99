"""Appends to many streams in one transaction: a few statements, each of which names the stream that it refuses."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ledger.errors import WrongExpectedVersionError
from ledger.queries import query
from ledger.settings import Settings
from ledger.store.enlisted import columns_of, keep_payload_keys
from ledger.store.records import Appended, FirstEvents, PayloadKey, StreamAppend


@dataclass(frozen=True, slots=True)
class Statement:
    """A part of the append, as one statement sends it."""

    streams: Sequence[StreamAppend]
    columns: Sequence[Sequence[object]]

    @property
    def payload_keys(self) -> dict[UUID, PayloadKey]:
        """What is kept beside the new erasable tasks among them."""
        return {one.task_id: one.payload_key for one in self.streams if one.payload_key is not None}


async def statements_of(streams: Sequence[StreamAppend], settings: Settings) -> list[Statement]:
    """Return the statements, sorted by task over all of them.

    Make them before the transaction begins: while that is open, every reader of the log waits.
    """
    statements = []
    for part in _parts(sorted(streams, key=lambda stream: stream.task_id), settings):
        statements.append(Statement(part, columns_of(part)))
        await asyncio.sleep(0)
    return statements


async def append_all_in(connection: asyncpg.Connection, statements: Sequence[Statement]) -> dict[UUID, Appended]:
    """Append in the open transaction; raises WrongExpectedVersionError for a stream that is not in."""
    receipts: dict[UUID, Appended] = {}
    for statement in statements:
        if keys := statement.payload_keys:
            await keep_payload_keys(connection, keys)
    for statement in statements:
        rows = await connection.fetch(query("append_events"), *statement.columns)
        receipts.update({row["task_id"]: Appended(*tuple(row)[:4]) for row in rows})
        if len(rows) < len(statement.streams):
            missing = next(stream for stream in statement.streams if stream.task_id not in receipts)
            raise WrongExpectedVersionError(task_id=missing.task_id, expected_version=missing.expected_version)
    return receipts


async def append_first_in(connection: asyncpg.Connection, events: FirstEvents, settings: Settings) -> Appended:
    """Append the first events of new streams in the open transaction, and return the receipt of the last one.

    Raises:
        asyncpg.UniqueViolationError: one of the streams exists.
    """
    if events.payload_keys:
        await keep_payload_keys(connection, events.payload_keys)
    origin = events.origin
    of_all = (events.type, events.schema_version, events.occurred_at, origin.actor, origin.correlation_id)
    for part in _slices(events, settings):
        columns = events.task_ids[part], events.kinds[part], events.queues[part], events.data[part]
        [(position, recorded_at)] = await connection.fetch(
            query("append_first_events"), *columns, *of_all, origin.causation_id, origin.traceparent
        )
    return Appended(events.task_ids[-1], 1, position, recorded_at)


def _slices(events: FirstEvents, settings: Settings) -> Iterator[slice]:
    first = size = 0
    for index, data in enumerate(events.data):
        is_full = index - first >= settings.append_batch_size_max
        if index > first and (is_full or size + len(data) > settings.append_batch_bytes_max):
            yield slice(first, index)
            first, size = index, 0
        size += len(data)
    yield slice(first, len(events))


def _parts(streams: Sequence[StreamAppend], settings: Settings) -> Iterator[list[StreamAppend]]:
    part: list[StreamAppend] = []
    size = 0
    for stream in streams:
        stream_size = sum(len(event.data) for event in stream.events)
        is_full = len(part) >= settings.append_batch_size_max
        if part and (is_full or size + stream_size > settings.append_batch_bytes_max):
            yield part
            part, size = [], 0
        part.append(stream)
        size += stream_size
    yield part
