"""A worker that is drained gives back to RabbitMQ what it has not begun, and consumes again when it is resumed."""

import asyncio
from collections.abc import AsyncIterator
from secrets import token_hex
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.broker.rabbitmq import RabbitmqBroker
from ledger.relay import Relay
from ledger.task_words import Status
from ledger.workers.draining import drain, resume
from ledger.workers.listing import show_worker
from tests.integration.given import eventually, opened, running, submitted, types_of
from worker.consumer import Worker
from worker.registry import Registry


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    queue = f"q-{token_hex(4)}"
    settings = {"heartbeat_seconds": 0.1, "worker_queues": (queue,), "worker_concurrency": 1}
    async with opened(database_url, **settings) as ledger:
        yield ledger


async def test_what_a_drained_worker_has_not_begun_goes_to_another(ledger: Ledger, rabbitmq_url: str) -> None:
    release, registry = asyncio.Event(), Registry()
    (queue,) = ledger.settings.worker_queues

    @registry.task_handler("hold")
    async def hold(_value: object) -> None:
        await release.wait()

    broker = RabbitmqBroker(rabbitmq_url)
    first, second = Worker(ledger, broker, registry), Worker(ledger, broker, registry)
    async with running(Relay(ledger, broker).run()), asyncio.TaskGroup() as group:
        group.create_task(first.run())
        held, *waiting = await submitted(ledger, 3, kind="hold", queue=queue)
        await eventually(lambda: _is(ledger, held, Status.RUNNING), what="the first worker runs a task")

        await drain(ledger, first.worker_id, actor="test")
        await eventually(lambda: _takes(ledger, first, takes=False), what="it takes nothing more")
        group.create_task(second.run())
        await eventually(
            lambda: _is(ledger, waiting[0], Status.RUNNING), what="the second runs what was given back"
        )
        release.set()
        for task_id in (held, *waiting):
            await eventually(lambda: _is(ledger, task_id, Status.COMPLETED), what=f"{task_id} is completed")  # noqa: B023 - awaited at once
        await drain(ledger, second.worker_id, actor="test")
        await resume(ledger, first.worker_id, actor="test")
        await eventually(lambda: _takes(ledger, second, takes=False), what="the second takes nothing more")
        (last,) = await submitted(ledger, kind="hold", queue=queue)
        await eventually(lambda: _is(ledger, last, Status.COMPLETED), what="the first takes again")
        await first.stop()
        await second.stop()
    await broker.close()

    by = [(await ledger.commands.load(task_id)).worker_id for task_id in (held, *waiting, last)]
    assert by == [str(one.worker_id) for one in (first, second, second, first)]
    assert await types_of(ledger, waiting[0]) == ["submitted", "started", "completed"]


async def _is(ledger: Ledger, task_id: UUID, status: Status) -> bool:
    return (await ledger.commands.load(task_id)).status is status


async def _takes(ledger: Ledger, worker: Worker, *, takes: bool) -> bool:
    return (await show_worker(ledger, worker.worker_id)).takes is takes
