"""A drained worker takes nothing more, finishes what it runs, beats on, and takes again when it is resumed."""

import asyncio

import pytest

from ledger.task_words import Status
from tests.unit.worker_bed import Bed, FaultyRoster, bed, eventually, working


@pytest.fixture
def stand() -> Bed:
    return bed(worker_concurrency=1)


async def test_a_drained_worker_finishes_what_it_runs_and_leaves_the_rest_to_others(stand: Bed) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("hold")
    async def hold(_value: object) -> str:
        await release.wait()
        return "done"

    first, second = await stand.submit("hold"), await stand.submit("hold")
    async with working(stand) as worker:
        await stand.running(first)
        stand.roster.is_draining = True
        await eventually(lambda: not stand.roster.takes, what="the worker says that it takes nothing more")
        waiting = stand.broker.depth("default")
        release.set()
        task = await stand.finished(first)

        assert (task.status, task.result) == (Status.COMPLETED, "done")
        assert (waiting, stand.is_consumed()) == (1, False)
        beats = stand.roster.beats
        await eventually(lambda: stand.roster.beats > beats + 1, what="it beats on")
        assert stand.types(second) == ["submitted"]
        async with working(stand, stand.worker(FaultyRoster(stand.store))) as other:
            task = await stand.finished(second)

    assert task.worker_id == str(other.worker_id) != str(worker.worker_id)


async def test_a_worker_that_is_resumed_takes_with_all_its_slots(stand: Bed) -> None:
    async with working(stand):
        for _ in range(3):
            stand.roster.is_draining = True
            await eventually(lambda: not stand.roster.takes, what="it takes nothing more")
            stand.roster.is_draining = False
            await eventually(lambda: stand.roster.takes, what="it takes again")
            task = await stand.finished(await stand.submit())

            assert task.status is Status.COMPLETED


async def test_a_drained_worker_stops_as_any_other(stand: Bed) -> None:
    async with working(stand) as worker:
        stand.roster.is_draining = True
        await eventually(lambda: not stand.roster.takes, what="it takes nothing more")
        async with asyncio.timeout(2):
            await worker.stop()

    assert stand.roster.has_left
