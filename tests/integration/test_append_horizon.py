"""The append horizon under stress: writers that are late, abort, use savepoints, COPY and get killed."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import asyncpg
import pytest

from ledger.bootstrap import open_ledger
from ledger.settings import load_settings
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from ledger.subscription import subscribe

_WRITERS = 12
_SECONDS = 5.0
_INSERT = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    SELECT $1, version, 'task.submitted', 1, 'stress', 'stress', '{}', now(), 'stress', 'stress'
      FROM generate_series($2::integer, $3::integer) AS version
"""
_COLUMNS = (
    *("task_id", "version", "type", "schema_version", "kind", "queue", "data", "occurred_at", "actor"),
    "correlation_id",
)

Act = Callable[[asyncpg.Connection, random.Random], Awaitable[None]]


async def _append(connection: asyncpg.Connection, chance: random.Random) -> None:
    await connection.execute(_INSERT, uuid4(), 1, chance.randint(1, 3))


async def _hold_back_the_commit(connection: asyncpg.Connection, chance: random.Random) -> None:
    async with connection.transaction():
        await _append(connection, chance)
        await connection.execute("SELECT pg_sleep($1)", chance.uniform(0.0, 0.05))
        await _append(connection, chance)


async def _abort(connection: asyncpg.Connection, chance: random.Random) -> None:
    with suppress(ZeroDivisionError):
        async with connection.transaction():
            await _append(connection, chance)
            raise ZeroDivisionError


async def _roll_back_to_a_savepoint(connection: asyncpg.Connection, chance: random.Random) -> None:
    async with connection.transaction():
        with suppress(ZeroDivisionError):
            async with connection.transaction():
                await _append(connection, chance)
                raise ZeroDivisionError
        await connection.execute("SELECT pg_sleep($1)", chance.uniform(0.0, 0.02))
        await _append(connection, chance)
        await connection.execute("SELECT pg_sleep($1)", chance.uniform(0.0, 0.02))


async def _copy(connection: asyncpg.Connection, chance: random.Random) -> None:
    now = await connection.fetchval("SELECT now()")
    rows = [
        (uuid4(), 1, "task.submitted", 1, "stress", "stress", "{}", now, "stress", "stress")
        for _ in range(chance.randint(1, 20))
    ]
    await connection.copy_records_to_table("events", schema_name="ledger", records=rows, columns=_COLUMNS)


async def _be_killed(connection: asyncpg.Connection, chance: random.Random) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await _append(connection, chance)
    if chance.random() < 0.5:
        connection.terminate()
        return
    await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


_ACTS: tuple[Act, ...] = (
    *(_append, _append, _hold_back_the_commit, _hold_back_the_commit),
    *(_abort, _roll_back_to_a_savepoint, _copy, _be_killed),
)


async def test_reader_sees_every_committed_event_once_and_in_order(database_url: str) -> None:
    settings = load_settings(database_url=database_url, poll_interval_seconds=0.02)
    seen: list[int] = []
    async with (
        open_ledger(settings) as ledger,
        subscribe(ledger.store, poll_interval_seconds=0.02) as subscription,
    ):

        async def read_on() -> None:
            chance = random.Random(7)  # noqa: S311 - a page ends wherever it likes
            while True:
                events = await subscription.read(after=seen[-1] if seen else 0, limit=chance.randint(1, 200))
                seen.extend(event.position for event in events)
                if not events:
                    await subscription.wait()

        async def submit_on() -> None:
            while not wild.done():
                await asyncio.gather(
                    *(ledger.commands.submit(TaskSpecification(), origin=Origin(actor="client")) for _ in range(5))
                )

        async with _background(read_on):
            wild = asyncio.create_task(_write_wildly(database_url, seed=7))
            await asyncio.gather(wild, submit_on())
            committed = await _committed(database_url)
            async with asyncio.timeout(20):
                while await subscription.horizon() < committed[-1] or seen[-1] < committed[-1]:
                    await subscription.wait()

    assert len(committed) > 500
    assert seen == committed


async def test_reader_that_only_remembers_the_last_position_skips_events(database_url: str) -> None:
    seen: list[int] = []
    reader = await asyncpg.connect(database_url)

    async def read_on() -> None:
        while True:
            rows = await reader.fetch(
                "SELECT position FROM ledger.events WHERE position > $1 ORDER BY position", seen[-1] if seen else 0
            )
            seen.extend(row["position"] for row in rows)

    async with _background(read_on):
        await _write_wildly(database_url, seed=7)
        committed = await _committed(database_url)
        async with asyncio.timeout(20):
            while seen[-1] < committed[-1]:
                await asyncio.sleep(0.02)
    await reader.close()

    assert set(seen) < set(committed)


async def test_open_writer_holds_the_horizon_back_and_no_other_writer(database_url: str) -> None:
    holder, writer = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(_INSERT, uuid4(), 1, 1)

    async with asyncio.timeout(5):
        await writer.execute(_INSERT, uuid4(), 1, 1)
    held = await writer.fetchval("SELECT ledger.safe_position()")
    await transaction.commit()
    free = await writer.fetchval("SELECT ledger.safe_position()")

    assert (held, free) == (0, 2)
    await holder.close()
    await writer.close()


async def test_horizon_is_refused_under_repeatable_read(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)

    with pytest.raises(asyncpg.RaiseError, match="needs READ COMMITTED"):
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT ledger.safe_position()")

    await connection.close()


async def _write_wildly(url: str, *, seed: int) -> None:
    ends_at = asyncio.get_running_loop().time() + _SECONDS

    async def write(chance: random.Random) -> None:
        connection = await asyncpg.connect(url)
        while asyncio.get_running_loop().time() < ends_at:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await chance.choice(_ACTS)(connection, chance)
            if connection.is_closed():
                connection = await asyncpg.connect(url)
        await connection.close()

    await asyncio.gather(*(write(random.Random(seed + number)) for number in range(_WRITERS)))  # noqa: S311


@asynccontextmanager
async def _background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    async def run() -> None:
        await work()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _committed(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT position FROM ledger.events ORDER BY position")
    await connection.close()
    return [row["position"] for row in rows]
