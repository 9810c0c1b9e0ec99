"""The projector folds each event into the read model exactly once, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.errors import StoreUnavailableError, UnknownEventTypeError
from ledger.migrate import migrate
from ledger.specification import TaskSpecification
from ledger.store.records import NewEvent
from projections.batch import fold_next_batch
from projections.errors import ReadModelOutOfStepError
from projections.generation import LIVE
from projections.projector import Projector
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.given import CLIENT, eventually, execute, fetch, opened, running, submitted
from tests.integration.lives import live_through
from tests.services.private_postgres import PrivatePostgres

CHECKPOINT = "SELECT position FROM ledger.checkpoints WHERE name = 'projection:task_status'"
EVENTS = "SELECT count(*), max(position) FROM ledger.events"
ROWS = "SELECT count(*), coalesce(sum(version), 0) FROM projections.task_status"
WAITING_FOR_A_LOCK = """SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


@pytest.fixture
def projector(ledger: Ledger) -> Projector:
    return Projector(ledger, [TASK_STATUS])


async def value(ledger: Ledger, statement: str, *arguments: object) -> int:
    [row] = await fetch(ledger, statement, *arguments)
    return int(row[0])


async def has_folded_all(ledger: Ledger) -> bool:
    """Say whether the checkpoint is at the end of the log, and every event has counted once."""
    [(events, last)] = await fetch(ledger, EVENTS)
    [(_, versions)] = await fetch(ledger, ROWS)
    return bool(events == versions and last == await value(ledger, CHECKPOINT))


async def test_first_run_makes_the_read_model_and_folds_what_is_in_the_log(
    ledger: Ledger, projector: Projector
) -> None:
    await submitted(ledger, 3)

    folded = await projector.run_once()

    assert folded == 3
    assert await value(ledger, ROWS) == 3
    assert await value(ledger, CHECKPOINT) == await ledger.store.safe_position()
    assert await projector.run_once() == 0


async def test_after_each_batch_the_read_model_is_the_fold_up_to_the_checkpoint(database_url: str) -> None:
    async with opened(database_url, projector_batch_size_max=7) as ledger:
        await live_through(ledger, 15)
        projector = Projector(ledger, [TASK_STATUS])

        folded = [await projector.run_once()]
        while folded[-1]:
            assert await verify(ledger, TASK_STATUS) == []
            folded.append(await projector.run_once())

        assert max(folded) == 7
        assert sum(folded) == await value(ledger, EVENTS)
        assert await has_folded_all(ledger)


async def test_projector_that_is_cancelled_inside_a_batch_leaves_nothing_of_it(
    ledger: Ledger, projector: Projector
) -> None:
    await projector.run_once()
    await submitted(ledger, 5)

    async with ledger.database.dedicated() as reader, reader.transaction():
        await reader.execute("LOCK TABLE projections.task_status IN SHARE MODE")
        batch = asyncio.create_task(projector.run_once())
        await eventually(lambda: _waits_for_a_lock(ledger), what="the fold waits for the table")
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch

    assert await value(ledger, ROWS) == 0
    assert await value(ledger, CHECKPOINT) == 0
    assert await projector.run_once() == 5
    assert await has_folded_all(ledger)


async def test_projectors_that_come_and_go_fold_each_event_once(database_url: str) -> None:
    async with opened(database_url, projector_batch_size_max=10) as ledger:
        writing = asyncio.create_task(live_through(ledger, 120))
        await Projector(ledger, [TASK_STATUS]).run_once()
        while not writing.done():
            before = await value(ledger, CHECKPOINT)
            async with running(Projector(ledger, [TASK_STATUS]).run()):
                moved_on = partial(_has_left, ledger, before, writing)
                await eventually(moved_on, what="the projector has folded something")
        await writing

        async with running(Projector(ledger, [TASK_STATUS]).run()):
            await eventually(lambda: has_folded_all(ledger), what="the last projector is at the end of the log")

        assert await verify(ledger, TASK_STATUS) == []


async def test_two_projectors_at_once_fold_each_event_once(database_url: str) -> None:
    async with opened(database_url, projector_batch_size_max=10) as one, opened(database_url) as other:
        async with running(Projector(one, [TASK_STATUS]).run(), Projector(other, [TASK_STATUS]).run()):
            await live_through(one, 100)
            await eventually(lambda: _made_and_folded(one), what="both are at the end of the log")

        assert await verify(one, TASK_STATUS) == []


