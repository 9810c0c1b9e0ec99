"""Tasks that wait for others go on when these have ended, whatever is submitted, retried or killed meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.codec import decode
from ledger.doctor import examine
from ledger.follow_ups import FollowUps
from ledger.scheduler import Scheduler
from ledger.specification import TaskSpecification
from ledger.store.records import Origin, RecordedEvent
from ledger.task import Task
from ledger.task_acts import Cancelled
from ledger.task_events import Failed, Released
from ledger.task_words import Cause, ParentPolicy, ReleaseReason, Status, TaskError
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

HOUR = timedelta(hours=1)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


@pytest.fixture
def follow_ups(ledger: Ledger) -> FollowUps:
    return FollowUps(ledger)


async def complete(ledger: Ledger, task_id: UUID) -> RecordedEvent:
    """Run a ready task to its success; return the event that says so."""
    attempt = await started(ledger, task_id)
    await ledger.commands.decide(
        task_id, lambda task: task.complete(attempt=attempt, result=1, now=ledger.clock.now()), origin=CLIENT
    )
    return (await ledger.store.read_stream(task_id))[-1]


async def fail(ledger: Ledger, task_id: UUID, *, retry_delay_seconds: float | None = None) -> None:
    """Run a ready task to a failure."""
    attempt = await started(ledger, task_id)

    def end(task: Task) -> None:
        task.fail(
            attempt=attempt,
            error=TaskError("ValueError", "no"),
            cause=Cause.ERROR,
            now=ledger.clock.now(),
            retry_delay_seconds=retry_delay_seconds,
        )

    await ledger.commands.decide(task_id, end, origin=CLIENT)


async def waiting(ledger: Ledger, *parents: UUID, **specification: Any) -> UUID:  # noqa: ANN401 - fields of their own types
    """Submit a task that waits for these."""
    return (await submitted(ledger, after=parents, **specification))[0]


async def last_of(ledger: Ledger, task_id: UUID) -> tuple[RecordedEvent, object]:
    row = (await ledger.store.read_stream(task_id))[-1]
    return row, decode(row)


async def status_of(ledger: Ledger, task_id: UUID) -> Status:
    return (await ledger.commands.load(task_id)).status


async def test_a_task_is_released_when_all_that_it_waits_for_have_completed_and_not_before(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    first, second = await submitted(ledger, 2)
    origin = Origin(actor="client", correlation_id="story")
    child = (await ledger.commands.submit(TaskSpecification(after=(first, second)), origin=origin)).task_id

    await complete(ledger, first)
    assert await follow_ups.run_once() == 0
    outcome = await complete(ledger, second)
    assert await follow_ups.run_once() == 1

    row, event = await last_of(ledger, child)
    assert await types_of(ledger, child) == ["submitted", "released"]
    assert isinstance(event, Released)
    assert event.reason == ReleaseReason.AFTER
    assert (row.actor, row.causation_id, row.correlation_id) == ("follow-ups", outcome.event_id, "story")
    assert await follow_ups.run_once() == 0
    assert await fetch(ledger, "SELECT FROM ledger.follow_ups") == []


async def test_a_task_submitted_after_the_end_of_what_it_waits_for_does_not_wait_for_ever(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    done, failed = await submitted(ledger, 2)
    await complete(ledger, done)
    await fail(ledger, failed)
    await follow_ups.run_once()

    children = [await waiting(ledger, done), await waiting(ledger, done, failed)]

    assert await follow_ups.run_once() == 2
    assert [(await types_of(ledger, child))[-1] for child in children] == ["released", "cancelled"]


async def test_what_ends_while_its_follow_up_is_submitted_is_not_missed(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    parents = await submitted(ledger, 20)

    async def submit_and_complete(parent: UUID) -> UUID:
        child, _ = await asyncio.gather(waiting(ledger, parent), complete(ledger, parent))
        return child

    async def follow() -> None:
        while True:
            await follow_ups.run_once()

    async with running(follow()):
        children = await asyncio.gather(*(submit_and_complete(parent) for parent in parents))
        await eventually(lambda: _all_end_with(ledger, children, "released"), what="every follow-up is released")

    assert {tuple(await types_of(ledger, child)) for child in children} == {("submitted", "released")}


async def test_a_task_ends_by_its_policy_as_soon_as_one_of_the_others_did_not_complete(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    failed, cancelled, unfinished = await submitted(ledger, 3)
    to_cancel = {broken: await waiting(ledger, unfinished, broken) for broken in (failed, cancelled)}
    to_fail = {
        broken: await waiting(ledger, broken, unfinished, on_parent_failure=ParentPolicy.FAIL)
        for broken in (failed, cancelled)
    }

    await fail(ledger, failed)
    await ledger.commands.cancel(cancelled, reason="", origin=CLIENT)
    assert await follow_ups.run_once() == 4

    for broken, status in ((failed, Status.FAILED), (cancelled, Status.CANCELLED)):
        reason = f"task {broken}, which it waits for, is {status}"
        cause = (await ledger.store.read_stream(broken))[-1].event_id
        row, event = await last_of(ledger, to_cancel[broken])
        assert isinstance(event, Cancelled)
        assert (event.actor, event.reason, row.causation_id) == ("follow-ups", reason, cause)
        row, event = await last_of(ledger, to_fail[broken])
        assert isinstance(event, Failed)
        assert (event.cause, event.error["message"], event.retry_at) == (Cause.PARENT, reason, None)
        assert row.causation_id == cause
    await complete(ledger, unfinished)
    assert await follow_ups.run_once() == 0


async def test_a_failure_that_is_retried_is_no_end(ledger: Ledger, follow_ups: FollowUps) -> None:
    by_itself, by_hand = await submitted(ledger, 2)
    children = [await waiting(ledger, by_itself), await waiting(ledger, by_hand)]

    await fail(ledger, by_itself, retry_delay_seconds=0)
    await fail(ledger, by_hand)
    await ledger.commands.retry(by_hand, reason="", origin=CLIENT)
    assert await follow_ups.run_once() == 0
    await complete(ledger, by_itself)
    await complete(ledger, by_hand)
    assert await follow_ups.run_once() == 2

    assert [await types_of(ledger, child) for child in children] == [["submitted", "released"]] * 2


async def test_a_task_that_ended_with_its_parent_stays_so_when_the_parent_is_retried(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    (parent,) = await submitted(ledger)
    child = await waiting(ledger, parent)
    await fail(ledger, parent)
    await follow_ups.run_once()

    await ledger.commands.retry(parent, reason="", origin=CLIENT)
    await complete(ledger, parent)

    assert await follow_ups.run_once() == 0
    assert await types_of(ledger, child) == ["submitted", "cancelled"]


async def test_a_task_with_a_time_of_its_own_is_released_when_both_have_come(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    early, late = await submitted(ledger, 2)
    run_at = ledger.clock.now() + HOUR
    ready_first, due_first = [await waiting(ledger, parent, run_at=run_at) for parent in (early, late)]
    await complete(ledger, early)

    assert await follow_ups.run_once() == 0
    await _pass(ledger, HOUR)
    assert await follow_ups.run_once() == 1
    assert (await types_of(ledger, ready_first))[-1] == "released"
    assert await types_of(ledger, due_first) == ["submitted"]

    await complete(ledger, late)
    assert await follow_ups.run_once() == 1
    assert (await types_of(ledger, due_first))[-1] == "released"


async def test_a_task_that_is_cancelled_while_it_waits_is_left_alone(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    (parent,) = await submitted(ledger)
    child = await waiting(ledger, parent)
    await follow_ups.run_once()
    await ledger.commands.cancel(child, reason="", origin=CLIENT)

    await complete(ledger, parent)

    assert await follow_ups.run_once() == 0
    assert await types_of(ledger, child) == ["submitted", "cancelled"]
    assert await fetch(ledger, "SELECT FROM ledger.follow_ups") == []


async def test_a_task_of_a_paused_queue_is_held_by_its_queue_when_it_waits_for_others_no_longer(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    (parent,) = await submitted(ledger)
    child = await waiting(ledger, parent, queue="paused")
    await execute(ledger, "INSERT INTO ledger.queues (name, paused_at) VALUES ('paused', now())")
    await ledger.policies.renew()
    await complete(ledger, parent)

    assert await follow_ups.run_once() == 1

    assert await types_of(ledger, child) == ["submitted", "released", "held"]


async def test_a_follower_that_is_killed_anywhere_leaves_nothing_undone_and_nothing_done_twice(
    ledger: Ledger,
) -> None:
    done, broken = await submitted(ledger, 2)
    children = [await waiting(ledger, done) for _ in range(3)] + [await waiting(ledger, broken) for _ in range(3)]
    await complete(ledger, done)
    await fail(ledger, broken)

    turns, was_killed = 1, True
    while was_killed:
        victim = asyncio.create_task(FollowUps(ledger).run_once())
        for _ in range(turns):
            await asyncio.sleep(0)
        was_killed = victim.cancel()
        await asyncio.wait([victim])
        turns += 1 + turns // 4

    assert [await types_of(ledger, child) for child in children] == (
        [["submitted", "released"]] * 3 + [["submitted", "cancelled"]] * 3
    )
    assert await fetch(ledger, "SELECT FROM ledger.follow_ups") == []


async def test_a_stretch_of_the_log_that_is_followed_again_changes_nothing(ledger: Ledger) -> None:
    done, unfinished = await submitted(ledger, 2)
    released, waits = await waiting(ledger, done), await waiting(ledger, done, unfinished)
    await complete(ledger, done)
    await FollowUps(ledger).run_once()

    for forgotten in ("SELECT 1", "DELETE FROM ledger.follow_ups"):
        await execute(ledger, "UPDATE ledger.checkpoints SET position = 0 WHERE name = 'follow_ups'")
        await execute(ledger, forgotten)
        assert await FollowUps(ledger).run_once() == 0
    await complete(ledger, unfinished)
    assert await FollowUps(ledger).run_once() == 1

    assert [await types_of(ledger, task_id) for task_id in (released, waits)] == [["submitted", "released"]] * 2


async def test_two_who_follow_at_once_release_each_task_once(ledger: Ledger) -> None:
    (parent,) = await submitted(ledger)
    children = [await waiting(ledger, parent) for _ in range(30)]
    both = FollowUps(ledger), FollowUps(ledger)
    await asyncio.gather(*(one.run_once() for one in both))
    await complete(ledger, parent)

    await asyncio.gather(*(one.run_once() for one in both))
    await asyncio.gather(*(one.run_once() for one in both))

    assert {tuple(await types_of(ledger, child)) for child in children} == {("submitted", "released")}


async def test_a_task_that_cannot_be_read_does_not_keep_others_waiting_and_is_looked_at_again(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    (parent,) = await submitted(ledger)
    foreign, child = await waiting(ledger, parent), await waiting(ledger, parent)
    await execute(
        ledger,
        """INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at,
                                      actor, correlation_id)
           VALUES ($1, 2, 'task.foreseen', 1, 'default', 'default', '{}', now(), 'future', '')""",
        foreign,
    )
    await complete(ledger, parent)

    with capture_logs() as logs:
        assert await follow_ups.run_once() == 1

    assert (await types_of(ledger, child))[-1] == "released"
    assert {line["task_id"] for line in logs if line["event"] == "task.undecidable"} == {str(foreign)}
    (row,) = await fetch(ledger, "SELECT look_again_at - now() AS wait FROM ledger.follow_up_times")
    assert timedelta(seconds=30) < row["wait"] <= timedelta(seconds=60)


async def test_many_tasks_that_wait_for_one_are_all_released(ledger: Ledger, follow_ups: FollowUps) -> None:
    (parent,) = await submitted(ledger)
    await ledger.commands.submit_many([TaskSpecification(after=(parent,))] * 450, origin=CLIENT)
    await follow_ups.run_once()
    await complete(ledger, parent)

    assert await follow_ups.run_once() == 450


async def test_a_task_whose_batch_stands_across_two_stretches_of_the_log_waits_for_all_of_the_others(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    unfinished, *_ = await ledger.commands.submit_many([TaskSpecification()] * 999, origin=CLIENT)
    child, broken = sorted(uuid7() for _ in range(2))
    waits = TaskSpecification(after=(unfinished.task_id, broken))
    batch = ledger.commands.batch(origin=CLIENT)
    ledger.commands.draft_in(batch, waits, task_id=child)
    ledger.commands.draft_in(batch, TaskSpecification(), task_id=broken)
    await ledger.commands.record(batch)
    await follow_ups.run_once()

    await fail(ledger, broken)

    assert (await ledger.store.read_stream(child))[0].position == 1000
    assert await follow_ups.run_once() == 1
    assert await types_of(ledger, child) == ["submitted", "cancelled"]


async def test_the_scheduler_releases_well_within_a_second_of_the_end(ledger: Ledger) -> None:
    (parent,) = await submitted(ledger)
    async with running(Scheduler(ledger).run()):
        child = await waiting(ledger, parent)
        outcome = await complete(ledger, parent)
        await eventually(lambda: _all_end_with(ledger, [child], "released"), what="the follow-up is released")

    row, _ = await last_of(ledger, child)
    assert row.recorded_at - outcome.recorded_at < timedelta(seconds=1)


async def test_the_doctor_names_a_task_that_waits_for_what_has_ended(
    ledger: Ledger, follow_ups: FollowUps
) -> None:
    done, unfinished = await submitted(ledger, 2)
    forgotten = await waiting(ledger, done)
    await waiting(ledger, done, unfinished)
    await waiting(ledger, done, run_at=ledger.clock.now() + HOUR)
    await complete(ledger, done)
    await caught_up(ledger)

    found = await examine(ledger, bound_seconds=1e-6)
    await follow_ups.run_once()
    await caught_up(ledger)
    found_later = await examine(ledger, bound_seconds=1e-6)

    told = [(finding.invariant, finding.id) for finding in found if finding.check == "forgotten_follow_ups"]
    assert told == [(4, str(forgotten))]
    assert [finding for finding in found_later if finding.check == "forgotten_follow_ups"] == []


@pytest.mark.parametrize("seed", range(2))
async def test_a_web_of_tasks_ends_as_its_outcomes_say(ledger: Ledger, follow_ups: FollowUps, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a test that can be repeated
    task_ids: list[UUID] = []
    parents: dict[UUID, list[UUID]] = {}
    for _ in range(12):
        chosen = random.sample(task_ids, k=min(len(task_ids), random.randrange(4)))
        task_ids.append(await waiting(ledger, *chosen))
        parents[task_ids[-1]] = chosen
    expected: dict[UUID, Status] = {}
    for task_id in task_ids:
        all_completed = all(expected[parent] is Status.COMPLETED for parent in parents[task_id])
        runs = random.choice([Status.COMPLETED] * 5 + [Status.FAILED])
        expected[task_id] = runs if all_completed else Status.CANCELLED

    open_tasks = set(task_ids)
    while open_tasks:
        ready = [task_id for task_id in open_tasks if (await ledger.commands.load(task_id)).ready]
        for task_id in random.sample(ready, k=min(len(ready), 3)):
            await (complete if expected[task_id] is Status.COMPLETED else fail)(ledger, task_id)
        await follow_ups.run_once()
        open_tasks = {task_id for task_id in open_tasks if await status_of(ledger, task_id) is Status.PENDING}

    assert {task_id: await status_of(ledger, task_id) for task_id in task_ids} == expected


async def _all_end_with(ledger: Ledger, task_ids: Sequence[UUID], type_: str) -> bool:
    return all([(await types_of(ledger, task_id))[-1] == type_ for task_id in task_ids])


async def _pass(ledger: Ledger, time: timedelta) -> None:
    """Let time pass, for the ledger and for those that are to be looked at again."""
    ledger.clock.set(ledger.clock.now() + time, round_trip_seconds=0)
    await execute(ledger, "UPDATE ledger.follow_up_times SET look_again_at = look_again_at - $1::interval", time)
