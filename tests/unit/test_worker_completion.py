"""Where a handler cannot commit together with its outcome, it learns so in a sentence."""

from collections.abc import Callable

import pytest

from ledger.task_words import Status
from tests.unit import isolated_handlers as handlers
from tests.unit.worker_bed import Bed, bed, working
from worker.context import TaskContext
from worker.registry import Isolation


@pytest.fixture
def stand() -> Bed:
    return bed()


async def _on_a_ledger_in_memory(_value: object, context: TaskContext) -> None:
    async with context.transaction():
        pass


async def _with_a_connection_of_its_own(_value: object, context: TaskContext) -> None:
    await context.complete("done", connection=None)  # type: ignore[arg-type]  # it does not come so far


@pytest.mark.parametrize(
    ("handler", "isolation"),
    [
        (_on_a_ledger_in_memory, None),
        (_with_a_connection_of_its_own, None),
        (handlers.transact, None),
        (handlers.transact, "process"),
    ],
)
async def test_a_handler_that_cannot_have_a_transaction_is_refused_one_and_fails_at_once(
    stand: Bed, handler: Callable[..., object], isolation: Isolation | None
) -> None:
    stand.registry.task_handler("transact", isolation=isolation)(handler)

    task_id = await stand.submit("transact", max_attempts=3)
    async with working(stand):
        task = await stand.finished(task_id)

    assert (task.status, task.attempt) == (Status.FAILED, 1)
    assert task.error is not None
    assert task.error["type"] == "TransactionRefusedError"
    assert task.error["message"] == (
        "context.transaction and context.complete need an async handler, and a worker whose ledger is Postgres"
    )
