"""The signal of appends: it outlives its connection and its database, and says an outage once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from ledger.bootstrap import Ledger, open_ledger
from ledger.migrate import migrate
from ledger.settings import load_settings
from ledger.store.port import AppendSignal
from ledger.store.records import NewEvent, Origin
from tests.services.postgres import run_apart
from tests.services.private_postgres import PrivatePostgres

EVENT = NewEvent("task.submitted", 1, "k", "q", "{}", datetime(2026, 1, 2, tzinfo=UTC), Origin(actor="client"))
_LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with open_ledger(load_settings(database_url=database_url)) as opened:
        yield opened


async def wakes_on_append(ledger: Ledger, signal: AppendSignal) -> bool:
    while await signal.wait(0.05):
        pass
    await ledger.store.append(uuid4(), [EVENT], expected_version=0)
    return await signal.wait(10)


async def listeners(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [row["pid"] for row in await connection.fetch(_LISTENERS)]
    finally:
        await connection.close()


async def test_reader_whose_connection_was_ended_looks_at_once_and_is_woken_as_before(
    ledger: Ledger, database_url: str
) -> None:
    async with ledger.store.appends() as signal:
        while await signal.wait(0.05):
            pass
        [pid] = await listeners(database_url)
        async with ledger.database.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend($1)", pid)

        assert await signal.wait(10) is True  # whatever was appended in between was not announced
        assert await wakes_on_append(ledger, signal)


async def test_outage_is_said_when_it_begins_and_when_it_ends(private_postgres: PrivatePostgres) -> None:
    run_apart(migrate(private_postgres.url))
    settings = load_settings(database_url=private_postgres.url)
    async with open_ledger(settings) as ledger, ledger.store.appends() as signal:
        with capture_logs() as logs:
            await asyncio.to_thread(private_postgres.stop)
            while await signal.wait(1.0):
                pass
            await asyncio.to_thread(private_postgres.start)

            assert await signal.wait(20) is True

        assert [line["event"] for line in logs] == ["role.interrupted", "role.resumed"]
        assert all(line["role"] == "listener" for line in logs)
        assert logs[1]["tries"] > 1
        assert await wakes_on_append(ledger, signal)


async def test_reader_starts_without_its_connection_and_polls(private_postgres: PrivatePostgres) -> None:
    run_apart(migrate(private_postgres.url))
    settings = load_settings(database_url=private_postgres.url)
    async with open_ledger(settings) as ledger:
        await asyncio.to_thread(private_postgres.stop)

        async with asyncio.timeout(10), ledger.store.appends() as signal:
            assert await signal.wait(0.01) is False


async def test_whoever_is_cancelled_while_the_listener_closes_is_cancelled(ledger: Ledger) -> None:
    leave, left = asyncio.Event(), False

    async def listen_for_a_while() -> None:
        nonlocal left
        async with ledger.store.appends():
            await leave.wait()
        left = True

    listening = asyncio.create_task(listen_for_a_while())
    await _until_somebody_listens(ledger)
    leave.set()
    for _ in range(2):
        await asyncio.sleep(0)
    listening.cancel()

    with pytest.raises(asyncio.CancelledError):
        await listening
    assert not left


async def test_listener_leaves_no_connection_behind(ledger: Ledger, database_url: str) -> None:
    async with ledger.store.appends():
        assert len(await listeners(database_url)) == 1

    assert await listeners(database_url) == []


async def _until_somebody_listens(ledger: Ledger) -> None:
    async with asyncio.timeout(10), ledger.database.connection() as connection:
        while not await connection.fetchval(_LISTENERS):
            await asyncio.sleep(0.01)
