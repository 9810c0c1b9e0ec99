"""The worker on Postgres: its signs of life, cancels through the beat, zombies, and an outage of the database."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from ledger.bootstrap import Ledger, open_ledger
from ledger.broker.memory import MemoryBroker
from ledger.errors import StoreUnavailableError
from ledger.migrate import migrate
from ledger.relay import Relay
from ledger.settings import load_settings
from ledger.sweeper import Sweeper
from ledger.task_words import Status
from tests.integration.given import (
    CLIENT,
    caught_up,
    eventually,
    execute,
    fetch,
    opened,
    running,
    started,
    submitted,
    types_of,
)
from tests.services.private_postgres import PrivatePostgres
from worker.consumer import Worker
from worker.registry import Registry, shipped_registry
from worker.roster import Member, MemoryRoster, PostgresRoster, Roster, RunningAttempt

_HELD = """
    SELECT count(*) FROM pg_locks JOIN ledger.workers ON objid = session_key
     WHERE locktype = 'advisory' AND classid = 19531 AND granted AND worker_id = $1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_ROW = "SELECT name, queues, running, beat_at, stopped_at FROM ledger.workers WHERE worker_id = $1"
_CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, heartbeat_seconds=0.1, worker_name="crunch-7") as ledger:
        yield ledger


@pytest.fixture
def registry() -> Registry:
    return Registry(fallback=shipped_registry())


@asynccontextmanager
async def working(ledger: Ledger, registry: Registry) -> AsyncIterator[Worker]:
    """A worker at work, with a relay that brings it what becomes ready."""
    broker = MemoryBroker()
    worker = Worker(ledger, broker, registry)
    async with running(Relay(ledger, broker).run()), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        yield worker
        await worker.stop()


async def _until(ledger: Ledger, task_id: UUID, *statuses: Status) -> None:
    async def is_there() -> bool:
        return (await ledger.commands.load(task_id)).status in statuses

    await eventually(is_there, what=f"{task_id} is {statuses}")


async def test_a_worker_has_a_row_and_a_session_while_it_lives_and_says_goodbye(
    ledger: Ledger, registry: Registry
) -> None:
    async with working(ledger, registry) as worker:
        (task_id,) = await submitted(ledger, kind="sleep", input=60)
        await eventually(lambda: _has(ledger, worker.worker_id, running=1), what="the beat counts the task")
        (row,) = await fetch(ledger, _ROW, worker.worker_id)
        (held,) = await fetch(ledger, _HELD, worker.worker_id)
        await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
        await _until(ledger, task_id, Status.CANCELLED)

    assert (row["name"], row["queues"], row["stopped_at"]) == ("crunch-7", ["default"], None)
    assert held["count"] == 1
    (row,) = await fetch(ledger, _ROW, worker.worker_id)
    assert row["stopped_at"] is not None
    assert row["running"] == 0
    assert (await fetch(ledger, _HELD, worker.worker_id))[0]["count"] == 0


async def _has(ledger: Ledger, worker_id: UUID, *, running: int) -> bool:
    rows = await fetch(ledger, _ROW, worker_id)
    return [row["running"] for row in rows] == [running]


async def test_a_beat_sets_the_clock_by_the_databases(ledger: Ledger, registry: Registry) -> None:
    ledger.clock.set(ledger.clock.now() + timedelta(hours=5), round_trip_seconds=0)

    async with working(ledger, registry):
        (task_id,) = await submitted(ledger)
        await _until(ledger, task_id, Status.COMPLETED)

    _, start, _ = await ledger.store.read_stream(task_id)
    assert abs(start.occurred_at - start.recorded_at) < timedelta(seconds=1)


async def test_a_running_task_is_cancelled_within_a_second_or_two_of_the_request(
    ledger: Ledger, registry: Registry
) -> None:
    async with working(ledger, registry):
        (task_id,) = await submitted(ledger, kind="sleep", input=60)
        await _until(ledger, task_id, Status.RUNNING)
        await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
        await _until(ledger, task_id, Status.CANCELLED)

    requested, cancelled = (await ledger.store.read_stream(task_id))[-2:]
    assert (cancelled.recorded_at - requested.recorded_at).total_seconds() < 2


async def test_a_zombies_late_outcome_is_refused_and_kept_as_evidence(ledger: Ledger, registry: Registry) -> None:
    release = threading.Event()

    @registry.task_handler("stall")
    def stall(value: int) -> int:
        assert release.wait(20)
        return value

    async with working(ledger, registry) as zombie:
        (task_id,) = await submitted(ledger, kind="stall", input=7)
        await _until(ledger, task_id, Status.RUNNING)
        await _lose(ledger, zombie.worker_id, task_id)
        release.set()
        await _until(ledger, task_id, Status.COMPLETED)
        await eventually(lambda: _has_stale_write(ledger, task_id), what="the late write is kept")

    (write,) = await ledger.store.read_stale_writes(task_id)
    assert (write.type, write.attempt, write.worker_id) == ("task.completed", 1, str(zombie.worker_id))
    assert (await types_of(ledger, task_id)).count("completed") == 1


async def _lose(ledger: Ledger, worker_id: UUID, task_id: UUID) -> None:
    await caught_up(ledger)
    await execute(ledger, "UPDATE ledger.workers SET stopped_at = now() WHERE worker_id = $1", worker_id)
    while await Sweeper(ledger, restart_grace_seconds=0).run_once() == 0:
        await execute(ledger, "UPDATE ledger.workers SET stopped_at = now() WHERE worker_id = $1", worker_id)
    assert "failed" in await types_of(ledger, task_id)


