"""The partitions: one a month, by the time in the task id, to the millisecond; each guarded like the whole."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

_APPEND = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    VALUES ($1, 1, 'task.submitted', 1, 'k', 'q', '{}', now(), 'somebody', 'story')
 RETURNING tableoid::regclass::text
"""
_PARTITIONS = "SELECT relid::regclass::text FROM pg_partition_tree('ledger.events') WHERE isleaf ORDER BY 1"
_MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def month(ahead: int) -> datetime:
    """Return the beginning of the month that is so many months ahead of this one."""
    now = datetime.now(UTC)
    years, month_index = divmod(now.month - 1 + ahead, 12)
    return datetime(now.year + years, month_index + 1, 1, tzinfo=UTC)


def task_ids(moment: datetime) -> tuple[UUID, UUID]:
    """Return the least and the greatest UUIDv7 of a millisecond."""
    milliseconds = round(moment.timestamp() * 1000) << 80
    return UUID(int=milliseconds | 0x7000 << 64 | 0x8 << 60), UUID(
        int=milliseconds | 0x7FFF << 64 | 0xBFFFFFFFFFFFFFFF
    )


def table(ahead: int) -> str:
    return f"ledger.events_{month(ahead):%Y_%m}"


async def home_of(connection: asyncpg.Connection, task_id: UUID) -> str:
    return str(await connection.fetchval(_APPEND, task_id))


async def test_task_of_now_lands_in_the_partition_of_this_month(connection: asyncpg.Connection) -> None:
    assert await home_of(connection, uuid7()) == table(0)


async def test_task_of_no_prepared_month_lands_in_the_default_partition(connection: asyncpg.Connection) -> None:
    assert await home_of(connection, uuid4()) == "ledger.events_default"
    assert await home_of(connection, UUID(int=0)) == "ledger.events_default"
    assert await home_of(connection, task_ids(month(5))[0]) == "ledger.events_default"


async def test_month_begins_and_ends_to_the_millisecond(connection: asyncpg.Connection) -> None:
    for ahead in (1, 2, 3):
        assert await home_of(connection, task_ids(month(ahead) - _MILLISECOND)[1]) == table(ahead - 1)
        assert await home_of(connection, task_ids(month(ahead))[0]) == table(ahead)


async def test_least_task_id_of_a_moment_is_the_same_in_every_time_zone(connection: asyncpg.Connection) -> None:
    moment = datetime(2026, 3, 29, 0, 59, 59, 999_000, tzinfo=UTC)

    for zone in ("UTC", "Europe/Berlin", "Pacific/Kiritimati"):
        await connection.execute("SELECT set_config('TimeZone', $1, false)", zone)
        least: UUID = await connection.fetchval("SELECT ledger.least_task_id($1)", moment)
        assert least == UUID(int=round(moment.timestamp() * 1000) << 80)


async def test_months_are_those_of_utc_in_every_time_zone(connection: asyncpg.Connection) -> None:
    await connection.execute("SET TIME ZONE 'Pacific/Kiritimati'")

    assert await connection.fetchval("SELECT ledger.prepare_partitions(4)") == 1

    assert await home_of(connection, task_ids(month(4) - _MILLISECOND)[1]) == table(3)
    assert await home_of(connection, task_ids(month(4))[0]) == table(4)


async def test_month_is_prepared_once(connection: asyncpg.Connection) -> None:
    before = {row[0] for row in await connection.fetch(_PARTITIONS)}

    made = [await connection.fetchval("SELECT ledger.prepare_partitions(6)") for _ in range(2)]

    after = {row[0] for row in await connection.fetch(_PARTITIONS)}
    assert made == [3, 0]
    assert after - before == {table(4), table(5), table(6)}


async def test_month_that_is_prepared_too_late_does_not_keep_the_next_ones_from_it(
    connection: asyncpg.Connection,
) -> None:
    late, early = task_ids(month(5))
    assert await home_of(connection, late) == "ledger.events_default"

    assert await connection.fetchval("SELECT ledger.prepare_partitions(6)") == 2

    assert await home_of(connection, early) == "ledger.events_default"
    assert await home_of(connection, task_ids(month(4))[0]) == table(4)
    assert await home_of(connection, task_ids(month(6))[0]) == table(6)


@pytest.mark.parametrize("months", [-1, 25])
async def test_number_of_months_is_bounded(connection: asyncpg.Connection, months: int) -> None:
    with pytest.raises(asyncpg.RaiseError, match=f"months_ahead must be between 0 and 24, got {months}"):
        await connection.fetchval("SELECT ledger.prepare_partitions($1)", months)


async def test_append_aimed_at_a_partition_holds_the_horizon_back_too(
    connection: asyncpg.Connection, database_url: str
) -> None:
    reader = await asyncpg.connect(database_url)
    await connection.fetchval("SELECT ledger.prepare_partitions(4)")
    for partition, task_id in (
        (table(0), uuid7()),
        (table(4), task_ids(month(4))[0]),
        ("ledger.events_default", uuid4()),
    ):
        before = await reader.fetchval("SELECT ledger.safe_position()")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(_APPEND.replace("ledger.events", partition), task_id)

        assert await reader.fetchval("SELECT ledger.safe_position()") == before

        await transaction.commit()
        assert await reader.fetchval("SELECT ledger.safe_position()") == before + 1
    await reader.close()


@pytest.mark.parametrize("guarded", ["ledger.events", table(0), "ledger.events_default", "ledger.stale_writes"])
async def test_guard_holds_even_where_triggers_are_switched_off_for_replication(
    connection: asyncpg.Connection, guarded: str
) -> None:
    await connection.execute("SET session_replication_role = replica")

    for statement in ("UPDATE {} SET type = 'x'", "DELETE FROM {}", "TRUNCATE {}"):
        with pytest.raises(asyncpg.PostgresError, match="the ledger is append-only"):
            await connection.execute(statement.format(guarded))
