"""The keyed append in Postgres: its keys are looked up and taken, and its events appended, in one transaction.

An idempotency key is locked without waiting, so that a request in flight can be told from one that was answered. A
unique key is waited for: whoever comes second wants to know the task of the first. The append comes last, so that
it holds the horizon back for no longer than the commit takes.
"""

from uuid import UUID

import asyncpg

from ledger.errors import IdempotencyKeyReusedError, KeyInFlightError
from ledger.queries import query
from ledger.store.enlisted import append_in, keep_payload_keys
from ledger.store.keys import IdempotencyKey, Once, UniqueKey
from ledger.store.records import Appended, StreamAppend


async def append_once_in(connection: asyncpg.Connection, stream: StreamAppend, once: Once) -> Appended:
    """Append one stream's events, or return the receipt that a key leads to; raises what the store port says."""
    try:
        receipt = await _receipt_of_keys(connection, stream, once)
        if receipt is not None:
            return receipt
        if once.payload_key is not None:
            await keep_payload_keys(connection, {stream.task_id: once.payload_key})
        return await append_in(connection, stream)
    except asyncpg.LockNotAvailableError as error:
        raise _in_flight(once) from error


async def _receipt_of_keys(connection: asyncpg.Connection, stream: StreamAppend, once: Once) -> Appended | None:
    key, existing = once.idempotency_key, None
    if key is not None:
        if not await connection.fetchval(query("try_lock_idempotency_key"), key.scope, key.key):
            raise KeyInFlightError(field="Idempotency-Key", key=key.key)
        replayed = await _first_use(connection, key)
        if replayed is not None:
            return replayed
    if once.unique_key is not None:
        existing = await _take(connection, once.unique_key, stream.task_id)
    if key is not None:
        await _keep(connection, key, stream, existing)
    return existing


async def _first_use(connection: asyncpg.Connection, key: IdempotencyKey) -> Appended | None:
    used = await connection.fetchrow(query("first_use_of_idempotency_key"), key.scope, key.key)
    if used is None:
        return None
    if used["digest"] != key.digest:
        raise IdempotencyKeyReusedError(key=key.key)
    return Appended(
        used["task_id"], used["version"], used["position"], used["recorded_at"],
        replayed=True, existing=used["existing"],
    )  # fmt: skip


async def _take(connection: asyncpg.Connection, key: UniqueKey, task_id: UUID) -> Appended | None:
    await connection.execute(query("lock_unique_key"), key.kind, key.key)
    holder = await connection.fetchrow(query("unfinished_holder"), key.kind, key.key)
    if holder is not None and holder["task_id"] != task_id:
        return Appended(
            holder["task_id"], holder["version"], holder["position"], holder["recorded_at"], existing=True
        )
    await connection.execute(query("take_unique_key"), key.kind, key.key, task_id)
    return None


async def _keep(
    connection: asyncpg.Connection, key: IdempotencyKey, stream: StreamAppend, existing: Appended | None
) -> None:
    task_id, version = stream.task_id, stream.expected_version + len(stream.events)
    if existing is not None:
        task_id, version = existing.task_id, existing.version
    await connection.execute(
        query("keep_idempotency_key"), key.scope, key.key, key.digest, task_id, version, existing is not None
    )


def _in_flight(once: Once) -> KeyInFlightError:
    if once.unique_key is not None:
        return KeyInFlightError(field="unique_key", key=once.unique_key.key)
    return KeyInFlightError(field="Idempotency-Key", key=once.idempotency_key.key if once.idempotency_key else "")
