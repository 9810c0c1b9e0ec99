import asyncio

import pytest
from structlog.testing import capture_logs

from ledger.task_words import Status
from tests.unit.worker_bed import Bed, bed, eventually, working


@pytest.fixture
def stand() -> Bed:
    return bed()


async def test_while_the_store_is_away_nothing_runs_and_nothing_is_settled_and_then_it_goes_on(stand: Bed) -> None:
    runs: list[object] = []
    stand.registry.task_handler("count")(runs.append)
    task_ids = [await stand.submit("count", input=number) for number in range(5)]
    stand.store.is_away = True

    async with working(stand):
        await eventually(lambda: stand.store.refusals >= 5, what="claims were refused")
        assert runs == []
        stand.store.is_away = False
        for task_id in task_ids:
            await stand.finished(task_id)

    assert sorted(runs) == list(range(5))  # type: ignore[type-var]  # they are numbers
    assert stand.broker.depth("default") == 0
    assert stand.broker.dead_letters("default") == ()


async def test_an_outcome_is_recorded_when_the_store_is_back(stand: Bed) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("wait")
    async def wait(_value: object) -> str:
        await release.wait()
        return "done"

    task_id = await stand.submit("wait")
    async with working(stand):
        await stand.running(task_id)
        stand.store.is_away = True
        release.set()
        await eventually(lambda: stand.store.refusals > 0, what="the outcome was refused")
        assert stand.task(task_id).status is Status.RUNNING
        stand.store.is_away = False
        task = await stand.finished(task_id)

    assert (task.status, task.result) == (Status.COMPLETED, "done")


async def test_a_claim_whose_answer_was_lost_is_taken_up_and_runs_once(stand: Bed) -> None:
    runs: list[object] = []
    stand.registry.task_handler("count")(runs.append)
    stand.store.lose_answers_to = {"task.started"}
    task_id = await stand.submit("count")

    async with working(stand):
        await stand.finished(task_id)

    assert len(runs) == 1
    assert stand.types(task_id) == ["submitted", "started", "completed"]


async def test_of_two_deliveries_whose_claim_was_in_doubt_one_runs(stand: Bed) -> None:
    runs: list[object] = []
    stand.registry.task_handler("count")(runs.append)
    stand.store.lose_answers_to = {"task.started"}
    task_id = await stand.submit("count")
    await stand.publish(*stand.events(task_id))
    await stand.publish(*stand.events(task_id))

    async with working(stand):
        await stand.finished(task_id)
        await eventually(lambda: stand.broker.depth("default") == 0, what="every copy is taken")

    assert len(runs) == 1
    assert stand.types(task_id) == ["submitted", "started", "completed"]


@pytest.mark.parametrize("kind", ["default", "fail"])
async def test_an_outcome_whose_answer_was_lost_is_recorded_once_and_is_not_stale(stand: Bed, kind: str) -> None:
    stand.store.lose_answers_to = {"task.completed", "task.failed"}
    task_id = await stand.submit(kind, max_attempts=1)

    async with working(stand):
        await stand.finished(task_id)

    assert stand.types(task_id) == ["submitted", "started", "completed" if kind == "default" else "failed"]
    assert await stand.store.read_stale_writes(task_id) == []


async def test_a_worker_whose_beats_fail_for_longer_than_the_lease_begins_nothing_new() -> None:
    stand = bed()
    stand.settings = stand.settings.model_copy(update={"lease_seconds": 0.3})
    release = asyncio.Event()

    @stand.registry.task_handler("wait")
    async def wait(_value: object) -> None:
        await release.wait()

    running = await stand.submit("wait")
    async with working(stand):
        await stand.running(running)
        stand.roster.is_away = True
        with capture_logs() as logs:
            await eventually(
                lambda: any(line["event"] == "heartbeat.lease_lost" for line in logs), what="it is lost"
            )
        late = await stand.submit()
        release.set()
        await stand.finished(running)
        assert stand.types(late) == ["submitted"]
        stand.roster.is_away = False
        await stand.finished(late)


async def test_a_worker_begins_nothing_before_its_first_beat(stand: Bed) -> None:
    stand.roster.is_away = True
    task_id = await stand.submit()

    async with working(stand):
        await eventually(lambda: stand.roster.refusals > 1, what="beats were refused")
        assert stand.types(task_id) == ["submitted"]
        stand.roster.is_away = False
        await stand.finished(task_id)


async def test_a_worker_stops_although_the_store_is_away() -> None:
    stand = bed(shutdown_grace_seconds=0.1)
    release = asyncio.Event()

    @stand.registry.task_handler("wait")
    async def wait(_value: object) -> None:
        await release.wait()

    running = await stand.submit("wait")
    async with working(stand) as worker:
        await stand.running(running)
        stand.store.is_away = True
        stand.roster.is_away = True
        release.set()
        await eventually(lambda: stand.store.refusals > 0, what="the outcome was refused")
        await worker.stop()

    assert stand.types(running) == ["submitted", "started"]
