"""What only the Postgres store promises: enlisting, partial conflicts, lost connections, months."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from ledger.bootstrap import Ledger, open_ledger
from ledger.errors import StoreRefusedError, StoreUnavailableError, WrongExpectedVersionError
from ledger.settings import load_settings
from ledger.specification import TaskSpecification
from ledger.store.records import Appended, NewEvent, Origin

ORIGIN = Origin(actor="client")
EVENT = NewEvent(
    type="task.submitted", schema_version=1, kind="k", queue="q", data="{}", occurred_at=datetime.now(UTC),
    origin=ORIGIN,
)  # fmt: skip


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with open_ledger(load_settings(database_url=database_url)) as opened:
        yield opened


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE orders (number int PRIMARY KEY)")
    yield connection
    await connection.close()


async def test_task_exists_if_the_callers_transaction_commits(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO orders VALUES (1)")
        receipt = await ledger.commands.submit(TaskSpecification(), origin=ORIGIN, connection=connection)
        assert await ledger.store.read_stream(receipt.task_id) == []

    assert len(await ledger.store.read_stream(receipt.task_id)) == 1
    assert await connection.fetchval("SELECT count(*) FROM orders") == 1


async def test_task_does_not_exist_if_the_callers_transaction_rolls_back(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    receipt = await ledger.commands.submit(TaskSpecification(), origin=ORIGIN, connection=connection)

    await transaction.rollback()

    assert await ledger.store.read_stream(receipt.task_id) == []


@pytest.mark.parametrize("size", [1, 2])
async def test_conflict_leaves_the_callers_transaction_usable(
    ledger: Ledger, connection: asyncpg.Connection, size: int
) -> None:
    task_id = uuid4()
    await ledger.store.append(task_id, [EVENT], expected_version=0)

    async with connection.transaction():
        with pytest.raises(WrongExpectedVersionError):
            await ledger.store.append(task_id, [EVENT] * size, expected_version=0, connection=connection)
        await connection.execute("INSERT INTO orders VALUES (1)")

    assert await connection.fetchval("SELECT count(*) FROM orders") == 1
    assert len(await ledger.store.read_stream(task_id)) == 1


async def test_many_tasks_exist_if_the_callers_transaction_commits_and_may_wait_for_each_other(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        (first,) = await ledger.commands.submit_many([TaskSpecification()], origin=ORIGIN, connection=connection)
        later = [TaskSpecification(after=(first.task_id,))] * 600
        receipts = await ledger.commands.submit_many(later, origin=ORIGIN, connection=connection)
        assert await ledger.store.heads([first.task_id, receipts[-1].task_id]) == {}

    assert len(await ledger.store.heads([first.task_id, *(receipt.task_id for receipt in receipts)])) == 601


async def test_conflict_of_one_of_many_leaves_the_callers_transaction_usable(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    fresh, taken = uuid4(), uuid4()
    await ledger.store.append(taken, [EVENT], expected_version=0)
    batch = ledger.commands.batch(origin=ORIGIN)
    for task_id in (fresh, taken):
        ledger.commands.draft_in(batch, TaskSpecification(), task_id=task_id)

    async with connection.transaction():
        with pytest.raises(WrongExpectedVersionError, match=str(taken)):
            await ledger.store.append_first(batch, connection=connection)
        await connection.execute("INSERT INTO orders VALUES (1)")

    assert await connection.fetchval("SELECT count(*) FROM orders") == 1
    assert await ledger.store.heads([fresh, taken]) == {taken: 1}


async def test_enlisting_outside_a_transaction_is_refused(ledger: Ledger, connection: asyncpg.Connection) -> None:
    with pytest.raises(StoreRefusedError, match="open a transaction"):
        await ledger.commands.submit(TaskSpecification(), origin=ORIGIN, connection=connection)


async def test_enlisting_on_a_connection_that_was_lost_says_so(
    ledger: Ledger, connection: asyncpg.Connection, database_url: str
) -> None:
    victim = await asyncpg.connect(database_url)
    transaction = victim.transaction()
    await transaction.start()
    pid = await victim.fetchval("SELECT pg_backend_pid()")

    await connection.execute("SELECT pg_terminate_backend($1)", pid)

    for _ in range(2):  # as it is found out, and when it is known
        with pytest.raises(StoreUnavailableError):
            await ledger.store.append(uuid4(), [EVENT], expected_version=0, connection=victim)


async def test_enlisting_in_a_transaction_that_has_failed_is_refused(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")

    with pytest.raises(StoreRefusedError, match="transaction is aborted"):
        await ledger.store.append(uuid4(), [EVENT], expected_version=0, connection=connection)

    await transaction.rollback()


async def test_event_that_postgres_refuses_leaves_the_callers_transaction_usable(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        with pytest.raises(StoreRefusedError):
            await ledger.store.append(
                uuid4(), [replace(EVENT, data='"\\u0000"')], expected_version=0, connection=connection
            )
        await connection.execute("INSERT INTO orders VALUES (1)")

    assert await connection.fetchval("SELECT count(*) FROM orders") == 1


async def test_append_whose_second_event_alone_conflicts_with_one_in_flight_is_refused_whole(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    task_id = uuid4()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,"
        " correlation_id) VALUES ($1, 2, 't', 1, 'k', 'q', '{}', now(), 'a', 'c')",
        task_id,
    )

    waiting = asyncio.create_task(ledger.store.append(task_id, [EVENT, EVENT], expected_version=0))
    bystander = asyncio.create_task(ledger.store.append(uuid4(), [EVENT], expected_version=0))
    await _until_somebody_waits(connection)
    await transaction.commit()

    with pytest.raises(WrongExpectedVersionError):
        await waiting
    assert (await bystander).version == 1
    assert [row.version for row in await ledger.store.read_stream(task_id)] == [2]


async def test_append_whose_first_event_alone_conflicts_with_one_in_flight_is_refused_whole(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    task_id = uuid4()
    transaction = connection.transaction()
    await transaction.start()
    await ledger.store.append(task_id, [EVENT], expected_version=0, connection=connection)

    waiting = asyncio.create_task(ledger.store.append(task_id, [EVENT, EVENT], expected_version=0))
    bystander = asyncio.create_task(ledger.store.append(uuid4(), [EVENT], expected_version=0))
    await _until_somebody_waits(connection)
    await transaction.commit()

    with pytest.raises(WrongExpectedVersionError):
        await waiting
    assert (await bystander).version == 1
    assert [row.version for row in await ledger.store.read_stream(task_id)] == [1]


@pytest.mark.parametrize(
    "poison",
    [
        replace(EVENT, data='"\\u0000"'),
        replace(EVENT, data="{no json"),
        replace(EVENT, kind="a\0b"),
        replace(EVENT, kind="\ud800"),
        replace(EVENT, schema_version=0),
        replace(EVENT, schema_version=2**15),
        replace(EVENT, occurred_at=cast("datetime", "yesterday")),
        replace(EVENT, origin=Origin(actor=cast("str", None))),
    ],
    ids=["nul", "no json", "nul in text", "surrogate", "check", "range", "type", "null"],
)
async def test_event_that_postgres_refuses_fails_alone(ledger: Ledger, poison: NewEvent) -> None:
    good = [uuid4() for _ in range(9)]

    answers = await asyncio.gather(
        *(ledger.store.append(task_id, [EVENT], expected_version=0) for task_id in good[:5]),
        ledger.store.append(uuid4(), [EVENT, poison], expected_version=0),
        *(ledger.store.append(task_id, [EVENT], expected_version=0) for task_id in good[5:]),
        return_exceptions=True,
    )

    assert isinstance(answers.pop(5), StoreRefusedError)
    assert [answer.version for answer in answers if isinstance(answer, Appended)] == [1] * 9
    assert len(await ledger.store.read_log(after=0, upto=10_000, limit=100)) == 9


async def test_two_stores_that_share_streams_do_not_deadlock(database_url: str) -> None:
    settings = load_settings(database_url=database_url)
    async with open_ledger(settings) as one, open_ledger(settings) as other:
        tasks = [uuid4() for _ in range(40)]

        async def race(ledger: Ledger, order: list[UUID]) -> int:
            answers = await asyncio.gather(
                *(ledger.store.append(task_id, [EVENT, EVENT], expected_version=0) for task_id in order),
                return_exceptions=True,
            )
            assert all(
                not isinstance(one, BaseException) or isinstance(one, WrongExpectedVersionError) for one in answers
            )
            return sum(not isinstance(answer, BaseException) for answer in answers)

        won = await asyncio.gather(
            *(race(store, order) for store in (one, other) for order in (tasks, tasks[::-1]))
        )

        assert sum(won) == len(tasks)
        streams = await one.store.read_streams(tasks)
        assert all([row.version for row in rows] == [1, 2] for rows in streams.values())


async def test_connection_lost_in_flight_is_reported_and_the_next_append_works(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    task_id = uuid4()
    transaction = connection.transaction()
    await transaction.start()
    await ledger.store.append(task_id, [EVENT], expected_version=0, connection=connection)
    waiting = asyncio.create_task(ledger.store.append(task_id, [EVENT], expected_version=0))
    pid = await _until_somebody_waits(connection)

    await connection.execute("SELECT pg_terminate_backend($1)", pid)

    with pytest.raises(StoreUnavailableError):
        await waiting
    await transaction.rollback()
    assert (await ledger.store.append(uuid4(), [EVENT], expected_version=0)).version == 1


async def _until_somebody_waits(connection: asyncpg.Connection) -> int:
    async with asyncio.timeout(10):
        while True:
            pid = await connection.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if pid is not None:
                return int(pid)
            await asyncio.sleep(0.01)
