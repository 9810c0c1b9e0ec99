"""Appends in a transaction that is open already: a caller's, or that of a keyed append."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import orjson

from ledger.errors import StoreRefusedError, StoreUnavailableError, WrongExpectedVersionError
from ledger.queries import query
from ledger.store.batcher import AppendRequest
from ledger.store.connection import translated
from ledger.store.records import Appended, PayloadKey, StreamAppend

_PARTIAL_APPEND = "LG001"


@asynccontextmanager
async def enlisted(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Join the transaction that is open on a caller's connection; what fails inside leaves that one usable.

    Raises:
        StoreUnavailableError: the connection is closed.
        StoreRefusedError: no transaction is open on it.
    """
    if connection.is_closed():
        raise StoreUnavailableError("the connection to enlist in is closed")
    if not connection.is_in_transaction():
        raise StoreRefusedError("to enlist an append, open a transaction on the connection first")
    with translated():
        # asyncpg's own savepoints are refused in a transaction that a caller began by a BEGIN of his own.
        await connection.execute(query("open_savepoint"))
        try:
            yield
        except BaseException:
            if not connection.is_closed():
                await connection.execute(query("undo_savepoint"))
                await connection.execute(query("close_savepoint"))
            raise
        await connection.execute(query("close_savepoint"))


async def append_in(connection: asyncpg.Connection, stream: StreamAppend) -> Appended:
    """Append one stream's events; raises WrongExpectedVersionError on a conflict."""
    try:
        rows = await connection.fetch(query("append_events"), *columns_of([stream]))
    except asyncpg.PostgresError as error:
        if not is_partial(error):
            raise
        rows = []
    if not rows:
        raise WrongExpectedVersionError(task_id=stream.task_id, expected_version=stream.expected_version)
    return Appended(*tuple(rows[0])[:4])


async def keep_payload_keys(connection: asyncpg.Connection, keys: Mapping[UUID, PayloadKey]) -> None:
    """Keep the keys of new erasable tasks in the open transaction."""
    await connection.execute(
        query("keep_payload_keys"),
        list(keys),
        [key.wrapped for key in keys.values()],
        [key.secret_id for key in keys.values()],
        [orjson.dumps(key.tags).decode() for key in keys.values()],
    )


def is_partial(error: BaseException | None) -> bool:
    """Return whether the database refused an append of which only a part would have gone in."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == _PARTIAL_APPEND


def columns_of(batch: Sequence[AppendRequest | StreamAppend]) -> list[list[object]]:
    """Return the arguments of `append_events`, a column each."""
    # Sorted by (task_id, version): two batches that share tasks then take their row locks in one order.
    rows = [
        (
            request.task_id,
            request.expected_version + offset,
            request.expected_version,
            len(request.events),
            event.type,
            event.schema_version,
            event.kind,
            event.queue,
            event.data,
            event.occurred_at,
            event.origin.actor,
            event.origin.correlation_id or str(request.task_id),
            event.origin.causation_id,
            event.origin.traceparent,
        )
        for request in sorted(batch, key=lambda request: request.task_id)
        for offset, event in enumerate(request.events, start=1)
    ]
    return [list(column) for column in zip(*rows, strict=True)]
