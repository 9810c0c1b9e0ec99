"""Both clients against the real API on a real socket and a real database."""

import asyncio
import doctest
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from api.app import create_app
from api.client import (
    AsyncTaskLedger,
    ConflictError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    NotFoundError,
    TaskCancelledError,
    TaskFailedError,
    TaskLedger,
    WaitTimeoutError,
)
from api.server import serving
from ledger.bootstrap import Ledger, open_ledger
from ledger.broker.memory import MemoryBroker
from ledger.relay import Relay
from ledger.settings import load_settings
from ledger.task import Task
from ledger.task_words import Cause, TaskError
from tests.integration.clients_given import client_of
from tests.integration.given import CLIENT, caught_up, started, submitted
from worker.consumer import Worker
from worker.registry import shipped_registry


@dataclass(frozen=True, slots=True)
class Stand:
    """A running API, and a client of it."""

    ledger: Ledger
    url: str
    client: Any


@pytest.fixture(params=[TaskLedger, AsyncTaskLedger])
async def stand(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    settings = load_settings(database_url=database_url, port=0)
    async with open_ledger(settings) as ledger, serving(create_app(ledger), settings) as port:
        url = f"http://127.0.0.1:{port}"
        client = client_of(request.param, url)
        yield Stand(ledger, url, client)
        await client.close()


async def _end(ledger: Ledger, task_id: UUID, how: Callable[[Task, datetime], None]) -> None:
    await started(ledger, task_id)
    await ledger.commands.decide(task_id, lambda task: how(task, ledger.clock.now()), origin=CLIENT)


def _complete(task: Task, now: datetime) -> None:
    task.complete(attempt=task.attempt, result={"of": task.input}, now=now)


def _fail(task: Task, now: datetime) -> None:
    error = TaskError(type="ValueError", message="no such order")
    task.fail(attempt=task.attempt, error=error, cause=Cause.ERROR, now=now, retry_delay_seconds=None)


async def test_a_task_is_submitted_waited_for_and_read_in_every_way(stand: Stand) -> None:
    client = stand.client
    receipt = await client.submit("mail", {"to": "ada"}, queue="mail", priority=7, tags=["tenant:acme"], key="ada")
    waiting = asyncio.create_task(client.wait(receipt.task_id, 20))
    await _end(stand.ledger, receipt.task_id, _complete)
    await caught_up(stand.ledger)

    assert await waiting == {"of": {"to": "ada"}}
    task = await client.get(receipt.task_id)
    assert (task.status, task.queue, task.priority, task.tags) == ("COMPLETED", "mail", 7, ("tenant:acme",))
    assert (await client.status(str(receipt.task_id))).is_finished
    assert [event.type for event in await client.history(receipt.task_id)] == [
        "task.submitted",
        "task.started",
        "task.completed",
    ]
    assert [event.version for event in await client.events(kind="mail")] == [1, 2, 3]
    assert [one.task_id for one in await client.list(status="COMPLETED", tag=["tenant:acme"])] == [task.task_id]
    assert (await client.explain(receipt.task_id)).status == "COMPLETED"
    assert (await client.as_of(datetime.now(UTC))).total == 1


async def test_a_task_that_ends_without_a_result_raises_what_happened(stand: Stand) -> None:
    client = stand.client
    failed, cancelled = [(await client.submit("mail")).task_id for _ in range(2)]
    await _end(stand.ledger, failed, _fail)
    await client.cancel(cancelled, reason="called off")

    with pytest.raises(TaskFailedError, match="ValueError: no such order") as raised:
        await client.wait(failed, 5)
    with pytest.raises(TaskCancelledError):
        await client.wait(cancelled, 5)
    assert raised.value.task.error is not None
    assert raised.value.task.error.type == "ValueError"
    with pytest.raises(ConflictError) as refused:
        await client.cancel(cancelled)
    assert (refused.value.reason, refused.value.task_status) == ("too_late", "CANCELLED")
    assert (await client.retry(failed)).status == "PENDING"


async def test_a_wait_that_is_too_short_and_a_task_that_is_unknown_are_told_apart(stand: Stand) -> None:
    receipt = await stand.client.submit("mail")

    with pytest.raises(WaitTimeoutError, match="still PENDING"):
        await stand.client.wait(receipt.task_id, 0.1)
    with pytest.raises(NotFoundError):
        await stand.client.wait(uuid4(), 5)


async def test_keys_make_one_task_of_several_submissions(stand: Stand) -> None:
    client = stand.client
    first = await client.submit("mail", 1, idempotency_key="order-7")
    again = await client.submit("mail", 1, idempotency_key="order-7")
    unique = [await client.submit("sync", unique_key="ada", idempotent=False) for _ in range(2)]

    assert (again.task_id, again.replayed) == (first.task_id, True)
    assert (unique[0].task_id, unique[1].existing) == (unique[1].task_id, True)
    with pytest.raises(IdempotencyKeyReusedError):
        await client.submit("mail", 2, idempotency_key="order-7")


async def test_many_tasks_go_in_chunks_and_are_read_over_pages(stand: Stand) -> None:
    task_ids = await stand.client.submit_many(({"input": number} for number in range(250)), chunk_size=100)
    await caught_up(stand.ledger)

    assert len(set(task_ids)) == 250
    assert sorted(task.task_id for task in await stand.client.list()) == sorted(task_ids)
    assert len(await stand.client.events()) == 250


async def test_what_is_out_of_its_bound_names_the_field(stand: Stand) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        await stand.client.submit("mail", priority=10)
    with pytest.raises(InvalidRequestError) as refused:
        await stand.client.submit_many([{"input": 1, "priority": 10}])

    assert raised.value.field == "priority"
    assert refused.value.errors


async def test_operators_have_queues_dead_letters_and_schedules(stand: Stand) -> None:
    client = stand.client
    one, two = [(await client.submit("mail", queue="mail")).task_id for _ in range(2)]
    await _end(stand.ledger, one, _fail)
    await _end(stand.ledger, two, _fail)
    await caught_up(stand.ledger)

    assert (await client.queues.pause("mail", reason="moving")).state in ("draining", "paused")
    assert (await client.queues.resume("mail")).state == "open"
    assert (await client.queues.set("mail", {"concurrency_max": 3})).settings["concurrency_max"] == 3
    assert [queue.name for queue in await client.queues.list()] == ["mail"]
    assert {letter.id for letter in await client.dead_letters.list(queue="mail")} == {one, two}
    assert (await client.dead_letters.redrive(one)).task_id == one
    assert (await client.dead_letters.discard(two, reason="called off")).id == two
    await client.schedules.put("daily", {"cron": "0 3 * * *", "task": {"kind": "mail"}})
    assert (await client.schedules.pause("daily")).paused
    assert not (await client.schedules.resume("daily")).paused
    fired = await client.schedules.fire("daily")
    assert (await client.status(fired.task_id)).status == "PENDING"
    assert [schedule.name for schedule in await client.schedules.list()] == ["daily"]
    await client.schedules.remove("daily")
    with pytest.raises(NotFoundError):
        await client.schedules.get("daily")


async def test_a_stream_goes_on_over_a_restart_of_the_api(database_url: str) -> None:
    settings = load_settings(database_url=database_url, port=0)
    async with open_ledger(settings) as ledger:
        async with serving(create_app(ledger), settings) as port:
            client = AsyncTaskLedger(f"http://127.0.0.1:{port}")
            task_ids = [(await client.submit("mail", number)).task_id for number in range(3)]
            stream = client.stream(after=0)
            seen = [await anext(stream) for _ in range(2)]
        pending = asyncio.ensure_future(anext(stream))
        async with open_ledger(settings) as other:
            task_ids += await submitted(other, kind="mail")
            again = load_settings(database_url=database_url, port=port)
            async with serving(create_app(other), again):
                seen.append(await pending)
                task_ids.append((await client.submit("mail", 4)).task_id)
                seen += [await anext(stream) for _ in range(2)]
                await stream.aclose()
                await client.close()

    assert [event.task_id for event in seen] == task_ids


async def test_the_example_in_the_docstring_holds(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    example = doctest.DocTestParser().get_doctest(
        TaskLedger.__doc__ or "", {"TaskLedger": TaskLedger}, "TaskLedger", None, None
    )
    settings = load_settings(database_url=database_url, port=0)
    async with open_ledger(settings) as ledger, serving(create_app(ledger), settings) as port:
        monkeypatch.setenv("LEDGER_URL", f"http://127.0.0.1:{port}")
        broker = MemoryBroker()
        roles = [Relay(ledger, broker).run(), Worker(ledger, broker, shipped_registry()).run()]
        running = [asyncio.ensure_future(role) for role in roles]
        with capture_logs():  # else they stand in what the example prints
            result = await asyncio.to_thread(doctest.DocTestRunner().run, example)
        for role in running:
            role.cancel()
        await asyncio.wait(running)

    assert (result.failed, result.attempted) == (0, 1)
