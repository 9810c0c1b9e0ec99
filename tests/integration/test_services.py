"""The servers that the tests bring along: each test gets its own, and nothing is left of them."""

from pathlib import Path

import aio_pika
import asyncpg
import pytest

from tests.services.nursery import Nursery
from tests.services.private_postgres import PrivatePostgres
from tests.services.private_rabbitmq import PrivateRabbitmq
from tests.services.processes import processes_within
from tests.services.provision import absent


async def test_each_test_gets_an_empty_database(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    tables = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    )
    await connection.close()

    assert tables == 0


async def test_migrated_database_has_the_ledger_and_no_event(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    events = await connection.fetchval("SELECT count(*) FROM ledger.events")
    await connection.close()

    assert events == 0


async def test_private_postgres_keeps_its_url_and_rows_over_a_kill(private_postgres: PrivatePostgres) -> None:
    url = private_postgres.url
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS number")

    private_postgres.kill()
    assert processes_within(private_postgres.home) == []
    with pytest.raises((ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    private_postgres.start()

    assert private_postgres.url == url
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT number FROM kept") == 1
    await connection.close()


async def test_private_rabbitmq_keeps_its_url_over_a_kill_and_loses_its_queues_when_wiped(
    private_rabbitmq: PrivateRabbitmq,
) -> None:
    url = private_rabbitmq.url

    private_rabbitmq.kill()
    private_rabbitmq.start()
    async with await aio_pika.connect(url) as connection:
        await (await connection.channel()).declare_queue("lost", durable=True)
    private_rabbitmq.wipe()
    assert processes_within(private_rabbitmq.home) == []
    private_rabbitmq.start()

    assert private_rabbitmq.url == url
    async with await aio_pika.connect(url) as connection:
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await (await connection.channel()).declare_queue("lost", passive=True)


def test_absent_service_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no Postgres for this test: it rains"):
        absent("Postgres", ["it rains"])

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Postgres for this test: it rains"):
        absent("Postgres", ["it rains"])


def test_nursery_forks_what_python_m_would_run_and_ends_it_with_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Nursery(["json.tool"]) as nursery:
        waiting = nursery.fork(["http.server", "0"], environment={}, log=log)
        done = nursery.fork(["calendar", "2000", "1"], environment={}, log=log)

        assert done.wait(10) == 0
        assert waiting.poll() is None
        killed = nursery.fork(["http.server", "0"], environment={}, log=log)
        killed.kill()
        assert killed.wait(10) == 0

    assert waiting.wait(10) == 0
    assert "January 2000" in log.read_text("utf-8")
