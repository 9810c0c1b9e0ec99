"""The append batcher: everybody is answered, batches keep their bounds, and what is refused is refused alone."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from ledger.errors import StoreRefusedError, StoreUnavailableError, WrongExpectedVersionError
from ledger.store.batcher import AppendBatcher, AppendRequest
from ledger.store.records import Appended, NewEvent, Origin

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Statements:
    """The database's end of a batcher: remembers each batch, holds it at the gate and answers as it was told."""

    def __init__(self) -> None:
        self.batches: list[list[AppendRequest]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison: set[UUID] = set()
        self.conflicts: set[UUID] = set()
        self.is_down = False

    @property
    def sizes(self) -> list[int]:
        """How many streams each batch had."""
        return [len(batch) for batch in self.batches]

    async def send(self, batch: Sequence[AppendRequest]) -> dict[UUID, Appended]:
        """Answer a batch."""
        self.batches.append(list(batch))
        await self.gate.wait()
        if self.is_down:
            raise StoreUnavailableError("the database is out of reach")
        if any(request.task_id in self.poison for request in batch):
            raise StoreRefusedError("the database refused: poison")
        return {
            request.task_id: Appended(request.task_id, request.expected_version + len(request.events), 1, NOW)
            for request in batch
            if request.task_id not in self.conflicts
        }


@pytest.fixture
def statements() -> Statements:
    return Statements()


def batcher(
    statements: Statements,
    *,
    lanes: int = 1,
    batch_size_max: int = 500,
    batch_bytes_max: int = 1_000_000,
    queue_max: int = 10_000,
    queue_bytes_max: int = 1_000_000,
) -> AppendBatcher:
    return AppendBatcher(
        statements.send,
        lanes=lanes,
        batch_size_max=batch_size_max,
        batch_bytes_max=batch_bytes_max,
        queue_max=queue_max,
        queue_bytes_max=queue_bytes_max,
    )


def event(data: str = "{}") -> NewEvent:
    return NewEvent("task.submitted", 1, "k", "q", data, NOW, Origin(actor="client"))


async def append(
    batcher: AppendBatcher, task_id: UUID | None = None, *, data: str = "{}", expected_version: int = 0
) -> Appended:
    return await batcher.append(task_id or uuid4(), [event(data)], expected_version=expected_version)


async def in_flight(statements: Statements, batches: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(statements.batches) < batches:
            await asyncio.sleep(0)


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize("callers", [1, 2, 3, 64])
async def test_caller_that_appends_again_at_once_is_always_answered(
    statements: Statements, lanes: int, callers: int
) -> None:
    appends = batcher(statements, lanes=lanes)

    async def append_one_after_the_other() -> None:
        for _ in range(50):
            await append(appends)

    async with asyncio.timeout(10):
        await asyncio.gather(*(append_one_after_the_other() for _ in range(callers)))

    assert sum(statements.sizes) == callers * 50


async def test_what_arrives_during_a_statement_goes_out_together_with_the_next(statements: Statements) -> None:
    appends = batcher(statements)
    statements.gate.clear()
    first = asyncio.create_task(append(appends))
    await in_flight(statements)
    later = [asyncio.create_task(append(appends)) for _ in range(30)]
    await asyncio.sleep(0)

    statements.gate.set()
    await asyncio.gather(first, *later)

    assert statements.sizes == [1, 30]


async def test_batch_has_at_most_so_many_streams(statements: Statements) -> None:
    appends = batcher(statements, batch_size_max=10)

    await asyncio.gather(*(append(appends) for _ in range(25)))

    assert statements.sizes == [10, 10, 5]


async def test_batch_has_at_most_so_many_bytes_unless_one_stream_alone_has_more(statements: Statements) -> None:
    appends = batcher(statements, batch_bytes_max=100)

    await asyncio.gather(*(append(appends, data="x" * size) for size in (40, 60, 1, 500, 99)))

    assert [[len(request.events[0].data) for request in batch] for batch in statements.batches] == [
        [40, 60],
        [1],
        [500],
        [99],
    ]


async def test_task_stands_in_one_batch_at_a_time_and_in_the_order_that_was_asked(statements: Statements) -> None:
    appends, task_id = batcher(statements, lanes=3), uuid4()

    await asyncio.gather(*(append(appends, task_id, expected_version=version) for version in range(5)))

    assert [[request.expected_version for request in batch] for batch in statements.batches] == [
        [0],
        [1],
        [2],
        [3],
        [4],
    ]


async def test_task_that_waits_for_itself_holds_up_nobody_else(statements: Statements) -> None:
    appends, task_id = batcher(statements, lanes=2), uuid4()
    statements.gate.clear()
    first = asyncio.create_task(append(appends, task_id))
    await in_flight(statements)
    second = asyncio.create_task(append(appends, task_id, expected_version=1))
    other = asyncio.create_task(append(appends))

    await in_flight(statements, 2)
    [request] = statements.batches[1]
    statements.gate.set()
    await asyncio.gather(first, second, other)

    assert request.task_id != task_id
    assert statements.sizes == [1, 1, 1]


async def test_stream_without_a_receipt_is_a_conflict_of_its_own(statements: Statements) -> None:
    appends, taken = batcher(statements), uuid4()
    statements.conflicts.add(taken)

    answers = await asyncio.gather(
        append(appends), append(appends, taken), append(appends), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [Appended, WrongExpectedVersionError, Appended]
    assert statements.sizes == [3]


async def test_refused_stream_is_found_by_halves_and_fails_alone(statements: Statements) -> None:
    appends, tasks = batcher(statements), [uuid4() for _ in range(256)]
    statements.poison.add(tasks[100])

    answers = await asyncio.gather(*(append(appends, task_id) for task_id in tasks), return_exceptions=True)

    assert [number for number, answer in enumerate(answers) if isinstance(answer, StoreRefusedError)] == [100]
    assert all(isinstance(answer, Appended) for number, answer in enumerate(answers) if number != 100)
    assert len(statements.batches) == 1 + 2 * 8


async def test_each_caller_gets_an_error_of_its_own(statements: Statements) -> None:
    appends = batcher(statements)
    statements.is_down = True

    answers = await asyncio.gather(*(append(appends) for _ in range(3)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnavailableError] * 3
    assert len({id(answer) for answer in answers}) == 3


async def test_outage_is_over_for_the_next_append(statements: Statements) -> None:
    appends = batcher(statements)
    statements.is_down = True
    with pytest.raises(StoreUnavailableError):
        await append(appends)

    statements.is_down = False

    assert (await append(appends)).version == 1


async def test_caller_that_gives_up_in_the_queue_is_not_appended(statements: Statements) -> None:
    appends = batcher(statements)
    statements.gate.clear()
    first = asyncio.create_task(append(appends))
    await in_flight(statements)
    impatient, patient = asyncio.create_task(append(appends)), asyncio.create_task(append(appends))
    await asyncio.sleep(0)

    impatient.cancel()
    await asyncio.wait([impatient])
    statements.gate.set()
    await asyncio.gather(first, patient)

    assert statements.sizes == [1, 1]


async def test_caller_that_gives_up_in_flight_disturbs_nobody_in_its_batch(statements: Statements) -> None:
    appends = batcher(statements)
    statements.gate.clear()
    impatient, patient = asyncio.create_task(append(appends)), asyncio.create_task(append(appends))
    await in_flight(statements)

    impatient.cancel()
    statements.gate.set()

    assert (await patient).version == 1
    assert statements.sizes == [2]


async def test_queue_that_is_full_refuses_at_once_and_says_which_setting_bounds_it(
    statements: Statements,
) -> None:
    appends = batcher(statements, queue_max=2)
    statements.gate.clear()
    first = asyncio.create_task(append(appends))
    await in_flight(statements)
    waiting = [asyncio.create_task(append(appends)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailableError, match="LEDGER_APPEND_QUEUE_MAX"):
        await append(appends)

    statements.gate.set()
    await asyncio.gather(first, *waiting)
    assert (await append(appends)).version == 1


async def test_queue_is_bounded_in_bytes_too_and_counts_what_has_left_no_more(statements: Statements) -> None:
    appends = batcher(statements, queue_bytes_max=100)
    statements.gate.clear()
    first = asyncio.create_task(append(appends))
    await in_flight(statements)
    impatient = asyncio.create_task(append(appends, data="x" * 60))
    patient = asyncio.create_task(append(appends, data="x" * 40))
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailableError, match="LEDGER_APPEND_QUEUE_BYTES_MAX"):
        await append(appends, data="x")

    impatient.cancel()
    statements.gate.set()
    await asyncio.gather(first, patient)
    assert (await append(appends, data="x" * 100)).version == 1


async def test_close_answers_everything_that_was_asked_and_refuses_what_comes_after(
    statements: Statements,
) -> None:
    appends = batcher(statements, lanes=2, batch_size_max=3)
    waiting = [asyncio.create_task(append(appends)) for _ in range(20)]
    await asyncio.sleep(0)

    await appends.close()

    assert all(task.done() and task.result().version == 1 for task in waiting)
    with pytest.raises(StoreUnavailableError, match="the store is closed"):
        await append(appends)


async def test_close_in_an_outage_does_not_try_every_batch(statements: Statements) -> None:
    appends = batcher(statements, batch_size_max=1)
    statements.is_down = True
    statements.gate.clear()
    waiting = [asyncio.create_task(append(appends)) for _ in range(20)]
    await in_flight(statements)

    closing = asyncio.create_task(appends.close())
    await asyncio.sleep(0)
    statements.gate.set()
    await closing

    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailableError] * 20
    assert statements.sizes == [1]
