import asyncio
import threading

import orjson
import pytest

from ledger.errors import InvalidValueError
from ledger.task_words import Status
from tests.unit.worker_bed import Bed, bed, working
from worker.context import TaskContext


@pytest.fixture
def stand() -> Bed:
    return bed()


async def test_progress_is_recorded_while_the_handler_runs_and_does_not_fence_it_out(stand: Bed) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("bake")
    async def bake(_value: object, context: TaskContext) -> str:
        await context.progress(0.5, "in the oven")
        await release.wait()
        return "a cake"

    task_id = await stand.submit("bake")
    async with working(stand):
        await stand.until(lambda task: task.progress == 0.5, task_id)
        assert stand.task(task_id).progress_message == "in the oven"
        release.set()
        task = await stand.finished(task_id)

    assert (task.status, task.result) == (Status.COMPLETED, "a cake")
    assert stand.types(task_id) == ["submitted", "started", "progressed", "completed"]


async def test_of_a_flood_of_progress_the_first_and_a_second_later_the_latest_word_is_recorded(stand: Bed) -> None:
    flood, release = threading.Event(), threading.Event()

    @stand.registry.task_handler("count")
    def count(_value: object, context: TaskContext) -> None:
        context.progress(0)
        assert flood.wait(10)
        for number in range(1000):
            context.progress(number / 1000)
        context.progress(1.5, "more than \0 all")
        assert release.wait(10)

    task_id = await stand.submit("count")
    async with working(stand):
        await stand.until(lambda task: task.progress == 0.0, task_id)
        flood.set()
        await stand.until(lambda task: task.progress == 1.0, task_id)
        release.set()
        await stand.finished(task_id)

    said = [event for event in stand.events(task_id) if event.type == "task.progressed"]
    assert len(said) == 2
    assert orjson.loads(said[1].data) == {"attempt": 1, "fraction": 1.0, "message": "more than � all"}
    assert (said[1].recorded_at - said[0].recorded_at).total_seconds() >= 0.99


async def test_progress_that_comes_after_the_attempt_is_forgotten(stand: Bed) -> None:
    contexts: list[TaskContext] = []

    @stand.registry.task_handler("keep")
    async def keep(_value: object, context: TaskContext) -> None:
        contexts.append(context)

    task_id = await stand.submit("keep")
    async with working(stand):
        await stand.finished(task_id)
        contexts[0].progress(0.5)
        await stand.finished(await stand.submit())

    assert stand.types(task_id) == ["submitted", "started", "completed"]


async def test_progress_that_cannot_be_recorded_does_not_fail_the_attempt(stand: Bed) -> None:
    @stand.registry.task_handler("bake")
    async def bake(_value: object, context: TaskContext) -> None:
        stand.store.is_away = True
        context.progress(0.5)
        while stand.store.refusals == 0:
            await asyncio.sleep(0.001)
        stand.store.is_away = False

    task_id = await stand.submit("bake")
    async with working(stand):
        task = await stand.finished(task_id)

    assert task.status is Status.COMPLETED


async def test_a_fraction_that_is_no_number_is_refused(stand: Bed) -> None:
    @stand.registry.task_handler("divide")
    def divide(_value: object, context: TaskContext) -> None:
        with pytest.raises(InvalidValueError, match="fraction must be a number from 0 to 1, got nan"):
            context.progress(float("nan"))

    task_id = await stand.submit("divide", max_attempts=1)
    async with working(stand):
        assert (await stand.finished(task_id)).status is Status.COMPLETED