async def test_projector_waits_for_the_one_that_is_in_a_batch_and_goes_on_after_it(
    ledger: Ledger, projector: Projector
) -> None:
    await projector.run_once()
    await submitted(ledger, 5)
    horizon = await ledger.store.safe_position()

    async with ledger.database.dedicated() as other, other.transaction(isolation="read_committed"):
        await fold_next_batch(other, TASK_STATUS, LIVE, horizon=horizon, events_max=3)
        second = asyncio.create_task(projector.run_once())
        await eventually(lambda: _waits_for_a_lock(ledger), what="the second waits")

    assert await second == 2
    assert await has_folded_all(ledger)


async def test_event_that_commits_late_is_not_skipped(ledger: Ledger, projector: Projector) -> None:
    await projector.run_once()

    async with ledger.database.dedicated() as client, client.transaction():
        await ledger.commands.submit(TaskSpecification(), origin=CLIENT, connection=client)
        await submitted(ledger, 2)
        folded_before = await projector.run_once()

    assert folded_before == 0
    assert await projector.run_once() == 3
    assert await has_folded_all(ledger)


@pytest.mark.parametrize(("event_type", "schema_version"), [("task.archived", 1), ("task.submitted", 4)])
async def test_event_of_a_newer_release_stops_the_projector_right_before_it(
    ledger: Ledger, projector: Projector, event_type: str, schema_version: int
) -> None:
    await submitted(ledger, 2)
    before = await ledger.store.safe_position()
    event = NewEvent(
        type=event_type, schema_version=schema_version, kind="default", queue="default", data="{}",
        occurred_at=ledger.clock.now(), origin=CLIENT,
    )  # fmt: skip
    await ledger.store.append(uuid7(), [event], expected_version=0)
    await submitted(ledger, 2)

    folded = await projector.run_once()

    assert folded == 2
    with pytest.raises(UnknownEventTypeError, match=f"unknown event '{event_type}' with schema version"):
        await projector.run_once()
    assert await value(ledger, CHECKPOINT) == before


async def test_checkpoint_that_was_put_back_is_refused_and_nothing_counts_twice(
    ledger: Ledger, projector: Projector
) -> None:
    await live_through(ledger, 10)
    await projector.run_once()
    rows = await fetch(ledger, ROWS)
    await execute(ledger, "UPDATE ledger.checkpoints SET position = 1 WHERE name = 'projection:task_status'")

    with pytest.raises(ReadModelOutOfStepError, match="task_status is out of step with its checkpoint"):
        await projector.run_once()

    assert await fetch(ledger, ROWS) == rows


async def test_checkpoint_that_was_put_ahead_is_refused_where_a_task_has_a_gap(
    ledger: Ledger, projector: Projector
) -> None:
    [task_id] = await submitted(ledger)
    await projector.run_once()
    await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
    await execute(ledger, "UPDATE ledger.checkpoints SET position = position + 1")
    await ledger.commands.retry(task_id, reason="", origin=CLIENT)

    with pytest.raises(ReadModelOutOfStepError):
        await projector.run_once()


async def test_append_wakes_an_idle_projector(database_url: str) -> None:
    async with opened(database_url, poll_interval_seconds=60) as ledger:
        projector = Projector(ledger, [TASK_STATUS])
        await projector.run_once()
        async with running(projector.run()):
            for count in range(1, 6):
                await submitted(ledger)
                seen = partial(_has_rows, ledger, count)
                await eventually(seen, what="the task is seen without waiting for a poll")


async def test_projector_goes_on_after_the_database_was_killed(private_postgres: PrivatePostgres) -> None:
    await migrate(private_postgres.url)
    async with (
        opened(private_postgres.url, broker_retry_seconds_max=0.2) as ledger,
        running(Projector(ledger, [TASK_STATUS]).run()),
    ):
        await submitted(ledger)
        await eventually(lambda: _made_and_folded(ledger), what="the first task is seen")

        private_postgres.kill()
        private_postgres.start()
        await eventually(lambda: _has_submitted(ledger), what="the pool has found the database again")
        await eventually(lambda: _made_and_folded(ledger), what="the second task is seen")


async def _waits_for_a_lock(ledger: Ledger) -> bool:
    return await value(ledger, WAITING_FOR_A_LOCK) == 1


async def _has_left(ledger: Ledger, position: int, writing: "asyncio.Task[None]") -> bool:
    return writing.done() or await value(ledger, CHECKPOINT) > position


async def _has_submitted(ledger: Ledger) -> bool:
    with suppress(StoreUnavailableError):
        await submitted(ledger)
        return True
    return False


async def _has_rows(ledger: Ledger, count: int) -> bool:
    return await value(ledger, ROWS) == count


async def _made_and_folded(ledger: Ledger) -> bool:
    made = await fetch(ledger, "SELECT 1 WHERE to_regclass('projections.task_status') IS NOT NULL")
    return bool(made) and await has_folded_all(ledger)