async def _has_stale_write(ledger: Ledger, task_id: UUID) -> bool:
    return bool(await ledger.store.read_stale_writes(task_id))


async def test_a_worker_that_loses_every_connection_goes_on_and_takes_its_session_again(
    ledger: Ledger, registry: Registry
) -> None:
    async with working(ledger, registry) as worker:
        (first,) = await submitted(ledger)
        await _until(ledger, first, Status.COMPLETED)
        await fetch(ledger, _CUT)
        second = await _submitted_in_the_end(ledger)
        await _until_available(ledger, second)
        await eventually(lambda: _holds_session(ledger, worker.worker_id), what="the session is held again")


async def _submitted_in_the_end(ledger: Ledger) -> UUID:
    while True:
        with suppress(StoreUnavailableError):
            return (await submitted(ledger))[0]


async def _holds_session(ledger: Ledger, worker_id: UUID) -> bool:
    try:
        return bool((await fetch(ledger, _HELD, worker_id))[0]["count"] == 1)
    except StoreUnavailableError:
        return False


async def test_a_worker_whose_row_is_gone_enrols_again(ledger: Ledger, registry: Registry) -> None:
    async with working(ledger, registry) as worker:
        await eventually(lambda: _has(ledger, worker.worker_id, running=0), what="it is enrolled")
        await execute(ledger, "DELETE FROM ledger.workers WHERE worker_id = $1", worker.worker_id)
        await eventually(lambda: _has(ledger, worker.worker_id, running=0), what="it is enrolled again")
        await eventually(lambda: _holds_session(ledger, worker.worker_id), what="its session is held again")


async def test_a_beat_does_not_wait_for_a_session_that_a_lost_connection_still_holds(ledger: Ledger) -> None:
    member = Member(uuid4(), "w", ("default",))
    roster = PostgresRoster(ledger.database, member, beat_seconds_max=5)
    ghost = PostgresRoster(ledger.database, member, beat_seconds_max=5)
    await ghost.beat([])

    await roster.beat([])
    await ghost.close()
    await roster.beat([])

    assert await _holds_session(ledger, member.worker_id)
    await roster.close()


@pytest.fixture(params=["memory", "postgres"])
async def roster(request: pytest.FixtureRequest, ledger: Ledger) -> AsyncIterator[Roster]:
    roster: Roster
    if request.param == "memory":
        roster = MemoryRoster(ledger.store)
    else:
        roster = PostgresRoster(ledger.database, Member(uuid4(), "w", ("default",)), beat_seconds_max=5)
    yield roster
    await roster.close()


async def test_a_beat_tells_the_time_and_whose_cancel_was_requested_since_it_started(
    ledger: Ledger, roster: Roster
) -> None:
    wanted, unwanted = await submitted(ledger, 2)
    for task_id in (wanted, unwanted):
        await started(ledger, task_id)
    await ledger.commands.cancel(unwanted, reason="", origin=CLIENT)

    answer = await roster.beat([RunningAttempt(wanted, 2), RunningAttempt(unwanted, 2)])
    later = await roster.beat([RunningAttempt(unwanted, 3)])

    assert answer.cancel_requested == (unwanted,)
    assert later.cancel_requested == ()
    assert abs(answer.now - await ledger.store.database_time()) < timedelta(seconds=5)


async def test_an_outage_of_the_database_is_waited_out_and_every_outcome_is_recorded_once(
    private_postgres: PrivatePostgres, registry: Registry
) -> None:
    await migrate(private_postgres.url)
    settings = load_settings(database_url=private_postgres.url, heartbeat_seconds=0.1)
    release = threading.Event()

    @registry.task_handler("stall")
    def stall(value: int) -> int:
        assert release.wait(30)
        return value

    async with open_ledger(settings) as ledger, working(ledger, registry):
        task_ids = await submitted(ledger, 10, kind="stall", input=1)
        for task_id in task_ids:
            await _until(ledger, task_id, Status.RUNNING)
        await asyncio.to_thread(private_postgres.stop)
        release.set()
        with pytest.raises(StoreUnavailableError):
            await ledger.store.database_time()
        await asyncio.to_thread(private_postgres.start)
        for task_id in task_ids:
            await _until_available(ledger, task_id)
        late = await submitted(ledger, 5)
        for task_id in late:
            await _until_available(ledger, task_id)
        types = [await types_of(ledger, task_id) for task_id in task_ids + late]
        stale = [await ledger.store.read_stale_writes(task_id) for task_id in task_ids]

    assert types == [["submitted", "started", "completed"]] * 15
    assert stale == [[]] * 10


async def _until_available(ledger: Ledger, task_id: UUID) -> None:
    async def is_completed() -> bool:
        try:
            return (await ledger.commands.load(task_id)).status is Status.COMPLETED
        except StoreUnavailableError:
            return False

    await eventually(is_completed, what=f"{task_id} is completed")


async def test_the_role_of_a_worker_allows_all_that_it_does(
    ledger: Ledger, registry: Registry, database_url: str
) -> None:
    broker = MemoryBroker()
    separator = "&" if "?" in database_url else "?"
    async with opened(f"{database_url}{separator}role=ledger_worker", heartbeat_seconds=0.1) as restricted:
        worker = Worker(restricted, broker, registry)
        async with running(Relay(ledger, broker).run()), asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            (task_id,) = await submitted(ledger, kind="fail", input="no", max_attempts=1)
            await _until(ledger, task_id, Status.FAILED)
            await worker.stop()

    assert (await fetch(ledger, _ROW, worker.worker_id))[0]["stopped_at"] is not None
