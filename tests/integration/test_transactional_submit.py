"""A submission within the caller's own transaction, past the API."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from api.sdk.transactional import submit_in
from ledger.bootstrap import Ledger
from ledger.errors import IdempotencyKeyReusedError, InvalidValueError, StoreRefusedError
from tests.integration.api_given import opened_api
from tests.integration.erasure_given import SECRET
from tests.integration.given import caught_up, opened


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def _exists(ledger: Ledger, task_id: UUID) -> bool:
    return bool(await ledger.store.heads([task_id]))


async def test_the_task_exists_if_and_only_if_the_transaction_commits(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        kept = await submit_in(connection, "mail", {"to": "ada"}, queue="mail", delay=60, tags=["tenant:acme"])
        assert not await _exists(ledger, kept.task_id)
    undone = connection.transaction()
    await undone.start()
    lost = await submit_in(connection, "mail")
    await undone.rollback()

    task = await ledger.commands.load(kept.task_id)
    assert (task.kind, task.input, task.queue, task.tags) == ("mail", {"to": "ada"}, "mail", ["tenant:acme"])
    assert task.release_at is not None
    assert not await _exists(ledger, lost.task_id)


async def test_a_transaction_that_was_begun_by_a_statement_does_as_well(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    await connection.execute("BEGIN")
    kept = await submit_in(connection, "mail")
    with pytest.raises(InvalidValueError, match="after must be tasks that exist"):
        await submit_in(connection, "mail", after=[uuid4()])
    await connection.execute("COMMIT")
    await connection.execute("BEGIN")
    lost = await submit_in(connection, "mail")
    await connection.execute("ROLLBACK")

    assert await _exists(ledger, kept.task_id)
    assert not await _exists(ledger, lost.task_id)


async def test_keys_hold_within_a_transaction(ledger: Ledger, connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        first = await submit_in(connection, "mail", 1, idempotency_key="order-7")
        again = await submit_in(connection, "mail", 1, idempotency_key="order-7")
        unique = [await submit_in(connection, "sync", unique_key="ada") for _ in range(2)]
        with pytest.raises(IdempotencyKeyReusedError):
            await submit_in(connection, "mail", 2, idempotency_key="order-7")

    assert (again.task_id, again.replayed) == (first.task_id, True)
    assert (unique[1].task_id, unique[1].existing) == (unique[0].task_id, True)
    assert await _exists(ledger, first.task_id)


async def test_an_erasable_task_is_encrypted_and_can_be_read_by_the_server(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        receipt = await submit_in(connection, "mail", {"to": "ada"}, erasable=True, payload_secret=SECRET)
        with pytest.raises(InvalidValueError, match="erasable must be false while LEDGER_PAYLOAD_SECRET is not"):
            await submit_in(connection, "mail", erasable=True)

    stored = await connection.fetchval("SELECT data::text FROM ledger.events")
    async with opened_api(database_url, payload_secret=SECRET) as (ledger, client):
        await caught_up(ledger)
        shown = (await client.get(f"/tasks/{receipt.task_id}")).json()
    assert "ada" not in stored
    assert shown["input"] == {"to": "ada"}


async def test_without_a_transaction_or_in_a_failed_one_it_says_so(connection: asyncpg.Connection) -> None:
    with pytest.raises(StoreRefusedError, match="open a transaction"):
        await submit_in(connection, "mail")
    await connection.execute("BEGIN")
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.execute("SELECT 1 FROM nowhere")
    with pytest.raises(StoreRefusedError, match="current transaction is aborted"):
        await submit_in(connection, "mail")


async def test_whoever_may_not_append_is_refused_and_a_member_of_the_api_role_is_not(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    role = f"shop_{uuid4().hex}"
    await connection.execute(f"CREATE ROLE {role}")
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {role}")
            with pytest.raises(StoreRefusedError, match="permission denied"):
                await submit_in(connection, "mail")
        await connection.execute(f"GRANT ledger_api TO {role}")
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {role}")
            receipt = await submit_in(connection, "mail", unique_key="ada", idempotency_key=uuid4().hex)
    finally:
        await connection.execute(f"DROP ROLE {role}")

    assert await _exists(ledger, receipt.task_id)
