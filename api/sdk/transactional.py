"""Submitting in a transaction of the caller's own: the task exists if and only if that transaction commits."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Unpack
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from api.sdk.answers import Receipt
from api.sdk.errors import ClientSettingError
from api.sdk.options import SubmitOptions, TaskOptions, task_body, to_json
from ledger.codec import encode, protected
from ledger.errors import InvalidValueError
from ledger.payloads.vault import PayloadVault
from ledger.payloads.wrapping import PayloadSecrets
from ledger.queries import query
from ledger.settings import load_settings
from ledger.specification import TaskSpecification, check_specification
from ledger.store.connection import translated
from ledger.store.enlisted import append_in, enlisted
from ledger.store.keys import IdempotencyKey, Once, UniqueKey
from ledger.store.once import append_once_in
from ledger.store.records import Appended, Origin, PayloadKey, StreamAppend
from ledger.task import Task
from ledger.task_words import ParentPolicy

_CLIENT = Origin(actor="client")


async def submit_in(
    connection: asyncpg.Connection,
    kind: str,
    input: Any = None,  # noqa: A002, ANN401 - the ledger's own word, and any JSON value
    payload_secret: str | None = None,
    **options: Unpack[SubmitOptions],
) -> Receipt:
    """Submit a task in the transaction that is open on an asyncpg connection, past the API.

        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO orders …")
            await submit_in(connection, "order.confirm", {"order": 7})

    The task exists if and only if that transaction commits; what fails here leaves the transaction usable. It is
    published when the relay next looks, within its poll interval. Commit soon: an open append holds back every
    reader of the log. A key is only used where `idempotency_key` names one. What is absent is as in
    `TaskSpecification`, whatever the server's settings.

    An `erasable` task is encrypted here, under a key that is wrapped with `payload_secret`, which has to be the
    server's LEDGER_PAYLOAD_SECRET; when absent it is read from this process's settings.

    The connection's user needs what the role `ledger_api` is granted: be a member of it, or its owner.

    Raises:
        InvalidValueError: a field is out of its bound, a task of `after` does not exist, or it is to be erasable
            and there is no secret.
        ConfigurationError: the secret is out of its bound.
        StoreRefusedError: no transaction is open, it has failed already, or the user may not append.
        StoreUnavailableError: the connection is closed.
        IdempotencyKeyReusedError, KeyInFlightError: the key was used for another submission, or is in use.
    """
    task: dict[str, Any] = dict(options)
    key = task.pop("idempotency_key", None)
    task.pop("idempotent", None)
    body = to_json(task_body({"kind": kind, "input": input, **task}))
    async with enlisted(connection):
        now = await connection.fetchval(query("database_time"))
        specification = specification_of(kind, input, task, now=now)
        await _check_parents(connection, specification)
        stream = _draft(specification, now, payload_secret)
        idempotency_key = None if key is None else IdempotencyKey.of(key, path="/tasks", body=body)
        appended = await _append(connection, stream, _once(specification, idempotency_key, stream.payload_key))
    return _receipt(appended)


def specification_of(
    kind: str,
    value: Any,  # noqa: ANN401 - any JSON value
    options: TaskOptions | Mapping[str, Any],
    *,
    now: datetime,
) -> TaskSpecification:
    """Return a task as the ledger takes it.

    Raises:
        InvalidValueError: a field is out of its bound.
        ClientSettingError: run_at and delay are both given.
    """
    given = dict(options)
    delay, run_at = given.pop("delay", None), given.pop("run_at", None)
    if delay is not None and run_at is not None:
        raise ClientSettingError("run_at and delay must not both be given")
    if delay is not None:
        run_at = now + (delay if isinstance(delay, timedelta) else timedelta(seconds=delay))
    if "timeout_s" in given:
        given["timeout_seconds"] = given.pop("timeout_s")
    specification = TaskSpecification(
        kind=kind,
        input=value,
        run_at=run_at,
        tags=tuple(given.pop("tags", ())),
        after=tuple(_task_id(one) for one in given.pop("after", ())),
        on_parent_failure=ParentPolicy(given.pop("on_parent_failure", ParentPolicy.CANCEL)),
        **given,
    )
    check_specification(specification)
    return specification


def _receipt(appended: Appended) -> Receipt:
    return Receipt(
        task_id=appended.task_id,
        position=appended.position,
        replayed=appended.replayed,
        existing=appended.existing,
    )


def _task_id(given: UUID | str) -> UUID:
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except ValueError as error:
        raise InvalidValueError(field="after", bound="task ids", value=given) from error


def _draft(specification: TaskSpecification, now: datetime, payload_secret: str | None) -> StreamAppend:
    submitted = Task.submission(uuid7(), specification, now=now)
    event = encode(submitted, kind=submitted.kind, queue=submitted.queue, origin=_CLIENT)
    if not specification.erasable:
        return StreamAppend(submitted.originator_id, (event,), 0)
    vault = PayloadVault(None, PayloadSecrets(load_settings(payload_secret=payload_secret).payload_secrets))
    key = vault.new_key(submitted.originator_id, specification.tags)
    return StreamAppend(submitted.originator_id, (protected(event, key.cipher),), 0, key.kept)


def _once(
    specification: TaskSpecification, key: IdempotencyKey | None, payload_key: PayloadKey | None
) -> Once | None:
    unique_key = specification.unique_key
    if key is None and unique_key is None and payload_key is None:
        return None
    return Once(key, None if unique_key is None else UniqueKey(specification.kind, unique_key), payload_key)


async def _append(connection: asyncpg.Connection, stream: StreamAppend, once: Once | None) -> Appended:
    if once is None:
        return await append_in(connection, stream)
    return await append_once_in(connection, stream, once)


async def _check_parents(connection: asyncpg.Connection, specification: TaskSpecification) -> None:
    if not specification.after:
        return
    with translated():
        rows = await connection.fetch(query("stream_heads"), list(specification.after))
    unknown = set(specification.after) - {row["task_id"] for row in rows}
    if unknown:
        raise InvalidValueError(field="after", bound="tasks that exist", value=str(min(unknown)))
