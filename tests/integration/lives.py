"""Tasks that live: submitted, started and ended in every way, by many clients at once."""

import asyncio
from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from ledger.task import Task
from ledger.task_words import Cause, TaskError

_CLIENT = Origin(actor="client")
_WORKER = Origin(actor="worker:one")
_ERROR = TaskError(type="ValueError", message="no")


async def live_through(ledger: Ledger, count: int, *, at_once: int = 20) -> None:
    """Let this many tasks live, in turns of some at once; each of them ends in its own way."""
    for first in range(0, count, at_once):
        numbers = range(first, min(first + at_once, count))
        await asyncio.gather(*(_live(ledger, number) for number in numbers))


async def _live(ledger: Ledger, number: int) -> None:
    specification = TaskSpecification(input=number, tags=(f"n:{number % 7}",))
    task_id = (await ledger.commands.submit(specification, origin=_CLIENT)).task_id
    ending = number % 5
    if ending == 0:
        return
    await _decide(ledger, task_id, "start")
    if ending == 1:
        await _decide(ledger, task_id, "retry_later")
        return
    if ending == 2:
        await _decide(ledger, task_id, "progress")
        await _decide(ledger, task_id, "give_up")
        await ledger.commands.retry(task_id, reason="", origin=_CLIENT)
        return
    if ending == 3:
        await _decide(ledger, task_id, "retry_at_once")
        await _decide(ledger, task_id, "start")
    await _decide(ledger, task_id, "complete")


async def _decide(ledger: Ledger, task_id: UUID, what: str) -> None:
    await ledger.commands.decide(task_id, lambda task: _do(ledger, task, what), origin=_WORKER)


def _do(ledger: Ledger, task: Task, what: str) -> None:
    now = ledger.clock.now()
    if what == "start":
        task.start(worker_id="one", now=now)
    elif what == "progress":
        task.report_progress(attempt=task.attempt, fraction=0.5, message="half", now=now)
    elif what == "complete":
        task.complete(attempt=task.attempt, result={"of": task.input}, now=now)
    else:
        delay = {"retry_later": 300.0, "retry_at_once": 0.0, "give_up": None}[what]
        task.fail(attempt=task.attempt, error=_ERROR, cause=Cause.ERROR, now=now, retry_delay_seconds=delay)
