"""The database behind the store: whatever is wrong with it comes out as one of two errors, in time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ledger.bootstrap import open_ledger
from ledger.errors import StoreRefusedError, StoreUnavailableError, StoreUnwritableError
from ledger.migrate import migrate
from ledger.settings import Settings, load_settings
from ledger.specification import TaskSpecification
from ledger.store.connection import Database, open_database
from ledger.store.records import Origin
from tests.services.postgres import run_apart
from tests.services.private_postgres import PrivatePostgres

CLIENT = Origin(actor="client")


def settings(url: str) -> Settings:
    return load_settings(
        database_url=url, pool_size_max=2, connect_timeout_seconds=0.5, statement_timeout_seconds=1
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(settings(database_url), database_url) as opened:
        yield opened


async def test_ping_answers(database: Database) -> None:
    await database.ping()


async def test_pool_that_is_used_up_is_out_of_reach_in_time(database: Database) -> None:
    async with database.connection(), database.connection(), asyncio.timeout(5):
        with pytest.raises(StoreUnavailableError):
            await database.ping()
        with pytest.raises(StoreUnavailableError):
            async with database.connection():
                pass


async def test_statement_that_takes_too_long_is_given_up_and_its_connection_serves_again(
    database: Database,
) -> None:
    with pytest.raises(StoreUnavailableError, match="TimeoutError"):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(60)")

    await database.ping()


async def test_connection_that_was_ended_is_replaced(database: Database) -> None:
    with pytest.raises(StoreUnavailableError):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    await database.ping()


async def test_statement_that_is_wrong_is_refused(database: Database) -> None:
    for statement in ("SELECT 1 / 0", "SELECT no_such_column", "SELEKT"):
        with pytest.raises(StoreRefusedError, match="the database refused"):
            async with database.connection() as connection:
                await connection.execute(statement)


async def test_database_that_takes_no_writes_says_so(database: Database) -> None:
    with pytest.raises(StoreUnwritableError, match="takes no writes"):
        async with database.connection() as connection, connection.transaction(readonly=True):
            await connection.execute("DELETE FROM ledger.checkpoints")


@pytest.mark.parametrize("argument", ["no number", 2**31])
async def test_argument_that_is_no_value_of_its_type_is_refused(database: Database, argument: object) -> None:
    with pytest.raises(StoreRefusedError):
        async with database.connection() as connection:
            await connection.fetchval("SELECT $1::integer", argument)


async def test_dedicated_connection_is_closed_on_leaving_even_by_an_error(database: Database) -> None:
    with pytest.raises(StoreRefusedError):
        async with database.dedicated() as connection:
            await connection.execute("SELECT 1 / 0")

    assert connection.is_closed()


@pytest.mark.parametrize(
    "url", ["postgres://u:hidden@127.0.0.1:1/db", "postgres://u:hidden@127.0.0.1:1/db?sslmode=nonsense"]
)
async def test_database_that_cannot_be_opened_is_named_without_its_password(url: str) -> None:
    with pytest.raises(StoreUnavailableError, match=r"postgres://u:\*\*\*@127.0.0.1:1/db") as refused:
        async with open_database(settings(url), url):
            pass

    assert "hidden" not in str(refused.value)


async def test_ledger_goes_on_after_a_restart_of_its_database(private_postgres: PrivatePostgres) -> None:
    run_apart(migrate(private_postgres.url))
    async with open_ledger(load_settings(database_url=private_postgres.url)) as ledger:
        receipt = await ledger.commands.submit(TaskSpecification(), origin=CLIENT)

        await asyncio.to_thread(private_postgres.kill)
        with pytest.raises(StoreUnavailableError):
            await ledger.commands.submit(TaskSpecification(), origin=CLIENT)
        await asyncio.to_thread(private_postgres.start)

        assert (await ledger.commands.submit(TaskSpecification(), origin=CLIENT)).version == 1
        assert len(await ledger.store.read_stream(receipt.task_id)) == 1


async def test_store_closes_while_its_database_is_gone_and_answers_everybody(
    private_postgres: PrivatePostgres,
) -> None:
    run_apart(migrate(private_postgres.url))
    async with asyncio.timeout(20):
        async with open_ledger(load_settings(database_url=private_postgres.url)) as ledger:
            await asyncio.to_thread(private_postgres.kill)
            waiting = [
                asyncio.create_task(ledger.commands.submit(TaskSpecification(), origin=CLIENT))
                for _ in range(2000)
            ]
            await asyncio.sleep(0)

        answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(answer) for answer in answers} == {StoreUnavailableError}
