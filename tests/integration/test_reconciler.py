"""The reconciler finds lost messages and releases their tasks again; a deep, healthy backlog it leaves alone."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.codec import decode
from ledger.queries import query
from ledger.reconciler import Evidence, Reconciler
from ledger.relay import Relay
from ledger.scheduler import Scheduler
from ledger.store.records import Origin
from ledger.task_events import Released
from ledger.task_words import ReleaseReason
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

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, reconcile_after_seconds=60, reconcile_batch_size_max=10) as ledger:
        yield ledger


@pytest.fixture
def reconciler(ledger: Ledger) -> Reconciler:
    return Reconciler(ledger)


async def test_without_a_read_model_there_is_nothing_to_do_and_no_error(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    await submitted(ledger)

    assert await reconciler.run_once() == 0
    assert await reconciler.release_all_ready() == 0


async def test_a_purged_queue_is_healed_after_one_probe_came_through(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    await _worker(ledger)
    *lost, newest = await _published(ledger, 5, ready_for=2 * MINUTE)

    assert await reconciler.run_once() == 1
    assert await _release_reasons(ledger, newest) == [ReleaseReason.RECONCILED]
    await started(ledger, newest, message_version=2)
    await caught_up(ledger)

    assert await reconciler.run_once() == 4
    assert [await types_of(ledger, task_id) for task_id in lost] == [["submitted", "released"]] * 4


async def test_a_queue_that_is_purged_again_is_healed_again(ledger: Ledger, reconciler: Reconciler) -> None:
    await _worker(ledger)
    *lost, probe = await _published(ledger, 5, ready_for=2 * MINUTE)
    await reconciler.run_once()
    await started(ledger, probe, message_version=2)
    await _again(ledger, reconciler)
    await Relay(ledger, MemoryBroker()).run_once()
    await caught_up(ledger)
    await _age(ledger, lost, 2 * MINUTE)

    again = Reconciler(ledger)
    assert await again.run_once() == 1
    (probed,) = [task_id for task_id in lost if len(await types_of(ledger, task_id)) == 3]
    await started(ledger, probed, message_version=3)
    await caught_up(ledger)

    assert await again.run_once() == 3


async def test_a_probe_that_an_older_message_started_proves_nothing_about_younger_ones(database_url: str) -> None:
    async with opened(database_url, reconcile_after_seconds=1) as ledger:
        reconciler = Reconciler(ledger)
        await _worker(ledger)
        (probe,) = await submitted(ledger)
        await submitted(ledger, 5)
        await _release(ledger, probe)
        await Relay(ledger, MemoryBroker()).run_once()
        await caught_up(ledger)
        await eventually(lambda: _is_suspect(reconciler, probe), what="the bound has passed")
        assert await reconciler.run_once() == 1
        assert await types_of(ledger, probe) == ["submitted", "released", "released"]

        await started(ledger, probe, message_version=1)

        assert await _again(ledger, reconciler) == 1  # not the five, but one of them as the next probe


async def test_a_single_lost_message_is_healed_by_the_probe_itself(ledger: Ledger, reconciler: Reconciler) -> None:
    await _worker(ledger)
    (lost,) = await _published(ledger, 1, ready_for=2 * MINUTE)

    assert [await reconciler.run_once(), await _again(ledger, reconciler)] == [1, 0]
    assert await types_of(ledger, lost) == ["submitted", "released"]


async def test_a_deep_backlog_that_is_worked_off_in_order_costs_one_probe_a_bound(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    await _worker(ledger)
    backlog = await _published(ledger, 60, ready_for=10 * MINUTE)

    counts = []
    for task_id in backlog[:20]:
        await started(ledger, task_id)
        counts.append(await _again(ledger, reconciler))

    assert sum(counts) == counts[0] == 1


async def test_a_task_that_younger_ones_overtook_is_released(ledger: Ledger, reconciler: Reconciler) -> None:
    (lost,) = await _published(ledger, 1, ready_for=10 * MINUTE)
    runs, *waiting = await _published(ledger, 3, ready_for=5 * MINUTE)
    await started(ledger, runs)

    assert [await _again(ledger, reconciler), await _again(ledger, reconciler)] == [1, 0]

    assert await types_of(ledger, lost) == ["submitted", "released"]
    assert [await types_of(ledger, task_id) for task_id in waiting] == [["submitted"]] * 2


async def test_what_a_worker_may_have_prefetched_is_not_taken_for_lost(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    await _published(ledger, 5, ready_for=5 * MINUTE)
    (runs,) = await _published(ledger, 1, ready_for=4.5 * MINUTE)
    await started(ledger, runs)

    assert await _again(ledger, reconciler) == 0


@pytest.mark.parametrize("other", [{"queue": "mail"}, {"priority": 9}, {"priority": 0}])
async def test_what_runs_in_another_queue_or_band_proves_nothing(
    ledger: Ledger, reconciler: Reconciler, other: dict[str, object]
) -> None:
    await _published(ledger, 1, ready_for=10 * MINUTE)
    (runs,) = await _published(ledger, 1, ready_for=2 * MINUTE, **other)
    await started(ledger, runs)

    assert await _again(ledger, reconciler) == 0


async def test_another_priority_of_the_same_band_proves_the_loss(ledger: Ledger, reconciler: Reconciler) -> None:
    await _published(ledger, 1, ready_for=10 * MINUTE, priority=4)
    (runs,) = await _published(ledger, 1, ready_for=2 * MINUTE, priority=6)
    await started(ledger, runs)

    assert await _again(ledger, reconciler) == 1


async def test_each_queue_and_band_gets_a_probe_of_its_own(ledger: Ledger, reconciler: Reconciler) -> None:
    await _worker(ledger, queues=["default", "mail"])
    for queue in ("default", "mail", "unserved"):
        for priority in (0, 3, 4, 9):
            await _published(ledger, 2, ready_for=2 * MINUTE, queue=queue, priority=priority)

    suspects = await reconciler.suspects()

    assert len(suspects) == 6
    assert {(one.work_queue.queue, str(one.work_queue.band)) for one in suspects} == {
        (queue, band) for queue in ("default", "mail") for band in ("low", "normal", "high")
    }


async def test_a_queue_that_no_worker_serves_is_left_alone(ledger: Ledger, reconciler: Reconciler) -> None:
    await _worker(ledger, queues=["other"])
    silent = await _worker(ledger)
    await execute(ledger, "UPDATE ledger.workers SET beat_at = beat_at - $2::interval WHERE worker_id = $1",
                  silent, MINUTE)  # fmt: skip
    await _published(ledger, 3, ready_for=2 * MINUTE)

    assert await reconciler.run_once() == 0


async def test_a_task_younger_than_the_bound_is_left_alone(ledger: Ledger, reconciler: Reconciler) -> None:
    await _worker(ledger)
    await _published(ledger, 3, ready_for=0.9 * MINUTE)

    assert await reconciler.run_once() == 0


async def test_a_task_that_is_not_published_yet_is_left_to_the_relay(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    await _worker(ledger)
    task_ids = await submitted(ledger, 3)
    await caught_up(ledger)
    await _age(ledger, task_ids, 2 * MINUTE)

    assert await reconciler.run_once() == 0
    assert await reconciler.release_all_ready() == 0


async def test_a_round_releases_at_most_a_batch_the_oldest_first(ledger: Ledger, reconciler: Reconciler) -> None:
    lost = await _published(ledger, 25, ready_for=10 * MINUTE)
    (runs,) = await _published(ledger, 1, ready_for=5 * MINUTE)
    await started(ledger, runs)
    await caught_up(ledger)

    assert await reconciler.run_once() == 10
    assert [len(await types_of(ledger, task_id)) for task_id in lost] == [2] * 10 + [1] * 15
    assert [await _again(ledger, reconciler) for _ in range(3)] == [10, 5, 0]


async def test_a_read_model_that_is_behind_releases_nothing_that_has_started(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    await _worker(ledger)
    (task_id,) = await _published(ledger, 1, ready_for=2 * MINUTE)
    await started(ledger, task_id)

    assert await reconciler.run_once() == 0
    assert await types_of(ledger, task_id) == ["submitted", "started"]


async def test_looking_for_suspects_changes_nothing(ledger: Ledger, reconciler: Reconciler) -> None:
    await _worker(ledger)
    (lost,) = await _published(ledger, 1, ready_for=10 * MINUTE)
    (runs,) = await _published(ledger, 1, ready_for=5 * MINUTE)
    (probe,) = await _published(ledger, 1, ready_for=5 * MINUTE, queue="mail")
    await _worker(ledger, queues=["mail"])
    await started(ledger, runs)
    await caught_up(ledger)

    suspects = [await reconciler.suspects() for _ in range(2)]

    assert suspects[0] == suspects[1]
    assert [(one.task_id, one.evidence) for one in suspects[0]] == [
        (lost, Evidence.OVERTAKEN),
        (probe, Evidence.PROBE),
    ]
    assert await types_of(ledger, lost) == ["submitted"]


async def test_all_that_is_ready_is_released_when_the_broker_lost_everything(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    ready = await _published(ledger, 25, ready_for=timedelta(0))
    (runs,) = await _published(ledger, 1, ready_for=timedelta(0))
    await started(ledger, runs)
    (delayed,) = await submitted(ledger, run_at=ledger.clock.now() + MINUTE)
    await Relay(ledger, MemoryBroker()).run_once()
    await caught_up(ledger)
    (unpublished,) = await submitted(ledger)

    assert await reconciler.release_all_ready() == 25

    assert {tuple(await types_of(ledger, task_id)) for task_id in ready} == {("submitted", "released")}
    assert await types_of(ledger, runs) == ["submitted", "started"]
    assert await types_of(ledger, delayed) == await types_of(ledger, unpublished) == ["submitted"]


async def test_releasing_all_that_is_ready_sees_what_the_read_model_has_not_seen(
    ledger: Ledger, reconciler: Reconciler
) -> None:
    await _published(ledger, 1, ready_for=timedelta(0))
    unseen = await submitted(ledger, 15)
    await Relay(ledger, MemoryBroker()).run_once()

    assert await reconciler.release_all_ready() == 16

    assert {tuple(await types_of(ledger, task_id)) for task_id in unseen} == {("submitted", "released")}


async def test_a_running_scheduler_heals_a_lost_broker_within_the_bound(database_url: str) -> None:
    async with opened(database_url, reconcile_after_seconds=1) as ledger:
        await _worker(ledger)
        (task_id,) = await submitted(ledger)
        await Relay(ledger, MemoryBroker()).run_once()
        await caught_up(ledger)

        async with running(Scheduler(ledger).run()):
            await eventually(lambda: _is_released(ledger, task_id), what="the task is released")

    async with opened(database_url) as ledger:
        submission, release = await ledger.store.read_stream(task_id)
        assert 1 <= (release.recorded_at - submission.recorded_at).total_seconds() < 3


async def _published(ledger: Ledger, count: int, *, ready_for: timedelta, **specification: object) -> list[UUID]:
    """Submit tasks, publish them to a broker that loses them, and let them have been ready for a while."""
    task_ids = await submitted(ledger, count, **specification)
    await Relay(ledger, MemoryBroker()).run_once()
    await caught_up(ledger)
    await _age(ledger, task_ids, ready_for)
    return task_ids


async def _age(ledger: Ledger, task_ids: Sequence[UUID], time: timedelta) -> None:
    statement = """UPDATE projections.task_status SET ready_at = ready_at - $2::interval,
                          created_at = created_at - $2::interval WHERE task_id = ANY ($1::uuid[])"""
    await execute(ledger, statement, list(task_ids), time)


async def _again(ledger: Ledger, reconciler: Reconciler) -> int:
    await caught_up(ledger)
    return await reconciler.run_once()


async def _worker(ledger: Ledger, *, queues: Sequence[str] = ("default",)) -> UUID:
    worker_id: UUID = uuid7()
    await fetch(ledger, query("register_worker"), worker_id, "w", list(queues), 50)
    return worker_id


async def _release(ledger: Ledger, task_id: UUID) -> None:
    await ledger.commands.decide(
        task_id,
        lambda task: task.release(reason=ReleaseReason.RECONCILED, now=ledger.clock.now()),
        origin=Origin(actor="reconciler"),
    )


async def _is_suspect(reconciler: Reconciler, task_id: UUID) -> bool:
    return task_id in [one.task_id for one in await reconciler.suspects()]


async def _release_reasons(ledger: Ledger, task_id: UUID) -> list[str]:
    events = [decode(row) for row in await ledger.store.read_stream(task_id)]
    return [event.reason for event in events if isinstance(event, Released)]


async def _is_released(ledger: Ledger, task_id: UUID) -> bool:
    return (await types_of(ledger, task_id))[-1] == "released"
