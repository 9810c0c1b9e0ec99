"""The sweeper ends the attempts of workers that are gone, and leaves those alone that may come back."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.queries import query
from ledger.store.records import Origin
from ledger.sweeper import Sweeper
from ledger.task_words import Status
from tests.integration.given import caught_up, eventually, execute, fetch, opened, started, submitted, types_of

SWEPT = ["submitted", "started", "failed", "released"]
HELD = ["submitted", "started"]


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, heartbeat_seconds=1, lease_seconds=30) as ledger:
        yield ledger


@pytest.fixture
def sweeper(ledger: Ledger) -> Sweeper:
    return Sweeper(ledger, restart_grace_seconds=0)


@asynccontextmanager
async def worker(ledger: Ledger, *, silent_seconds: float = 0, name: str = "w") -> AsyncIterator[UUID]:
    """A worker with its session, that beat a while ago for the last time."""
    worker_id: UUID = uuid7()
    (row,) = await fetch(ledger, query("register_worker"), worker_id, name, ["default"], 50)
    async with ledger.database.dedicated() as session:
        await session.execute(query("hold_worker_session"), row["session_key"])
        await _silence(ledger, worker_id, silent_seconds)
        yield worker_id


async def test_without_a_read_model_there_is_nothing_to_do_and_no_error(sweeper: Sweeper) -> None:
    assert await sweeper.run_once() == 0
    assert await sweeper.forget_old_workers() == 0


async def test_a_task_whose_workers_session_ended_fails_and_is_ready_again_at_once(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    async with worker(ledger, silent_seconds=4, name="crunch-7") as worker_id:
        (task_id,) = await _running(ledger, worker_id)

    assert await sweeper.run_once() == 1

    task = await ledger.commands.load(task_id)
    assert await types_of(ledger, task_id) == SWEPT
    assert (task.status, task.ready, task.losses, task.failures, task.cause) == (
        "PENDING",
        True,
        1,
        0,
        "worker_lost",
    )
    assert task.error is not None
    assert task.error["type"] == "WorkerLostError"
    message = str(task.error["message"])
    assert message.startswith(
        f"worker crunch-7 ({worker_id}) was lost during attempt 1: its session in the database"
    )
    assert [event.actor for event in await ledger.store.read_stream(task_id)][2:] == ["sweeper", "sweeper"]


async def test_a_killed_worker_is_noticed_within_five_seconds(ledger: Ledger, sweeper: Sweeper) -> None:
    async with worker(ledger) as worker_id:
        (task_id,) = await _running(ledger, worker_id)
        await _beat(ledger, worker_id)
    killed_at = time.monotonic()

    await eventually(lambda: _swept_one(sweeper), what="the task is swept")

    assert 2 < time.monotonic() - killed_at < 5
    assert await types_of(ledger, task_id) == SWEPT


async def test_a_worker_that_beats_is_alive_although_it_lost_its_session(ledger: Ledger, sweeper: Sweeper) -> None:
    async with worker(ledger) as worker_id:
        (task_id,) = await _running(ledger, worker_id)

    assert await sweeper.run_once() == 0
    assert await types_of(ledger, task_id) == HELD


async def test_a_silent_worker_keeps_its_tasks_for_its_lease_while_its_session_lives(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    async with worker(ledger, silent_seconds=25) as worker_id:
        (task_id,) = await _running(ledger, worker_id)
        assert await sweeper.run_once() == 0

        await _silence(ledger, worker_id, 6)
        assert await sweeper.run_once() == 1

    assert await types_of(ledger, task_id) == SWEPT


async def test_tasks_of_a_worker_that_stopped_or_was_never_known_are_swept_at_once(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    async with worker(ledger) as worker_id:
        (left_behind,) = await _running(ledger, worker_id)
        (of_nobody,) = await _running(ledger, uuid7())
        await execute(ledger, query("stop_worker"), worker_id)

        assert await sweeper.run_once() == 2

    assert await types_of(ledger, left_behind) == SWEPT
    assert await types_of(ledger, of_nobody) == SWEPT


async def test_when_most_leases_expire_together_nobody_is_judged_for_one_more_lease(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    async with _workers(ledger, silent_seconds=(0, 31, 32)) as worker_ids:
        await _running(ledger, *worker_ids)

        with capture_logs() as logs:
            assert [await sweeper.run_once(), await sweeper.run_once()] == [0, 0]
        assert [line["tasks"] for line in logs if line["event"] == "sweeper.held_back"] == [2]

        for worker_id in worker_ids[1:]:
            await _silence(ledger, worker_id, 30)
        assert await sweeper.run_once() == 2


async def test_one_expired_lease_among_many_is_swept(ledger: Ledger, sweeper: Sweeper) -> None:
    async with _workers(ledger, silent_seconds=(0, 0, 31)) as worker_ids:
        *_, lost = await _running(ledger, *worker_ids)

        assert await sweeper.run_once() == 1

    assert await types_of(ledger, lost) == SWEPT


async def test_workers_whose_sessions_ended_are_swept_however_many_they_are(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    async with _workers(ledger, silent_seconds=(31, 31, 31)) as worker_ids:
        await _running(ledger, *worker_ids)

    assert await sweeper.run_once() == 3


async def test_a_silent_worker_is_not_judged_right_after_a_start_of_the_database(ledger: Ledger) -> None:
    async with worker(ledger, silent_seconds=40) as worker_id:
        await _running(ledger, worker_id)

    assert await Sweeper(ledger, restart_grace_seconds=1e6).run_once() == 0


async def test_a_sweeper_that_was_interrupted_holds_back(ledger: Ledger, sweeper: Sweeper) -> None:
    await _running(ledger, uuid7())

    sweeper.hold_back(60)
    assert await sweeper.run_once() == 0
    sweeper.hold_back(0)
    assert await sweeper.run_once() == 1


async def test_a_sweeper_that_is_interrupted_again_and_again_holds_back_up_to_a_bound(ledger: Ledger) -> None:
    await _running(ledger, uuid7())
    sweeper = Sweeper(ledger, hold_back_seconds_max=0.0)

    sweeper.hold_back(60)

    assert await sweeper.run_once() == 1


async def test_a_task_that_loses_its_worker_too_often_is_failed(database_url: str) -> None:
    async with opened(database_url, attempts_lost_max=2) as ledger:
        sweeper = Sweeper(ledger)
        (task_id,) = await submitted(ledger)
        for _ in range(2):
            await started(ledger, task_id, worker_id=uuid7())
            await caught_up(ledger)
            assert await sweeper.run_once() == 1

        task = await ledger.commands.load(task_id)
        assert (task.status, task.losses) == (Status.FAILED, 2)


async def test_a_task_that_was_to_be_cancelled_is_cancelled_when_its_worker_is_lost(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    (task_id,) = await _running(ledger, uuid7())
    await ledger.commands.cancel(task_id, reason="", origin=Origin(actor="client"))
    await caught_up(ledger)

    assert await sweeper.run_once() == 1

    assert await types_of(ledger, task_id) == ["submitted", "started", "cancel_requested", "failed", "cancelled"]


async def test_an_attempt_that_ended_meanwhile_is_not_swept(ledger: Ledger, sweeper: Sweeper) -> None:
    (task_id,) = await _running(ledger, uuid7())
    await ledger.commands.decide(
        task_id,
        lambda task: task.complete(attempt=1, result=None, now=ledger.clock.now()),
        origin=Origin(actor="worker"),
    )

    assert await sweeper.run_once() == 0
    assert await types_of(ledger, task_id) == ["submitted", "started", "completed"]


async def test_more_lost_tasks_than_a_page_are_swept_in_one_round(ledger: Ledger, sweeper: Sweeper) -> None:
    lost = [uuid7()] * 501
    await _running(ledger, *lost)

    assert await sweeper.run_once() == 501


async def test_who_knows_to_be_alone_takes_every_worker_for_gone(ledger: Ledger, sweeper: Sweeper) -> None:
    async with _workers(ledger, silent_seconds=(0, 0, 0)) as worker_ids:
        await _running(ledger, *worker_ids)

        assert await sweeper.retire_all_workers() == 3
        assert await sweeper.run_once() == 3
        assert await sweeper.retire_all_workers() == 0


async def test_workers_are_forgotten_a_day_after_they_went_unless_a_task_runs_in_their_name(
    ledger: Ledger, sweeper: Sweeper
) -> None:
    day = timedelta(days=1).total_seconds()
    async with _workers(ledger, silent_seconds=(0, day - 60, day + 60, day + 60)) as worker_ids:
        await _running(ledger, worker_ids[3])

        assert await sweeper.forget_old_workers() == 1

    kept = await fetch(ledger, "SELECT worker_id FROM ledger.workers")
    assert {row["worker_id"] for row in kept} == {*worker_ids[:2], worker_ids[3]}


@asynccontextmanager
async def _workers(ledger: Ledger, *, silent_seconds: Sequence[float]) -> AsyncIterator[list[UUID]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(worker(ledger, silent_seconds=one)) for one in silent_seconds]


async def _running(ledger: Ledger, *worker_ids: UUID) -> list[UUID]:
    """Submit a task for each of these workers, start it and let the read model know."""
    task_ids = await submitted(ledger, len(worker_ids))
    for task_id, worker_id in zip(task_ids, worker_ids, strict=True):
        await started(ledger, task_id, worker_id=worker_id)
    await caught_up(ledger)
    return task_ids


async def _silence(ledger: Ledger, worker_id: UUID, seconds: float) -> None:
    statement = "UPDATE ledger.workers SET beat_at = beat_at - $2::interval WHERE worker_id = $1"
    await execute(ledger, statement, worker_id, timedelta(seconds=seconds))


async def _beat(ledger: Ledger, worker_id: UUID) -> None:
    takes = True
    await fetch(ledger, query("beat"), worker_id, [], [], takes)


async def _swept_one(sweeper: Sweeper) -> bool:
    return await sweeper.run_once() == 1
