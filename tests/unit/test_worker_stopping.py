import asyncio
import threading
from uuid import UUID

import orjson
import pytest

from ledger.task_words import Status
from tests.unit.worker_bed import CLIENT, WAIT_SECONDS_MAX, Bed, bed, beside, eventually, working
from worker.context import TaskContext


@pytest.fixture
def stand() -> Bed:
    return bed()


async def _cancel(stand: Bed, task_id: UUID) -> None:
    await stand.commands.cancel(task_id, reason="no longer needed", origin=CLIENT)


async def test_a_running_coroutine_is_cancelled_when_somebody_asks(stand: Bed) -> None:
    cancelled = asyncio.Event()

    @stand.registry.task_handler("hang")
    async def hang(_value: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task_id = await stand.submit("hang")
    async with working(stand) as worker:
        await stand.running(task_id)
        await _cancel(stand, task_id)
        async with asyncio.timeout(1):
            await cancelled.wait()
        task = await stand.finished(task_id)

    assert task.status is Status.CANCELLED
    assert stand.types(task_id) == ["submitted", "started", "cancel_requested", "cancelled"]
    last = stand.events(task_id)[-1]
    assert orjson.loads(last.data) == {"actor": "client", "reason": "no longer needed"}
    assert last.actor == f"worker:{worker.worker_id}"


async def test_a_plain_function_is_told_to_stop_and_its_task_is_cancelled_when_it_does(stand: Bed) -> None:
    @stand.registry.task_handler("loop")
    def loop(_value: object, context: TaskContext) -> str:
        wait = threading.Event().wait
        while not context.cancelled:
            wait(0.01)
        return "half of it"

    task_id = await stand.submit("loop")
    async with working(stand):
        await stand.running(task_id)
        await _cancel(stand, task_id)
        task = await stand.finished(task_id)

    assert (task.status, task.result) == (Status.CANCELLED, None)


async def test_a_plain_function_that_never_looks_finishes_with_its_result(stand: Bed) -> None:
    release = threading.Event()

    @stand.registry.task_handler("block")
    def block(_value: object) -> str:
        assert release.wait(10)
        return "all of it"

    task_id = await stand.submit("block")
    async with working(stand):
        await stand.running(task_id)
        await _cancel(stand, task_id)
        beats = stand.roster.beats
        await eventually(lambda: stand.roster.beats > beats + 1, what="the worker has heard of it")
        assert stand.task(task_id).status is Status.RUNNING
        release.set()
        task = await stand.finished(task_id)

    assert (task.status, task.result) == (Status.COMPLETED, "all of it")


async def test_a_plain_function_that_never_looks_is_cancelled_at_its_deadline(stand: Bed) -> None:
    release = threading.Event()

    @stand.registry.task_handler("block")
    def block(_value: object) -> None:
        release.wait(10)

    task_id = await stand.submit("block", timeout_seconds=0.5)
    async with working(stand):
        await stand.running(task_id)
        await _cancel(stand, task_id)
        task = await stand.finished(task_id)
        release.set()

    assert task.status is Status.CANCELLED


async def test_a_handler_that_finishes_before_the_cancel_arrives_has_its_outcome_stand(stand: Bed) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("wait")
    async def wait(_value: object) -> str:
        await release.wait()
        return "done"

    task_id = await stand.submit("wait")
    async with working(stand):
        await stand.running(task_id)
        stand.roster.is_away = True  # nobody tells the worker
        await _cancel(stand, task_id)
        release.set()
        task = await stand.finished(task_id)

    assert (task.status, task.result) == (Status.COMPLETED, "done")
    assert stand.types(task_id) == ["submitted", "started", "cancel_requested", "completed"]


async def test_a_coroutine_that_swallows_the_cancel_does_not_keep_its_task_from_being_cancelled(
    stand: Bed,
) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("stubborn")
    async def stubborn(_value: object) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task_id = await stand.submit("stubborn")
    async with working(stand):
        await stand.running(task_id)
        await _cancel(stand, task_id)
        task = await stand.finished(task_id)
        release.set()

    assert task.status is Status.CANCELLED


async def test_a_cancelled_task_whose_attempt_fails_is_not_tried_again(stand: Bed) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("fail")
    async def fail(_value: object) -> None:
        await release.wait()
        raise ValueError

    task_id = await stand.submit("fail", max_attempts=5)
    async with working(stand):
        await stand.running(task_id)
        stand.roster.is_away = True
        await _cancel(stand, task_id)
        release.set()
        task = await stand.finished(task_id)

    assert (task.status, task.attempt) == (Status.CANCELLED, 1)


async def test_a_stopping_worker_lets_what_runs_finish_and_takes_nothing_new(stand: Bed) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("wait")
    async def wait(_value: object) -> str:
        await release.wait()
        return "done"

    running = await stand.submit("wait")
    worker = stand.worker()
    async with working(stand, worker):
        await stand.running(running)
        stopping = asyncio.create_task(worker.stop())
        await eventually(lambda: not stand.is_consumed(), what="it takes nothing any more")
        late = await stand.submit()
        await eventually(lambda: stand.broker.depth("default") == 1, what="the late one is published")
        release.set()
        await stopping

    assert stand.task(running).status is Status.COMPLETED
    assert stand.types(late) == ["submitted"]
    assert stand.roster.has_left


async def test_what_outlasts_the_grace_is_interrupted_costs_no_attempt_and_is_ready_at_once() -> None:
    stand = bed(shutdown_grace_seconds=0.1)
    for kind, handler in (("coroutine", _hang), ("plain", _block)):
        stand.registry.task_handler(kind)(handler)
    task_ids = [await stand.submit(kind, max_attempts=1) for kind in ("coroutine", "plain")]

    async with working(stand) as worker:
        for task_id in task_ids:
            await stand.running(task_id)
        await worker.stop()

    for task_id in task_ids:
        task = stand.task(task_id)
        assert stand.types(task_id) == ["submitted", "started", "failed", "released"]
        assert (task.status, task.ready, task.cause, task.failures) == (Status.PENDING, True, "interrupted", 0)


async def test_an_interrupted_task_is_run_by_the_next_worker() -> None:
    stand = bed(shutdown_grace_seconds=0.0)

    @stand.registry.task_handler("second.time")
    async def second_time(_value: object, context: TaskContext) -> int:
        if context.attempt == 1:
            await asyncio.Event().wait()
        return context.attempt

    task_id = await stand.submit("second.time", max_attempts=1)
    async with working(stand) as first:
        await stand.running(task_id)
        await first.stop()
    async with working(stand):
        task = await stand.finished(task_id)

    assert (task.status, task.result) == (Status.COMPLETED, 2)


async def test_what_was_prefetched_and_not_started_goes_back_to_the_broker() -> None:
    stand = bed(worker_concurrency=1, worker_prefetch=10, shutdown_grace_seconds=0.0)
    stand.registry.task_handler("hang")(_hang)
    first, *others = [await stand.submit("hang") for _ in range(5)]

    async with working(stand) as worker:
        await stand.running(first)
        await worker.stop()
        await eventually(lambda: stand.broker.depth("default") >= 4, what="the others are in the queue again")

    assert all(stand.types(task_id) == ["submitted"] for task_id in others)


async def test_a_worker_that_is_cancelled_interrupts_at_once_whatever_the_grace() -> None:
    stand = bed(shutdown_grace_seconds=3600)
    stand.registry.task_handler("hang")(_hang)
    task_id = await stand.submit("hang")
    worker = stand.worker()

    async with beside(stand.relay()):
        run = asyncio.create_task(worker.run())
        await stand.running(task_id)
        run.cancel()
        await asyncio.wait([run], timeout=WAIT_SECONDS_MAX)

    assert run.cancelled()
    assert stand.types(task_id) == ["submitted", "started", "failed", "released"]
    assert stand.roster.has_left


async def test_a_stop_that_is_cut_short_interrupts_what_the_grace_was_for() -> None:
    stand = bed(shutdown_grace_seconds=3600)
    stand.registry.task_handler("hang")(_hang)
    task_id = await stand.submit("hang")
    worker = stand.worker()

    async with beside(stand.relay()):
        run = asyncio.create_task(worker.run())
        await stand.running(task_id)
        stopping = asyncio.create_task(worker.stop())
        await eventually(lambda: not stand.is_consumed(), what="it waits for the task")
        run.cancel()
        await asyncio.wait([run, stopping], timeout=WAIT_SECONDS_MAX)

    assert stopping.done()
    assert stand.types(task_id) == ["submitted", "started", "failed", "released"]


async def _hang(_value: object) -> None:
    await asyncio.Event().wait()


def _block(_value: object) -> None:
    threading.Event().wait(5)
