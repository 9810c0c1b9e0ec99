"""The keys that have served are deleted in batches, and no key that still serves."""

from collections.abc import AsyncIterator

import pytest

from ledger.bootstrap import Ledger
from ledger.scheduler import Scheduler
from ledger.specification import TaskSpecification
from ledger.spent_keys import SpentKeys
from ledger.store.keys import IdempotencyKey
from ledger.store.records import Appended
from tests.integration.given import CLIENT, execute, fetch, opened


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, idempotency_hours=2, scheduler_batch_size_max=3) as ledger:
        yield ledger


async def submit(ledger: Ledger, key: str) -> Appended:
    return await ledger.commands.submit(
        TaskSpecification(), origin=CLIENT, idempotency_key=IdempotencyKey.of(key, path="/tasks", body=b"")
    )


async def test_idempotency_keys_are_forgotten_after_the_hours_that_are_set_and_not_before(ledger: Ledger) -> None:
    keys = [str(number) for number in range(8)]
    first = [await submit(ledger, key) for key in keys]
    await execute(ledger, "UPDATE ledger.idempotency_keys SET kept_since = kept_since - interval '119 minutes'")
    assert await SpentKeys(ledger).forget_idempotency_keys() == 0

    await execute(
        ledger,
        "UPDATE ledger.idempotency_keys SET kept_since = kept_since - interval '2 minutes' WHERE key <> '0'",
    )
    assert await SpentKeys(ledger).forget_idempotency_keys() == 7

    again = [await submit(ledger, key) for key in keys]
    assert [one.replayed for one in again] == [True] + [False] * 7
    assert again[0].task_id == first[0].task_id


async def test_unique_keys_of_finished_tasks_are_forgotten_and_no_other(ledger: Ledger) -> None:
    tasks = [
        (await ledger.commands.submit(TaskSpecification(unique_key=str(number)), origin=CLIENT)).task_id
        for number in range(10)
    ]
    for task_id in tasks[:7]:
        await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
    await ledger.commands.retry(tasks[3], reason="", origin=CLIENT)

    assert await SpentKeys(ledger).forget_unique_keys() == 6

    held = await fetch(ledger, "SELECT task_id FROM ledger.unique_tasks ORDER BY unique_key")
    assert [row["task_id"] for row in held] == [tasks[number] for number in (3, 7, 8, 9)]


async def test_a_unique_key_that_is_being_taken_again_is_not_forgotten(ledger: Ledger) -> None:
    specification = TaskSpecification(unique_key="customer-1")
    first = await ledger.commands.submit(specification, origin=CLIENT)
    await ledger.commands.cancel(first.task_id, reason="", origin=CLIENT)

    async with ledger.database.connection() as connection, connection.transaction():
        await ledger.commands.submit(specification, origin=CLIENT, connection=connection)
        assert await SpentKeys(ledger).forget_unique_keys() == 0

    assert (await ledger.commands.submit(specification, origin=CLIENT)).existing


async def test_the_scheduler_forgets_keys_as_one_of_its_chores(ledger: Ledger) -> None:
    await submit(ledger, "old")
    await execute(ledger, "UPDATE ledger.idempotency_keys SET kept_since = kept_since - interval '3 hours'")

    unique = await ledger.commands.submit(TaskSpecification(unique_key="old"), origin=CLIENT)
    await ledger.commands.cancel(unique.task_id, reason="", origin=CLIENT)

    await Scheduler(ledger).run_once()

    assert await fetch(ledger, "SELECT key FROM ledger.idempotency_keys") == []
    assert await fetch(ledger, "SELECT unique_key FROM ledger.unique_tasks") == []
