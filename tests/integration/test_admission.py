"""Queues that are paused or limited: what is held, what is let through, and that no limit is exceeded."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.codec import decode
from ledger.queries import query
from ledger.queues.admitter import Admitter
from ledger.relay import Relay
from ledger.releaser import Releaser
from ledger.scheduler import Scheduler
from ledger.store.records import Origin
from ledger.task import Task
from ledger.task_words import Cause, ReleaseReason, Status, TaskError
from projections.projector import Projector
from projections.task_status import TASK_STATUS
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
from worker.consumer import Worker
from worker.registry import Registry, shipped_registry

_WORKER = Origin(actor="worker:one")
_MOST_AT_ONCE = """
    SELECT max(running) FROM (
        SELECT sum(CASE type WHEN 'task.started' THEN 1 ELSE -1 END) OVER (ORDER BY position) AS running
          FROM ledger.events
         WHERE type IN ('task.started', 'task.completed', 'task.failed')) AS moment
"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, poll_interval_seconds=0.05, scheduler_interval_seconds=0.05) as ledger:
        yield ledger


@pytest.fixture
def admitter(ledger: Ledger) -> Admitter:
    return Admitter(ledger)


async def test_task_of_a_paused_queue_waits_and_its_resume_lets_it_go(ledger: Ledger, admitter: Admitter) -> None:
    await set_policy(ledger, paused_at="now()")
    [task_id] = await submitted(ledger)
    await caught_up(ledger)

    held = await admitter.run_once()
    await set_policy(ledger, paused_at="NULL")
    released = await admitter.run_once()

    assert (held, released) == (0, 1)
    assert await reasons(ledger, task_id) == [ReleaseReason.RESUMED]
    assert (await ledger.commands.load(task_id)).ready


async def test_only_so_many_are_let_through_at_once_and_an_outcome_makes_room(
    ledger: Ledger, admitter: Admitter
) -> None:
    await set_policy(ledger, concurrency_max="2")
    tasks = await submitted(ledger, 5)
    await caught_up(ledger)

    first = await admitter.run_once()
    again = await admitter.run_once()
    await finish(ledger, tasks[0])
    after = await admitter.run_once()

    assert (first, again, after) == (2, 0, 1)
    assert [await reasons(ledger, task) for task in tasks] == [[ReleaseReason.LIMIT]] * 3 + [[]] * 2


@pytest.mark.parametrize("end", ["fail", "lose", "cancel"])
async def test_permit_ends_with_the_attempt_however_that_ends(
    ledger: Ledger, admitter: Admitter, end: str
) -> None:
    await set_policy(ledger, concurrency_max="1")
    first, _ = await submitted(ledger, 2)
    await caught_up(ledger)
    await admitter.run_once()

    if end == "cancel":
        await ledger.commands.cancel(first, reason="", origin=CLIENT)
    else:
        await fail(ledger, first, Cause.ERROR if end == "fail" else Cause.WORKER_LOST)
    admitted = await admitter.run_once()

    assert admitted == 1


async def test_two_admitters_at_once_exceed_no_limit(ledger: Ledger) -> None:
    await set_policy(ledger, concurrency_max="3")
    await submitted(ledger, 20)
    await caught_up(ledger)

    admitted = await asyncio.gather(*(Admitter(ledger).run_once() for _ in range(4)))

    assert sum(admitted) == 3
    [(permits,)] = await fetch(ledger, "SELECT count(*) FROM ledger.permits")
    assert permits == 3


async def test_permit_and_release_are_one_transaction(ledger: Ledger, admitter: Admitter) -> None:
    await set_policy(ledger, concurrency_max="3")
    tasks = await submitted(ledger, 3)
    await caught_up(ledger)
    await ledger.commands.cancel(tasks[1], reason="", origin=CLIENT)  # the read model does not know it yet

    admitted = await admitter.run_once()

    rows = await fetch(ledger, "SELECT task_id, version FROM ledger.permits ORDER BY task_id")
    assert admitted == 2
    assert [tuple(row) for row in rows] == [(tasks[0], 2), (tasks[2], 2)]


