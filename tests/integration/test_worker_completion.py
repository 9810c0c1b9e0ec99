"""A handler that commits its own writes and its Completed in one transaction: both or neither, and once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import UUID

import asyncpg
import orjson
import pytest

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.commands import TaskCommands
from ledger.errors import StaleAttemptError, TaskStateError
from ledger.relay import Relay
from ledger.specification import Backoff
from ledger.store.postgres import PostgresEventStore
from ledger.store.records import Appended, NewEvent
from ledger.sweeper import Sweeper
from ledger.task import Task
from ledger.task_words import Status
from tests.integration.given import (
    CLIENT,
    caught_up,
    eventually,
    execute,
    fetch,
    opened,
    running,
    submitted,
    types_of,
)
from tests.services.lossy_proxy import lossy_proxy
from worker.consumer import Worker
from worker.context import TaskContext
from worker.registry import Registry

_PAY = "INSERT INTO public.payments (number, attempt) VALUES ($1, $2)"
_AT_ONCE = Backoff(base_seconds=0, cap_seconds=0)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, heartbeat_seconds=60, handler_connections_max=2) as ledger:
        await execute(ledger, "CREATE TABLE public.payments (number integer, attempt integer)")
        yield ledger


@pytest.fixture
def registry() -> Registry:
    return Registry()


class Till:
    """Opens a transaction for a handler: one that the context lends, or one of the handler's own."""

    def __init__(self, way: str, url: str) -> None:
        self._way = way
        self._url = url

    @asynccontextmanager
    async def open(self, context: TaskContext) -> AsyncIterator[asyncpg.Connection]:
        """Open a transaction, and commit it."""
        if self._way == "lent":
            async with context.transaction() as connection:
                yield connection
            return
        own = await asyncpg.connect(self._url)
        try:
            async with own.transaction():
                yield own
        finally:
            await own.close()


@pytest.fixture(params=["lent", "own"])
def till(request: pytest.FixtureRequest, database_url: str) -> Till:
    return Till(request.param, database_url)


@asynccontextmanager
async def working(ledger: Ledger, registry: Registry) -> AsyncIterator[Worker]:
    broker = MemoryBroker()
    worker = Worker(ledger, broker, registry)
    async with running(Relay(ledger, broker).run()), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        yield worker
        await worker.stop()


async def _submitted(ledger: Ledger, **specification: object) -> UUID:
    arguments = {"kind": "pay", "input": 7, "backoff": _AT_ONCE, **specification}
    return (await submitted(ledger, **arguments))[0]  # type: ignore[arg-type]  # each keyword is of its own type


async def _finished(ledger: Ledger, task_id: UUID) -> Task:
    async def is_finished() -> bool:
        return (await ledger.commands.load(task_id)).is_finished

    await eventually(is_finished, what=f"{task_id} is finished")
    return await ledger.commands.load(task_id)


async def _started(ledger: Ledger, task_id: UUID) -> None:
    async def is_started() -> bool:
        return "started" in await types_of(ledger, task_id)

    await eventually(is_started, what=f"{task_id} is started")


async def _payments(ledger: Ledger) -> list[tuple[int, int]]:
    rows = await fetch(ledger, "SELECT number, attempt FROM public.payments ORDER BY attempt")
    return [(row["number"], row["attempt"]) for row in rows]


async def test_the_handlers_writes_and_its_outcome_are_committed_together_and_nothing_after_it_counts(
    ledger: Ledger, registry: Registry, till: Till
) -> None:
    async def again(context: TaskContext) -> str:
        async with till.open(context) as connection:
            await connection.execute(_PAY, 99, context.attempt)
            await context.complete("twice", connection=connection)
        return "twice"

    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> str:
        async with till.open(context) as connection:
            await connection.execute(_PAY, number, context.attempt)
            await context.complete({"paid": number}, connection=connection)
        if number == 1:
            return "nobody hears this"
        if number == 2:
            raise ValueError
        with pytest.raises(TaskStateError, match="it is COMPLETED: this attempt did it already"):
            return await again(context)
        await asyncio.Event().wait()  # until its deadline
        return "never"

    async with working(ledger, registry):
        task_ids = [await _submitted(ledger, input=number, timeout_seconds=0.5) for number in (1, 2, 3)]
        tasks = [await _finished(ledger, task_id) for task_id in task_ids]

    assert [(task.status, task.result) for task in tasks] == [
        (Status.COMPLETED, {"paid": number}) for number in (1, 2, 3)
    ]
    for task_id in task_ids:
        assert await types_of(ledger, task_id) == ["submitted", "started", "completed"]
        assert await ledger.store.read_stale_writes(task_id) == []
    assert sorted(await _payments(ledger)) == [(1, 1), (2, 1), (3, 1)]


