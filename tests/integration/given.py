"""What the tests of the ledger's roles begin with, and how they wait."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from ledger.task import Task
from projections.projector import Projector
from projections.status_counts import STATUS_COUNTS
from projections.task_status import TASK_STATUS

WAIT_SECONDS_MAX = 20.0
CLIENT = Origin(actor="client")


@asynccontextmanager
async def opened(url: str, **settings: object) -> AsyncIterator[Ledger]:
    """Open a ledger with these settings on top of the defaults."""
    async with open_ledger(load_settings(database_url=url, **settings)) as ledger:
        yield ledger


async def submitted(ledger: Ledger, count: int = 1, **specification: object) -> list[UUID]:
    """Submit some tasks, one after the other, and return their ids in that order."""
    return [
        (await ledger.commands.submit(TaskSpecification(**specification), origin=CLIENT)).task_id  # type: ignore[arg-type]  # each keyword is a field of its own type
        for _ in range(count)
    ]


async def started(
    ledger: Ledger, task_id: UUID, *, worker_id: UUID | str = "worker", message_version: int = 1
) -> int:
    """Start a ready task as a worker would that followed the message of an event; return the attempt's number."""
    decided = await ledger.commands.decide(
        task_id,
        lambda task: _start(task, worker_id=str(worker_id), ledger=ledger),
        origin=Origin(actor=f"worker:{worker_id}", causation_id=f"{task_id}:{message_version}"),
    )
    return decided.task.attempt


def _start(task: Task, *, worker_id: str, ledger: Ledger) -> None:
    task.start(worker_id=worker_id, now=ledger.clock.now())


async def caught_up(ledger: Ledger) -> None:
    """Bring the read models of the tasks and of their counts up to the end of the log."""
    projector = Projector(ledger, [TASK_STATUS, STATUS_COUNTS])
    while await projector.run_once():
        pass


async def types_of(ledger: Ledger, task_id: UUID) -> list[str]:
    """Return the types of a task's events, without their common prefix."""
    return [event.type.removeprefix("task.") for event in await ledger.store.read_stream(task_id)]


async def execute(ledger: Ledger, statement: str, *arguments: object) -> None:
    """Change the database behind the ledger's back."""
    async with ledger.database.connection() as connection:
        await connection.execute(statement, *arguments)


async def fetch(ledger: Ledger, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
    """Look into the database."""
    async with ledger.database.connection() as connection:
        rows: Sequence[asyncpg.Record] = await connection.fetch(statement, *arguments)
    return rows


async def eventually(condition: Callable[[], Awaitable[bool]], *, what: str) -> None:
    """Return as soon as the condition holds; fail where it does not, in time."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await condition():
                await asyncio.sleep(0.01)
    except TimeoutError as error:
        message = f"waited {WAIT_SECONDS_MAX} s in vain until {what}"
        raise AssertionError(message) from error


@asynccontextmanager
async def running(*loops: Awaitable[None]) -> AsyncIterator[None]:
    """Run endless loops beside the body; a loop that fails fails the test."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
        for task in tasks:
            if task.done():
                await task
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
