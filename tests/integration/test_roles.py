"""The database roles: each may do what its process needs, and nothing may change what the ledger holds."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

_APPEND = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    VALUES ($1, 1, 'task.submitted', 1, 'k', 'q', '{}', now(), 'somebody', 'story')
"""
_PARTITIONS = "SELECT relid::regclass::text FROM pg_partition_tree('ledger.events')"
APPENDERS = ["ledger_api", "ledger_worker", "ledger_scheduler"]
READERS = ["ledger_relay", "ledger_projector", "ledger_auditor"]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def become(connection: asyncpg.Connection, role: str) -> None:
    await connection.execute(f"SET ROLE {role}")


@pytest.mark.parametrize("role", APPENDERS)
async def test_role_that_appends_may_append_and_read_the_horizon(
    connection: asyncpg.Connection, role: str
) -> None:
    await become(connection, role)

    await connection.execute(_APPEND, uuid4())

    assert await connection.fetchval("SELECT ledger.safe_position()") == 1
    assert await connection.fetchval("SELECT count(*) FROM ledger.events") == 1


@pytest.mark.parametrize("role", READERS)
async def test_role_that_only_reads_may_not_append(connection: asyncpg.Connection, role: str) -> None:
    await become(connection, role)

    assert await connection.fetchval("SELECT ledger.safe_position()") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(_APPEND, uuid4())


@pytest.mark.parametrize("role", [*APPENDERS, *READERS])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.events SET actor = 'somebody else'",
        "DELETE FROM ledger.events",
        "TRUNCATE ledger.events",
        "INSERT INTO ledger.events_default SELECT * FROM ledger.events",
        "DELETE FROM ledger.stale_writes",
        "ALTER TABLE ledger.events DISABLE TRIGGER ALL",
    ],
)
async def test_no_role_may_change_or_get_round_the_ledger(
    connection: asyncpg.Connection, role: str, statement: str
) -> None:
    await become(connection, role)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)


@pytest.mark.parametrize("role", ["ledger_api", "ledger_worker", "ledger_auditor"])
async def test_role_without_a_reader_of_its_own_may_not_move_checkpoints(
    connection: asyncpg.Connection, role: str
) -> None:
    await become(connection, role)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("INSERT INTO ledger.checkpoints (name, position) VALUES ('relay', 9)")


@pytest.mark.parametrize("statement", ["UPDATE {} SET actor = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_not_even_the_owner_changes_an_event_in_any_partition(
    connection: asyncpg.Connection, statement: str
) -> None:
    await connection.execute(_APPEND, uuid4())
    tables = [row[0] for row in await connection.fetch(_PARTITIONS)]

    for table in tables:
        with pytest.raises(asyncpg.PostgresError, match="the ledger is append-only"):
            await connection.execute(statement.format(table))

    assert len(tables) >= 6


async def test_scheduler_prepares_partitions_that_it_does_not_own(connection: asyncpg.Connection) -> None:
    await become(connection, "ledger_scheduler")

    assert await connection.fetchval("SELECT ledger.prepare_partitions(6)") == 3
    assert await connection.fetchval("SELECT ledger.prepare_partitions(6)") == 0


@pytest.mark.parametrize("role", ["ledger_api", "ledger_worker", "ledger_auditor"])
async def test_others_prepare_no_partitions(connection: asyncpg.Connection, role: str) -> None:
    await become(connection, role)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetchval("SELECT ledger.prepare_partitions(6)")


async def test_new_partition_is_guarded_like_the_others(connection: asyncpg.Connection) -> None:
    await connection.fetchval("SELECT ledger.prepare_partitions(6)")
    newest = max(row[0] for row in await connection.fetch(_PARTITIONS) if "default" not in row[0])

    with pytest.raises(asyncpg.PostgresError, match="the ledger is append-only"):
        await connection.execute(f"TRUNCATE {newest}")
