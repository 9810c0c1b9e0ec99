"""Appends the first events of many new streams: a few statements, each with a column for what differs."""

from collections.abc import Iterator

import asyncpg

from ledger.queries import query
from ledger.settings import Settings
from ledger.store.enlisted import keep_payload_keys
from ledger.store.records import Appended, FirstEvents


async def append_first_in(
    connection: asyncpg.Connection, events: FirstEvents, settings: Settings
) -> list[Appended]:
    """Append the first events of new streams in the open transaction, and return their receipts.

    Raises:
        asyncpg.UniqueViolationError: one of the streams exists.
    """
    if events.payload_keys:
        await keep_payload_keys(connection, events.payload_keys)
    origin = events.origin
    of_all = (events.type, events.schema_version, events.occurred_at, origin.actor, origin.correlation_id)
    receipts: list[Appended] = []
    for part in _slices(events, settings):
        task_ids = events.task_ids[part]
        columns = task_ids, events.kinds[part], events.queues[part], events.data[part]
        [(positions, times)] = await connection.fetch(
            query("append_first_events"), *columns, *of_all, origin.causation_id, origin.traceparent
        )
        receipts += map(Appended, task_ids, [1] * len(task_ids), positions, times)
    return receipts


def _slices(events: FirstEvents, settings: Settings) -> Iterator[slice]:
    first = size = 0
    for index, data in enumerate(events.data):
        is_full = index - first >= settings.append_batch_size_max
        if index > first and (is_full or size + len(data) > settings.append_batch_bytes_max):
            yield slice(first, index)
            first, size = index, 0
        size += len(data)
    yield slice(first, len(events))