async def test_a_handler_that_completes_after_its_attempt_was_over_is_refused_and_rolled_back(
    ledger: Ledger, registry: Registry
) -> None:
    release = asyncio.Event()

    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()
        async with context.transaction() as connection:
            await connection.execute(_PAY, number, context.attempt)
            await context.complete("too late", connection=connection)

    async with working(ledger, registry):
        task_id = await _submitted(ledger, timeout_seconds=0.1, max_attempts=1)
        task = await _finished(ledger, task_id)
        release.set()
        await eventually(lambda: _has_stale_write(ledger, task_id), what="the late outcome is kept")

    (write,) = await ledger.store.read_stale_writes(task_id)
    assert (task.status, task.cause) == (Status.FAILED, "timeout")
    assert orjson.loads(write.data) == {"attempt": 1, "result": "too late"}
    assert await _payments(ledger) == []


async def test_what_is_rolled_back_leaves_neither_writes_nor_outcome_and_is_tried_again(
    ledger: Ledger, registry: Registry, till: Till
) -> None:
    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        async with till.open(context) as connection:
            await connection.execute(_PAY, number, context.attempt)
            await context.complete("paid", connection=connection)
            if context.attempt == 1:
                raise OSError

    async with working(ledger, registry):
        task_id = await _submitted(ledger)
        task = await _finished(ledger, task_id)

    assert (task.status, task.failures) == (Status.COMPLETED, 1)
    assert (await types_of(ledger, task_id)).count("completed") == 1
    assert await _payments(ledger) == [(7, 2)]


async def test_an_attempt_that_lost_its_task_is_rolled_back_and_its_outcome_kept_as_evidence(
    ledger: Ledger, registry: Registry, till: Till
) -> None:
    swept = asyncio.Event()
    refused = asyncio.Event()

    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        async with till.open(context) as connection:
            await connection.execute(_PAY, number, context.attempt)
            if context.attempt == 1:
                await swept.wait()
            try:
                await context.complete(f"paid by {context.attempt}", connection=connection)
            except StaleAttemptError:
                refused.set()
                raise

    async with working(ledger, registry) as worker:
        task_id = await _submitted(ledger)
        await _started(ledger, task_id)
        await _lose(ledger, worker.worker_id, task_id)
        task = await _finished(ledger, task_id)
        swept.set()
        await eventually(lambda: _has_stale_write(ledger, task_id), what="the late outcome is kept")

    (write,) = await ledger.store.read_stale_writes(task_id)
    assert (write.type, write.attempt, write.current_attempt) == ("task.completed", 1, 2)
    assert orjson.loads(write.data) == {"attempt": 1, "result": "paid by 1"}
    assert task.result == "paid by 2"
    assert await _payments(ledger) == [(7, 2)]


async def _lose(ledger: Ledger, worker_id: UUID, task_id: UUID) -> None:
    await caught_up(ledger)
    while await Sweeper(ledger, restart_grace_seconds=0).run_once() == 0:
        await execute(ledger, "UPDATE ledger.workers SET stopped_at = now() WHERE worker_id = $1", worker_id)
    assert "failed" in await types_of(ledger, task_id)


async def _has_stale_write(ledger: Ledger, task_id: UUID) -> bool:
    return bool(await ledger.store.read_stale_writes(task_id))


@pytest.mark.parametrize("way", ["lent", "own"])
async def test_a_commit_whose_answer_was_lost_counts_once(
    ledger: Ledger, registry: Registry, database_url: str, way: str
) -> None:
    async with lossy_proxy(database_url) as proxy:
        till = Till(way, proxy.url)
        attempts: list[int] = []

        @registry.task_handler("pay")
        async def pay(number: int, context: TaskContext) -> None:
            attempts.append(context.attempt)
            proxy.commits_to_lose = 1
            async with till.open(context) as connection:
                await connection.execute(_PAY, number, context.attempt)
                await context.complete("paid", connection=connection)

        async with opened(proxy.url, heartbeat_seconds=60) as behind, working(behind, registry):
            task_id = await _submitted(ledger)
            task = await _finished(ledger, task_id)

    assert (proxy.lost, attempts) == (1, [1])
    assert (task.status, task.result) == (Status.COMPLETED, "paid")
    assert await types_of(ledger, task_id) == ["submitted", "started", "completed"]
    assert await _payments(ledger) == [(7, 1)]
    assert await ledger.store.read_stale_writes(task_id) == []


async def test_a_handler_that_returns_without_its_commit_has_failed(
    ledger: Ledger, registry: Registry, database_url: str
) -> None:
    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        connection = await asyncpg.connect(database_url)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(_PAY, number, context.attempt)
        await context.complete("paid", connection=connection)
        await connection.close()

    async with working(ledger, registry):
        task = await _finished(ledger, await _submitted(ledger, max_attempts=2))

    assert (task.status, task.failures) == (Status.FAILED, 2)
    assert task.error is not None
    assert task.error["type"] == "CompletionLostError"
    assert await _payments(ledger) == []


