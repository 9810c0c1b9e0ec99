import asyncio
import threading
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from ledger.broker.port import OutgoingMessage
from ledger.messages import outgoing
from ledger.task_words import ReleaseReason, Status
from tests.unit.worker_bed import CLIENT, Bed, bed, eventually, working
from worker.context import TaskContext


@pytest.fixture
def stand() -> Bed:
    return bed()


def _message(body: bytes) -> OutgoingMessage:
    return OutgoingMessage("foreign", "default.ready.normal.submitted", body, "default", must_route=True)


async def test_a_task_is_started_and_completed_with_the_result_of_its_handler(stand: Bed) -> None:
    task_id = await stand.submit("greet", input={"name": "Ada"}, tags=("tenant:acme",))

    @stand.registry.task_handler("greet")
    async def greet(value: dict[str, str]) -> dict[str, str]:
        return {"greeting": f"hello {value['name']}"}

    async with working(stand) as worker:
        task = await stand.finished(task_id)

    assert stand.types(task_id) == ["submitted", "started", "completed"]
    assert (task.status, task.result, task.attempt) == (Status.COMPLETED, {"greeting": "hello Ada"}, 1)
    assert task.worker_id == str(worker.worker_id)


async def test_what_the_worker_writes_names_it_and_the_chain_of_causes(stand: Bed) -> None:
    task_id = await stand.submit()

    async with working(stand) as worker:
        await stand.finished(task_id)

    _, started, completed = stand.events(task_id)
    assert started.actor == completed.actor == f"worker:{worker.worker_id}"
    assert started.causation_id == f"{task_id}:1"
    assert completed.causation_id == f"{task_id}:2"
    assert started.correlation_id == completed.correlation_id == str(task_id)


async def test_a_submitted_task_is_run_without_reading_its_stream(stand: Bed) -> None:
    task_id = await stand.submit()

    async with working(stand):
        await stand.finished(task_id)

    assert stand.store.reads == 0


async def test_the_default_handler_answers_as_the_seed_does(stand: Bed) -> None:
    text = await stand.submit(input="Sample Task Input")
    other = await stand.submit(input={"a": [1, None]})

    async with working(stand):
        assert (await stand.finished(text)).result == "Processed input: Sample Task Input"
        assert (await stand.finished(other)).result == 'Processed input: {"a":[1,null]}'


async def test_a_delivery_that_comes_twice_runs_the_task_once(stand: Bed) -> None:
    runs: list[object] = []
    stand.registry.task_handler("count")(runs.append)
    task_id = await stand.submit("count")
    await stand.publish(*stand.events(task_id))

    async with working(stand):
        await stand.finished(task_id)
        await eventually(lambda: stand.broker.depth("default") == 0, what="the copy is taken")

    assert len(runs) == 1
    assert stand.types(task_id) == ["submitted", "started", "completed"]


async def test_the_replayed_message_of_a_finished_task_is_acked_and_nothing_happens(stand: Bed) -> None:
    task_id = await stand.submit()
    async with working(stand):
        await stand.finished(task_id)

    await stand.publish(stand.events(task_id)[0])
    async with working(stand):
        await eventually(lambda: stand.broker.depth("default") == 0, what="the copy is taken")

    assert stand.broker.depth("default") == 0
    assert stand.broker.dead_letters("default") == ()
    assert stand.types(task_id) == ["submitted", "started", "completed"]


async def test_the_message_of_a_task_that_the_ledger_does_not_know_is_acked(stand: Bed) -> None:
    lost = bed()
    unknown = await lost.submit()
    await stand.publish(*lost.events(unknown))
    known = await stand.submit()

    async with working(stand):
        await stand.finished(known)

    assert stand.types(unknown) == []
    assert stand.broker.depth("default") == 0
    assert stand.broker.dead_letters("default") == ()


async def test_a_message_before_its_time_starts_nothing(stand: Bed) -> None:
    late = await stand.submit(run_at=datetime.now(UTC) + timedelta(hours=1))
    await stand.broker.publish([_message(outgoing(stand.events(late)[0]).body)])
    known = await stand.submit()

    async with working(stand):
        await stand.finished(known)

    assert stand.types(late) == ["submitted"]


async def test_a_task_that_was_released_runs_with_what_its_stream_says(stand: Bed) -> None:
    task_id = await stand.submit(run_at=datetime.now(UTC) + timedelta(hours=1), input="later")
    await stand.commands.decide(
        task_id,
        lambda task: task.release(reason=ReleaseReason.DUE, now=stand.clock.now()),
        origin=CLIENT,
    )

    async with working(stand):
        task = await stand.finished(task_id)

    assert task.result == "Processed input: later"
    assert stand.types(task_id) == ["submitted", "released", "started", "completed"]


async def test_a_malformed_message_becomes_a_dead_letter_with_the_reason_and_the_worker_goes_on(
    stand: Bed,
) -> None:
    bodies = [b"", b"\xff\x00", b"[]", b"{}", orjson.dumps({"subject": "no uuid"})]
    await stand.broker.publish([_message(body) for body in bodies])
    task_id = await stand.submit()

    async with working(stand):
        await stand.finished(task_id)
        await eventually(
            lambda: len(stand.broker.dead_letters("default")) == len(bodies), what="all are dead letters"
        )

    letters = stand.broker.dead_letters("default")
    assert [letter.body for letter in letters] == bodies
    assert all(letter.reason.startswith("malformed message: ") for letter in letters)


