"""The story of a task: whoever acts upon it without a story of their own goes on with that of its submission."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkOrder
from ledger.bulk_acts.chore import BulkChore
from ledger.bulk_acts.commands import BulkActs
from ledger.dead_letters.acts import Intent
from ledger.dead_letters.letters import Act, DeadLetterFilter
from ledger.queues.admitter import Admitter
from ledger.queues.settings import QueueSettings, pause, resume, set_policy
from ledger.releaser import Releaser
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from ledger.task_words import Cause, TaskError
from tests.integration.given import CLIENT, caught_up, opened, started

STORY = Origin(actor="client", correlation_id="story")


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_a_retry_by_the_scheduler_and_acts_of_people_stay_in_the_story(ledger: Ledger) -> None:
    task_id = await _submitted(ledger)
    await _failed(ledger, task_id, retry_delay_seconds=0.0)
    await Releaser(ledger).run_once()
    await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
    await ledger.commands.retry(task_id, reason="", origin=Origin(actor="client", correlation_id="another"))

    assert await _stories(ledger, task_id) == [
        ("task.submitted", "story"),
        ("task.started", "story"),
        ("task.failed", "story"),
        ("task.released", "story"),
        ("task.cancelled", "story"),
        ("task.retried", "another"),
    ]


async def test_what_a_limit_or_a_pause_held_back_stays_in_the_story(ledger: Ledger) -> None:
    await set_policy(ledger.database, "limited", QueueSettings(concurrency_max=1), actor="boss")
    await pause(ledger.database, "paused", actor="boss")
    await ledger.policies.renew()
    tasks = [await _submitted(ledger, queue=queue) for queue in ("limited", "paused")]
    await resume(ledger.database, "paused", actor="boss")
    await caught_up(ledger)
    await Admitter(ledger).run_once()

    for task_id in tasks:
        assert await _stories(ledger, task_id) == [("task.submitted", "story"), ("task.released", "story")]


async def test_a_bulk_redrive_stays_in_the_story_of_each_task(ledger: Ledger) -> None:
    task_id = await _submitted(ledger)
    await _failed(ledger, task_id, retry_delay_seconds=None)
    intent = Intent(reason="", origin=CLIENT)
    order = BulkOrder(act=Act.REDRIVEN, chosen=DeadLetterFilter(), intent=intent, rate_per_s=10)
    bulk = await BulkActs(ledger).begin(order)
    await BulkChore(ledger).run_once(bulk.upto + timedelta(seconds=1))

    assert (await _stories(ledger, task_id))[-1] == ("task.retried", "story")


async def _submitted(ledger: Ledger, *, queue: str = "default") -> UUID:
    return (await ledger.commands.submit(TaskSpecification(queue=queue), origin=STORY)).task_id


async def _failed(ledger: Ledger, task_id: UUID, *, retry_delay_seconds: float | None) -> None:
    attempt = await started(ledger, task_id)
    await ledger.commands.decide(
        task_id,
        lambda task: task.fail(
            attempt=attempt,
            error=TaskError("OSError", "no"),
            cause=Cause.ERROR,
            now=ledger.clock.now(),
            retry_delay_seconds=retry_delay_seconds,
        ),
        origin=Origin(actor="worker"),
    )
    await caught_up(ledger)


async def _stories(ledger: Ledger, task_id: UUID) -> list[tuple[str, str]]:
    return [(event.type, event.correlation_id) for event in await ledger.store.read_stream(task_id)]