class InterruptedStore(PostgresEventStore):
    """A store in which somebody else appends to a task just before its handler does."""

    interrupt: Callable[[UUID], Awaitable[object]] | None = None

    async def append(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Let the other go first, once."""
        if connection is not None and self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            await interrupt(task_id)
        return await super().append(task_id, events, expected_version=expected_version, connection=connection)


async def test_who_gets_in_between_is_followed_within_the_transaction_and_a_later_cancel_is_too_late(
    ledger: Ledger, registry: Registry, till: Till
) -> None:
    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        async with till.open(context) as connection:
            await connection.execute(_PAY, number, context.attempt)
            await context.complete("paid", connection=connection)

    store = InterruptedStore(ledger.database, ledger.settings)
    store.interrupt = lambda task_id: ledger.commands.cancel(task_id, reason="", origin=CLIENT)
    interrupted = replace(ledger, store=store, commands=TaskCommands(store, ledger.clock))
    async with working(interrupted, registry):
        task_id = await _submitted(ledger)
        task = await _finished(ledger, task_id)
    await store.close()

    assert task.status is Status.COMPLETED
    assert await types_of(ledger, task_id) == ["submitted", "started", "cancel_requested", "completed"]
    assert await _payments(ledger) == [(7, 1)]
    with pytest.raises(TaskStateError, match="too_late"):
        await ledger.commands.cancel(task_id, reason="", origin=CLIENT)


async def test_progress_during_the_open_transaction_holds_up_no_other_append(
    ledger: Ledger, registry: Registry, database_url: str
) -> None:
    completed, others_done = asyncio.Event(), asyncio.Event()

    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        async with Till("own", database_url).open(context) as connection:
            await connection.execute(_PAY, number, context.attempt)
            await context.complete("paid", connection=connection)
            context.progress(0.9)  # an append of it would wait for the transaction, and all others for it
            completed.set()
            await others_done.wait()

    async with opened(database_url, append_connections=1) as narrow, working(narrow, registry):
        task_id = await _submitted(narrow)
        await completed.wait()
        for _ in range(10):
            await _submitted(narrow, queue="another")
        others_done.set()
        await _finished(narrow, task_id)

    assert await types_of(ledger, task_id) == ["submitted", "started", "completed"]


async def test_readers_are_woken_after_the_commit(ledger: Ledger, registry: Registry, till: Till) -> None:
    release = asyncio.Event()

    @registry.task_handler("pay")
    async def pay(_number: int, context: TaskContext) -> None:
        await release.wait()
        async with till.open(context) as connection:
            await context.complete("paid", connection=connection)

    async with working(ledger, registry), ledger.store.appends() as signal:
        task_id = await _submitted(ledger)
        await _started(ledger, task_id)
        while await signal.wait(0.1):
            pass
        release.set()
        assert await signal.wait(10)
        await _finished(ledger, task_id)


async def test_what_a_handler_leaves_on_a_lent_connection_is_not_there_for_the_next(
    ledger: Ledger, registry: Registry
) -> None:
    @registry.task_handler("pay")
    async def pay(_number: int, context: TaskContext) -> None:
        async with context.transaction() as connection:
            found = await connection.fetchval("SELECT current_setting('statement_timeout')")
            await connection.execute("SET statement_timeout = '7s'")
            await context.complete(found, connection=connection)

    async with working(ledger, registry):
        tasks = [await _submitted(ledger) for _ in range(6)]  # over two connections
        results = [(await _finished(ledger, task_id)).result for task_id in tasks]

    assert results == ["0"] * 6


async def test_a_result_that_cannot_be_stored_rolls_back_and_fails_the_task_at_once(
    ledger: Ledger, registry: Registry
) -> None:
    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        async with context.transaction() as connection:
            await connection.execute(_PAY, number, context.attempt)
            await context.complete("a\0b", connection=connection)

    async with working(ledger, registry):
        task = await _finished(ledger, await _submitted(ledger))

    assert (task.status, task.attempt) == (Status.FAILED, 1)
    assert task.error is not None
    assert task.error["type"] == "ResultRefusedError"
    assert await _payments(ledger) == []


async def test_the_role_of_a_worker_needs_no_more_than_the_handlers_own_tables(
    ledger: Ledger, registry: Registry, database_url: str
) -> None:
    await execute(ledger, "GRANT INSERT ON public.payments TO ledger_worker")

    @registry.task_handler("pay")
    async def pay(number: int, context: TaskContext) -> None:
        async with context.transaction() as connection:
            await connection.execute(_PAY, number, context.attempt)
            await context.complete(await connection.fetchval("SELECT current_user"), connection=connection)

    separator = "&" if "?" in database_url else "?"
    broker = MemoryBroker()
    async with opened(f"{database_url}{separator}role=ledger_worker") as restricted:
        worker = Worker(restricted, broker, registry)
        async with running(Relay(ledger, broker).run()), asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            task = await _finished(ledger, await _submitted(ledger))
            await worker.stop()

    assert task.result == "ledger_worker"
    assert await _payments(ledger) == [(7, 1)]
