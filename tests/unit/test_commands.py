"""The commands over the store: decided on the stream as it is, again when others got in between."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest

from ledger.clock import LedgerClock
from ledger.commands import TaskCommands
from ledger.errors import InvalidValueError, TaskNotFoundError, TaskStateError, WrongExpectedVersionError
from ledger.specification import TaskSpecification
from ledger.store.keys import IdempotencyKey
from ledger.store.memory import MemoryEventStore
from ledger.store.records import Appended, NewEvent, Origin
from ledger.task import Task
from ledger.task_words import Status

ORIGIN = Origin(actor="user:a", correlation_id="story", causation_id="cause")


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def commands(store: MemoryEventStore) -> TaskCommands:
    return TaskCommands(store, LedgerClock())


async def test_submit_records_the_task_with_its_origin(store: MemoryEventStore, commands: TaskCommands) -> None:
    receipt = await commands.submit(TaskSpecification(kind="letter", input=1), origin=ORIGIN)

    [event] = await store.read_stream(receipt.task_id)
    assert (event.type, event.kind, event.actor) == ("task.submitted", "letter", "user:a")
    assert (event.correlation_id, event.causation_id) == ("story", "cause")


async def test_submit_of_what_cannot_be_stored_records_nothing(
    store: MemoryEventStore, commands: TaskCommands
) -> None:
    with pytest.raises(InvalidValueError, match="input must be text without NUL characters"):
        await commands.submit(TaskSpecification(input="a\0b"), origin=ORIGIN)

    assert await store.safe_position() == 0


async def test_decision_is_taken_again_when_another_one_got_in_between(commands: TaskCommands) -> None:
    receipt = await commands.submit(TaskSpecification(), origin=ORIGIN)
    stale = await commands.load(receipt.task_id)
    await commands.cancel(receipt.task_id, reason="first", origin=ORIGIN)

    decided = await commands.retry(receipt.task_id, reason="again", origin=ORIGIN)

    assert stale.status is Status.PENDING
    assert (decided.task.status, decided.task.version) == (Status.PENDING, 3)


async def test_submit_under_the_same_idempotency_key_makes_no_second_task(commands: TaskCommands) -> None:
    key = IdempotencyKey.of("order-7", path="/tasks", body=b"")
    first = await commands.submit(TaskSpecification(), origin=ORIGIN, idempotency_key=key)

    again = await commands.submit(TaskSpecification(), origin=ORIGIN, idempotency_key=key)

    assert again == replace(first, replayed=True)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "a\n"])
async def test_idempotency_key_out_of_its_bound_cannot_be_made(key: str) -> None:
    with pytest.raises(InvalidValueError, match="Idempotency-Key must be 1 to 255 visible ASCII characters"):
        IdempotencyKey(key, b"")


async def test_retry_is_refused_while_another_task_has_the_unique_key(commands: TaskCommands) -> None:
    first = await commands.submit(TaskSpecification(unique_key="a"), origin=ORIGIN)
    await commands.cancel(first.task_id, reason="", origin=ORIGIN)
    second = await commands.submit(TaskSpecification(unique_key="a"), origin=ORIGIN)

    with pytest.raises(TaskStateError, match=f"it is CANCELLED: task {second.task_id} is unfinished") as refused:
        await commands.retry(first.task_id, reason="", origin=ORIGIN)

    assert (refused.value.command, refused.value.status) == ("retry", Status.CANCELLED)
    assert (await commands.load(first.task_id)).status is Status.CANCELLED


async def test_retried_task_has_its_unique_key_again(commands: TaskCommands) -> None:
    first = await commands.submit(TaskSpecification(unique_key="a"), origin=ORIGIN)
    await commands.cancel(first.task_id, reason="", origin=ORIGIN)
    await commands.retry(first.task_id, reason="", origin=ORIGIN)

    second = await commands.submit(TaskSpecification(unique_key="a"), origin=ORIGIN)

    assert second == replace(first, existing=True)


class ContestedStore(MemoryEventStore):
    """A store in which somebody else always gets in between, so many times."""

    def __init__(self, *, times: int) -> None:
        super().__init__()
        self.times_left = times

    async def append(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append, but first what somebody else wants."""
        if expected_version and self.times_left:
            self.times_left -= 1
            released = replace(events[0], type="task.released", data='{"reason":"reconciled"}')
            await super().append(task_id, [released], expected_version=expected_version)
        return await super().append(task_id, events, expected_version=expected_version, connection=connection)