async def test_rate_counts_starts_and_lets_no_more_through_within_its_window(
    ledger: Ledger, admitter: Admitter
) -> None:
    await set_policy(ledger, rate_max="2", rate_seconds="3600")
    tasks = await submitted(ledger, 4)
    await caught_up(ledger)
    await admitter.run_once()
    for task in tasks[:2]:
        await finish(ledger, task)

    within = await admitter.run_once()
    await execute(ledger, "UPDATE ledger.permits SET started_at = started_at - interval '2 hours'")
    beyond = await admitter.run_once()

    assert (within, beyond) == (0, 2)


async def test_what_was_let_through_and_not_started_counts_for_the_rate_however_long_ago(
    ledger: Ledger, admitter: Admitter
) -> None:
    await set_policy(ledger, rate_max="2", rate_seconds="1")
    await submitted(ledger, 4)
    await caught_up(ledger)
    await admitter.run_once()
    await execute(ledger, "UPDATE ledger.permits SET admitted_at = admitted_at - interval '1 day'")

    assert await admitter.run_once() == 0


async def test_limits_by_key_hold_up_no_other_key(ledger: Ledger, admitter: Admitter) -> None:
    await set_policy(ledger, key_concurrency_max="1")
    busy = await submitted(ledger, 3, key="a")
    free = await submitted(ledger, 1, key="b")
    keyless = await submitted(ledger, 2)
    await caught_up(ledger)

    await admitter.run_once()

    admitted = {task for task in (*busy, *free, *keyless) if await reasons(ledger, task)}
    assert admitted == {busy[0], *free, *keyless}


async def test_rate_by_key_is_the_keys_own(ledger: Ledger, admitter: Admitter) -> None:
    await set_policy(ledger, key_rate_max="1", key_rate_seconds="3600")
    first = await submitted(ledger, 2, key="a")
    await submitted(ledger, 1, key="b")
    await caught_up(ledger)

    admitted = await admitter.run_once()
    await finish(ledger, first[0])
    later = await admitter.run_once()

    assert (admitted, later) == (2, 0)


async def test_tenants_take_turns_by_weight_over_rounds_of_one(ledger: Ledger, admitter: Admitter) -> None:
    await set_policy(ledger, concurrency_max="1", fair="true", weights="""'{"gold": 2}'""")
    owners = dict.fromkeys(await submitted(ledger, 12, tags=("tenant:gold",)), "gold")
    owners |= dict.fromkeys(await submitted(ledger, 12, tags=("tenant:tin",)), "tin")

    served: Counter[str] = Counter()
    for _ in range(9):
        await caught_up(ledger)
        assert await admitter.run_once() == 1
        [row] = await fetch(ledger, "SELECT task_id FROM ledger.permits WHERE ended_at IS NULL")
        served[owners[row["task_id"]]] += 1
        await finish(ledger, row["task_id"])

    assert served == {"gold": 6, "tin": 3}


async def test_due_task_of_a_limited_queue_waits_for_its_turn(ledger: Ledger, admitter: Admitter) -> None:
    [task_id] = await submitted(ledger, run_at=ledger.clock.now().replace(year=2100))
    await set_policy(ledger, concurrency_max="1")
    await caught_up(ledger)
    await execute(ledger, "UPDATE projections.task_status SET release_at = now()")

    await Releaser(ledger).run_once()
    await caught_up(ledger)
    await admitter.run_once()

    assert await types_of(ledger, task_id) == ["submitted", "held", "released"]


async def test_many_held_tasks_of_a_paused_queue_are_not_looked_at_one_by_one(
    ledger: Ledger, admitter: Admitter
) -> None:
    await set_policy(ledger, paused_at="now()")
    await asyncio.gather(*(submitted(ledger) for _ in range(300)))
    await caught_up(ledger)
    await execute(ledger, "ANALYZE projections.task_status")

    async with ledger.database.connection() as connection:
        plan = "\n".join(
            row[0]
            for row in await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query('held_queues')}")
        )

    assert "Seq Scan" not in plan
    assert "rows=300" not in plan
    assert await admitter.run_once() == 0