@pytest.mark.parametrize("change", [{"schemaversion": 99}, {"type": "task.abducted"}, {"data": {}}, {"data": []}])
async def test_a_message_that_this_release_cannot_read_becomes_a_dead_letter(
    stand: Bed, change: dict[str, object]
) -> None:
    task_id = await stand.submit()
    body = orjson.dumps({**orjson.loads(outgoing(stand.events(task_id)[0]).body), **change})
    await stand.broker.publish([_message(body)])

    async with working(stand):
        await stand.finished(task_id)
        await eventually(lambda: stand.broker.depth("default") == 0, what="every message is taken")

    letters = stand.broker.dead_letters("default")
    if change == {"type": "task.abducted"}:  # a hint of an event that is none of ours is a hint all the same
        assert letters == ()
    else:
        assert len(letters) == 1
        assert letters[0].reason.startswith(("malformed message: ", "unknown event "))


async def test_no_more_than_the_concurrency_runs_at_once() -> None:
    stand = bed(worker_concurrency=3)
    running, most = 0, 0

    @stand.registry.task_handler("count")
    async def count(_value: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    task_ids = [await stand.submit("count") for _ in range(20)]
    async with working(stand):
        for task_id in task_ids:
            await stand.finished(task_id)

    assert most == 3


async def test_with_concurrency_and_prefetch_of_one_tasks_run_strictly_one_after_the_other() -> None:
    stand = bed(worker_concurrency=1, worker_prefetch=1)
    task_ids = [await stand.submit(input=number) for number in range(10)]

    async with working(stand):
        for task_id in task_ids:
            await stand.finished(task_id)

    log = await stand.store.read_log(after=10, upto=30, limit=20)
    assert [(event.task_id, event.type) for event in log] == [
        (task_id, f"task.{what}") for task_id in task_ids for what in ("started", "completed")
    ]


async def test_a_delivery_is_acked_before_its_handler_ends() -> None:
    stand = bed(worker_concurrency=2, worker_prefetch=1)
    release = asyncio.Event()

    @stand.registry.task_handler("wait")
    async def wait(_value: object) -> None:
        await release.wait()

    waiting = await stand.submit("wait")
    async with working(stand):
        await stand.running(waiting)
        other = await stand.submit()
        await stand.finished(other)
        release.set()
        await stand.finished(waiting)


async def test_appends_of_many_tasks_wait_for_the_store_together() -> None:
    stand = bed(worker_concurrency=10)
    stand.store.together = asyncio.Barrier(10)
    task_ids = [await stand.submit() for _ in range(10)]

    async with working(stand):
        for task_id in task_ids:
            await stand.finished(task_id)


async def test_a_plain_function_runs_in_a_thread_and_keeps_nobody_waiting(stand: Bed) -> None:
    release = threading.Event()
    threads: list[str] = []

    @stand.registry.task_handler("block")
    def block(_value: object) -> str:
        threads.append(threading.current_thread().name)
        assert release.wait(10)
        return "done"

    blocked = await stand.submit("block")
    async with working(stand):
        await stand.running(blocked)
        await stand.finished(await stand.submit())
        release.set()
        task = await stand.finished(blocked)

    assert task.result == "done"
    assert threads == ["handler-1"]


async def test_plain_functions_run_at_once_in_as_many_threads_as_there_are_slots() -> None:
    stand = bed(worker_concurrency=4)
    together = threading.Barrier(4)

    @stand.registry.task_handler("meet")
    def meet(_value: object) -> str:
        together.wait(10)
        return threading.current_thread().name

    task_ids = [await stand.submit("meet") for _ in range(8)]
    async with working(stand):
        names = {str((await stand.finished(task_id)).result) for task_id in task_ids}

    assert names == {"handler-1", "handler-2", "handler-3", "handler-4"}


async def test_a_handler_learns_of_its_attempt_from_the_context(stand: Bed) -> None:
    seen: list[TaskContext] = []

    @stand.registry.task_handler("look")
    async def look(_value: object, *, about: TaskContext) -> None:
        seen.append(about)

    task_id = await stand.submit("look", tags=("a", "b"), timeout_seconds=60)
    async with working(stand):
        task = await stand.finished(task_id)

    (context,) = seen
    assert (context.task_id, context.attempt, context.kind, context.queue) == (task_id, 1, "look", "default")
    assert (context.tags, context.cancelled) == (("a", "b"), False)
    assert task.started_at is not None
    assert abs(context.deadline - task.started_at - timedelta(seconds=60)) < timedelta(seconds=1)


async def test_a_worker_serves_the_queues_that_it_was_given_and_no_other() -> None:
    stand = bed(worker_queues=("fast", "slow"))
    tasks = {queue: await stand.submit(queue=queue) for queue in ("fast", "slow", "default")}

    async with working(stand):
        await stand.finished(tasks["fast"])
        await stand.finished(tasks["slow"])

    assert stand.types(tasks["default"]) == ["submitted"]


async def test_two_workers_share_the_work_and_no_task_runs_twice() -> None:
    stand = bed(worker_concurrency=2)
    runs: list[int] = []

    @stand.registry.task_handler("count")
    async def count(value: int) -> None:
        runs.append(value)
        await asyncio.sleep(0)

    task_ids = [await stand.submit("count", input=number) for number in range(40)]
    for task_id in task_ids[:20]:
        await stand.publish(stand.events(task_id)[0])
    async with working(stand), working(stand):
        for task_id in task_ids:
            await stand.finished(task_id)

    assert sorted(runs) == list(range(40))
    assert all(stand.types(task_id) == ["submitted", "started", "completed"] for task_id in task_ids)