async def test_decision_is_taken_as_often_as_others_get_in_between() -> None:
    commands = TaskCommands(ContestedStore(times=19), LedgerClock())
    receipt = await commands.submit(TaskSpecification(), origin=ORIGIN)

    decided = await commands.cancel(receipt.task_id, reason="", origin=ORIGIN)

    assert (decided.task.status, decided.task.version) == (Status.CANCELLED, 21)


async def test_decision_that_others_always_prevent_is_given_up() -> None:
    store = ContestedStore(times=1000)
    commands = TaskCommands(store, LedgerClock())
    receipt = await commands.submit(TaskSpecification(), origin=ORIGIN)

    with pytest.raises(WrongExpectedVersionError):
        await commands.cancel(receipt.task_id, reason="", origin=ORIGIN)

    assert store.times_left == 980
    assert (await commands.load(receipt.task_id)).status is Status.PENDING


async def test_decision_that_changes_nothing_appends_nothing(
    store: MemoryEventStore, commands: TaskCommands
) -> None:
    receipt = await commands.submit(TaskSpecification(), origin=ORIGIN)

    decided = await commands.decide(receipt.task_id, _nothing, origin=ORIGIN)

    assert decided.appended is None
    assert await store.safe_position() == 1


async def test_refused_command_appends_nothing(store: MemoryEventStore, commands: TaskCommands) -> None:
    receipt = await commands.submit(TaskSpecification(), origin=ORIGIN)

    with pytest.raises(TaskStateError):
        await commands.retry(receipt.task_id, reason="", origin=ORIGIN)

    assert await store.safe_position() == 1


async def test_command_for_a_task_that_does_not_exist_says_so(commands: TaskCommands) -> None:
    with pytest.raises(TaskNotFoundError, match="Task not found"):
        await commands.cancel(uuid4(), reason="", origin=ORIGIN)


def _nothing(_task: Task) -> None:
    """Decide nothing."""


async def test_many_tasks_are_submitted_with_one_origin_and_answered_in_their_order(
    store: MemoryEventStore, commands: TaskCommands
) -> None:
    receipts = await commands.submit_many([TaskSpecification(input=n) for n in range(3)], origin=ORIGIN)

    tasks = [await commands.load(receipt.task_id) for receipt in receipts]
    assert [task.input for task in tasks] == [0, 1, 2]
    assert {row.correlation_id for row in await store.read_log(after=0, upto=3, limit=3)} == {"story"}


async def test_many_tasks_of_which_one_is_not_valid_are_not_submitted_and_it_is_named(
    store: MemoryEventStore, commands: TaskCommands
) -> None:
    specifications = [TaskSpecification(), TaskSpecification(priority=10)]

    with pytest.raises(InvalidValueError, match=r"specifications\.1\.priority must be between 0 and 9, got 10"):
        await commands.submit_many(specifications, origin=ORIGIN)

    assert await store.safe_position() == 0


async def test_task_that_waits_for_one_that_does_not_exist_is_not_submitted(
    store: MemoryEventStore, commands: TaskCommands
) -> None:
    known, unknown = (await commands.submit(TaskSpecification(), origin=ORIGIN)).task_id, uuid4()
    waiting = TaskSpecification(after=(known, unknown))

    with pytest.raises(InvalidValueError, match=f"after must be tasks that exist, got '{unknown}'"):
        await commands.submit(waiting, origin=ORIGIN)
    with pytest.raises(InvalidValueError, match=f"after must be tasks that exist, got '{unknown}'"):
        await commands.submit_many([TaskSpecification(), waiting], origin=ORIGIN)

    assert await store.safe_position() == 1