async def test_message_of_a_task_that_became_limited_is_held_by_the_worker(ledger: Ledger) -> None:
    [task_id] = await submitted(ledger)  # ready, and its message on the way, before there is any limit
    await set_policy(ledger, concurrency_max="1")

    async with working(ledger):
        await eventually(lambda: is_completed(ledger, [task_id]), what="the task is completed")

    assert await types_of(ledger, task_id) == ["submitted", "held", "released", "started", "completed"]


async def test_workers_never_run_more_than_the_limit(ledger: Ledger) -> None:
    await set_policy(ledger, concurrency_max="3")

    async with working(ledger), working(ledger):
        tasks = await submitted(ledger, 30, kind="sleep", input=0.02)
        await eventually(lambda: is_completed(ledger, tasks), what="all are completed")

    [(most,)] = await fetch(ledger, _MOST_AT_ONCE)
    assert most <= 3


async def test_pause_under_load_starts_nothing_more_and_resume_finishes_everything(ledger: Ledger) -> None:
    async with working(ledger):
        tasks = await submitted(ledger, 40, kind="sleep", input=0.02)
        await set_policy(ledger, paused_at="now()")
        await eventually(lambda: nothing_runs(ledger), what="nothing runs")
        await ledger.policies.renew()
        late = await submitted(ledger, 5)
        await set_policy(ledger, paused_at="NULL")

        await eventually(lambda: is_completed(ledger, [*tasks, *late]), what="all are completed")

    for task in tasks:
        assert (await types_of(ledger, task)).count("started") == 1


@asynccontextmanager
async def working(ledger: Ledger) -> AsyncIterator[None]:
    """Every role beside the API."""
    broker = MemoryBroker()
    worker = Worker(ledger, broker, Registry(fallback=shipped_registry()))
    loops = (Relay(ledger, broker).run(), Projector(ledger, [TASK_STATUS]).run(), Scheduler(ledger).run())
    async with running(*loops), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        yield
        await worker.stop()


async def set_policy(ledger: Ledger, **settings: str) -> None:
    """Set what the queue `default` has, as SQL expressions, and make this process know it."""
    await execute(ledger, "INSERT INTO ledger.queues (name) VALUES ('default') ON CONFLICT DO NOTHING")
    changes = ", ".join(f"{name} = {expression}" for name, expression in settings.items())
    await execute(ledger, f"UPDATE ledger.queues SET {changes}")  # noqa: S608 - the test's own words
    await ledger.policies.renew()


async def reasons(ledger: Ledger, task_id: UUID) -> list[str]:
    events = [decode(row) for row in await ledger.store.read_stream(task_id)]
    return [event.reason for event in events if isinstance(event, Task.Released)]


async def finish(ledger: Ledger, task_id: UUID) -> None:
    attempt = await started(ledger, task_id)
    await ledger.commands.decide(
        task_id, lambda task: task.complete(attempt=attempt, result=None, now=ledger.clock.now()), origin=_WORKER
    )


async def fail(ledger: Ledger, task_id: UUID, cause: Cause) -> None:
    attempt = await started(ledger, task_id)

    def decide(task: Task) -> None:
        error = TaskError("ValueError", "no")
        task.fail(attempt=attempt, error=error, cause=cause, now=ledger.clock.now(), retry_delay_seconds=None)

    await ledger.commands.decide(task_id, decide, origin=_WORKER)


async def is_completed(ledger: Ledger, tasks: Sequence[UUID]) -> bool:
    streams = await ledger.store.read_streams(tasks)
    return all(stream[-1].type == "task.completed" for stream in streams.values())


async def nothing_runs(ledger: Ledger) -> bool:
    rows = await fetch(ledger, "SELECT count(*) FROM projections.task_status WHERE status = $1", Status.RUNNING)
    return bool(rows[0][0] == 0)
