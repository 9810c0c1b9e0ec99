"""The scheduler makes tasks ready when their time has come, and does each chore without losing the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from ledger.bootstrap import Ledger
from ledger.codec import decode
from ledger.migrate import migrate
from ledger.releaser import Releaser
from ledger.scheduler import MONTHS_AHEAD, Scheduler
from ledger.store.records import Origin
from ledger.task import Task
from ledger.task_events import Released
from ledger.task_words import Cause, ReleaseReason, TaskError
from tests.integration.given import (
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

HOUR = timedelta(hours=1)
LEADER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 19529 AND granted"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, scheduler_interval_seconds=0.05, scheduler_batch_size_max=10) as ledger:
        yield ledger


async def test_without_a_read_model_there_is_nothing_to_do_and_no_error(ledger: Ledger) -> None:
    await submitted(ledger, run_at=ledger.clock.now() + HOUR)

    assert await Releaser(ledger).run_once() == 0


async def test_a_task_is_released_when_it_is_due_and_not_before(ledger: Ledger) -> None:
    (due,) = await submitted(ledger, run_at=ledger.clock.now() + HOUR)
    (not_due,) = await submitted(ledger, run_at=ledger.clock.now() + 2 * HOUR)
    await caught_up(ledger)
    releaser = Releaser(ledger)

    assert await releaser.run_once() == 0
    await _pass(ledger, HOUR)
    assert await releaser.run_once() == 1

    assert await types_of(ledger, due) == ["submitted", "released"]
    assert await types_of(ledger, not_due) == ["submitted"]
    assert await _release_reasons(ledger, due) == [ReleaseReason.DUE]


async def test_a_failed_attempt_is_released_as_a_retry(ledger: Ledger) -> None:
    (task_id,) = await submitted(ledger)
    await _fail(ledger, task_id, retry_delay_seconds=3600)
    await caught_up(ledger)
    await _pass(ledger, HOUR)

    assert await Releaser(ledger).run_once() == 1

    assert await types_of(ledger, task_id) == ["submitted", "started", "failed", "released"]
    assert await _release_reasons(ledger, task_id) == [ReleaseReason.RETRY]


async def test_all_that_is_due_is_released_in_one_round_however_much_it_is(ledger: Ledger) -> None:
    task_ids = await submitted(ledger, 35, run_at=ledger.clock.now() + HOUR)
    await caught_up(ledger)
    await _pass(ledger, HOUR)

    assert await Releaser(ledger).run_once() == 35

    assert {tuple(await types_of(ledger, task_id)) for task_id in task_ids} == {("submitted", "released")}


async def test_what_has_been_due_the_longest_is_released_first(ledger: Ledger) -> None:
    now = ledger.clock.now()
    late = await submitted(ledger, 10, run_at=now + HOUR)
    early = await submitted(ledger, 10, run_at=now + HOUR / 2)
    await caught_up(ledger)
    await _pass(ledger, HOUR)

    await Releaser(ledger).run_once()

    log = await ledger.store.read_log(after=20, upto=40, limit=20)
    assert [event.task_id in early for event in log] == [True] * 10 + [False] * 10
    assert {event.task_id for event in log} == {*early, *late}


async def test_a_read_model_that_is_behind_releases_nothing_twice(ledger: Ledger) -> None:
    (task_id,) = await submitted(ledger, run_at=ledger.clock.now() + HOUR)
    await caught_up(ledger)
    await _pass(ledger, HOUR)
    releaser = Releaser(ledger)

    counts = [await releaser.run_once(), await releaser.run_once(), await Releaser(ledger).run_once()]

    assert counts == [1, 0, 0]
    assert await types_of(ledger, task_id) == ["submitted", "released"]


async def test_a_read_model_that_is_behind_releases_nothing_before_its_new_time(ledger: Ledger) -> None:
    (task_id,) = await submitted(ledger)
    await _fail(ledger, task_id, retry_delay_seconds=0.001)
    await caught_up(ledger)
    await ledger.commands.decide(
        task_id,
        lambda task: task.release(reason=ReleaseReason.RETRY, now=ledger.clock.now()),
        origin=Origin(actor="scheduler"),
    )
    await _fail(ledger, task_id, retry_delay_seconds=3600)

    assert await Releaser(ledger).run_once() == 0
    assert (await types_of(ledger, task_id))[-1] == "failed"


async def test_two_releasers_at_once_release_each_task_once(ledger: Ledger) -> None:
    task_ids = await submitted(ledger, 30, run_at=ledger.clock.now() + HOUR)
    await caught_up(ledger)
    await _pass(ledger, HOUR)

    counts = await asyncio.gather(Releaser(ledger).run_once(), Releaser(ledger).run_once())

    assert sum(counts) == 30
    assert {tuple(await types_of(ledger, task_id)) for task_id in task_ids} == {("submitted", "released")}


async def test_a_cancelled_task_is_not_released_although_the_read_model_calls_it_due(
    ledger: Ledger,
) -> None:
    (task_id,) = await submitted(ledger, run_at=ledger.clock.now() + HOUR)
    await caught_up(ledger)
    await _pass(ledger, HOUR)
    await ledger.commands.cancel(task_id, reason="", origin=Origin(actor="client"))

    assert await Releaser(ledger).run_once() == 0

    assert await types_of(ledger, task_id) == ["submitted", "cancelled"]


async def test_a_task_that_cannot_be_read_does_not_keep_others_from_being_released(ledger: Ledger) -> None:
    foreign, task_id = await submitted(ledger, 2, run_at=ledger.clock.now() + HOUR)
    await caught_up(ledger)
    await _pass(ledger, HOUR)
    await _append_unknown_event(ledger, foreign)
    await execute(ledger, "UPDATE projections.task_status SET version = 2 WHERE task_id = $1", foreign)

    with capture_logs() as logs:
        assert await Releaser(ledger).run_once() == 1

    assert await types_of(ledger, task_id) == ["submitted", "released"]
    assert [line["task_id"] for line in logs if line["event"] == "task.undecidable"] == [str(foreign)]


async def test_a_running_scheduler_releases_within_a_second_of_the_time(ledger: Ledger) -> None:
    run_at = ledger.clock.now() + timedelta(seconds=0.5)
    async with running(Scheduler(ledger).run()):
        (task_id,) = await submitted(ledger, run_at=run_at)
        await caught_up(ledger)
        await eventually(lambda: _is_released(ledger, task_id), what="the task is released")

    _, release = await ledger.store.read_stream(task_id)
    assert timedelta(0) <= release.recorded_at - run_at < timedelta(seconds=1)


async def test_a_scheduler_that_stands_by_takes_over(ledger: Ledger) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(running(Scheduler(ledger).run()))
        await eventually(lambda: _leads(ledger), what="the first scheduler leads")
        async with running(Scheduler(ledger).run()):
            await first.aclose()
            (task_id,) = await submitted(ledger, run_at=ledger.clock.now() + timedelta(seconds=0.1))
            await caught_up(ledger)
            await eventually(lambda: _is_released(ledger, task_id), what="the second scheduler releases the task")


async def test_the_scheduler_outlives_a_restart_of_postgres(private_postgres: PrivatePostgres) -> None:
    await migrate(private_postgres.url)
    async with opened(private_postgres.url) as ledger, running(Scheduler(ledger).run()):
        await eventually(lambda: _leads(ledger), what="the scheduler leads")
        await asyncio.to_thread(private_postgres.kill)
        await asyncio.to_thread(private_postgres.start)
        (task_id,) = await submitted(ledger, run_at=ledger.clock.now() + timedelta(seconds=0.1))
        await caught_up(ledger)
        await eventually(lambda: _is_released(ledger, task_id), what="the task is released")


async def test_the_scheduler_prepares_the_partitions_of_the_months_ahead(ledger: Ledger) -> None:
    partitions = "SELECT relname FROM pg_class WHERE relname ~ '^events_\\d{4}_\\d{2}$' AND relkind = 'r'"
    prepared = await fetch(ledger, partitions)
    await execute(ledger, f"DROP TABLE ledger.{max(row['relname'] for row in prepared)}")

    await Scheduler(ledger).run_once()

    assert len(await fetch(ledger, partitions)) == len(prepared) == MONTHS_AHEAD + 1


async def test_a_chore_that_the_database_refuses_does_not_stop_the_others(ledger: Ledger) -> None:
    await execute(ledger, "DROP FUNCTION ledger.prepare_partitions(integer)")
    (task_id,) = await submitted(ledger, run_at=ledger.clock.now() + timedelta(seconds=0.1))
    await caught_up(ledger)

    with capture_logs() as logs:
        async with running(Scheduler(ledger).run()):
            await eventually(lambda: _is_released(ledger, task_id), what="the task is released")

    assert [line["role"] for line in logs if line["event"] == "role.interrupted"] == ["scheduler.partitions"]


async def _pass(ledger: Ledger, time: timedelta) -> None:
    """Let time pass for what waits, as far as the read model knows."""
    await execute(ledger, "UPDATE projections.task_status SET release_at = release_at - $1::interval", time)


async def _release_reasons(ledger: Ledger, task_id: UUID) -> list[str]:
    events = [decode(row) for row in await ledger.store.read_stream(task_id)]
    return [event.reason for event in events if isinstance(event, Released)]


async def _is_released(ledger: Ledger, task_id: UUID) -> bool:
    return (await types_of(ledger, task_id))[-1] == "released"


async def _leads(ledger: Ledger) -> bool:
    return len(await fetch(ledger, LEADER)) == 1


async def _fail(ledger: Ledger, task_id: UUID, *, retry_delay_seconds: float) -> None:
    attempt = await started(ledger, task_id)

    def fail(task: Task) -> None:
        task.fail(
            attempt=attempt,
            error=TaskError("ValueError", "no"),
            cause=Cause.ERROR,
            now=ledger.clock.now(),
            retry_delay_seconds=retry_delay_seconds,
        )

    await ledger.commands.decide(task_id, fail, origin=Origin(actor="worker"))


async def _append_unknown_event(ledger: Ledger, task_id: UUID) -> None:
    await execute(
        ledger,
        """INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at,
                                      actor, correlation_id)
           VALUES ($1, 2, 'task.foreseen', 1, 'default', 'default', '{}', now(), 'future', '')""",
        task_id,
    )
