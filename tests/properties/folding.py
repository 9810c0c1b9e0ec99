"""What the tests of the read models fold with: one log, folded in batches, and in ranges of tasks beside that."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, pairwise, zip_longest
from typing import Self
from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from ledger.store.records import RecordedEvent
from projections.batch import fold_next_batch
from projections.generation import LIVE, NEXT, Generation, enter, make_missing_live, make_tables
from projections.projection import SqlProjection
from tests.properties.strategies import History, Step


@dataclass(frozen=True, slots=True)
class TwoGenerations:
    """One database for all examples, with the live generation of a read model and the next one."""

    ledger: Ledger
    projection: SqlProjection
    connection: asyncpg.Connection
    beside: asyncpg.Connection

    async def append(self, examples: Sequence[History]) -> None:
        """Append step by step, so that the tasks' events lie between each other's in the log."""
        for steps in zip_longest(*(example.steps for example in examples)):
            appends = zip(examples, steps, strict=True)
            await asyncio.gather(*(self._append(history, step) for history, step in appends if step is not None))

    async def _append(self, history: History, step: Step) -> None:
        await self.ledger.store.append(history.task_id, step.events, expected_version=step.expected_version)

    async def fold_in_batches(self, sizes: Sequence[int]) -> None:
        """Fold what is new into the live generation, in batches of these sizes."""
        horizon = await self.ledger.store.safe_position()
        for size in cycle(sizes):
            async with self.connection.transaction(isolation="read_committed"):
                batch = await fold_next_batch(
                    self.connection, self.projection, LIVE, horizon=horizon, events_max=size
                )
            if batch.events == 0:
                return

    async def fold_side_by_side(self, task_ids: Iterable[UUID]) -> None:
        """Fold the whole streams of new tasks into the next generation: two sessions, a range of tasks each."""
        horizon = await self.ledger.store.safe_position()
        ids = sorted(task_ids)
        middle = ids[len(ids) // 2]
        halves = pairwise([ids[0].int, middle.int, ids[-1].int + 1])
        connections = (self.connection, self.beside)
        await asyncio.gather(
            *(
                self._fold_range(connection, UUID(int=first), UUID(int=beyond - 1), horizon)
                for connection, (first, beyond) in zip(connections, halves, strict=True)
            )
        )

    async def _fold_range(self, connection: asyncpg.Connection, first: UUID, last: UUID, horizon: int) -> None:
        async with connection.transaction(isolation="read_committed"):
            await enter(connection, self.projection, NEXT)
            await self.projection.fold_tasks(
                connection, first=first, last=last, upto=horizon, timeout_seconds=None
            )

    async def log(self) -> list[RecordedEvent]:
        """Return all events of all examples, in the order of the log."""
        horizon = await self.ledger.store.safe_position()
        return await self.ledger.store.read_log(after=0, upto=horizon, limit=1_000_000)


@asynccontextmanager
async def two_generations(database_url: str, projection: SqlProjection) -> AsyncIterator[TwoGenerations]:
    """Open a database with both generations, empty."""
    async with (
        open_ledger(load_settings(database_url=database_url)) as ledger,
        ledger.database.dedicated() as connection,
        ledger.database.dedicated() as beside,
    ):
        await make_missing_live(connection, projection)
        async with connection.transaction():
            await make_tables(connection, projection, NEXT)
        yield TwoGenerations(ledger, projection, connection, beside)


class FoldRunner:
    """Runs what is asynchronous inside of a property."""

    def __init__(self, runner: asyncio.Runner, database_url: str, projection: SqlProjection) -> None:
        self._opened = AsyncExitStack()
        self.run = runner.run
        self.generations = runner.run(self._opened.enter_async_context(two_generations(database_url, projection)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.run(self._opened.aclose())

    def fold(self, examples: Sequence[History], sizes: Sequence[int]) -> Iterator[RecordedEvent]:
        """Append and fold the examples into both generations, and return the whole log."""
        self.run(self.generations.append(examples))
        self.run(self.generations.fold_in_batches(sizes))
        self.run(self.generations.fold_side_by_side(example.task_id for example in examples))
        return iter(self.run(self.generations.log()))

    def rows(self, generation: Generation, statement: str) -> list[dict[str, object]]:
        """Return what a statement finds in a generation."""
        connection = self.generations.connection

        async def fetch() -> list[dict[str, object]]:
            async with connection.transaction():
                await connection.execute("SELECT set_config('search_path', $1, true)", generation.schema)
                return [dict(row) for row in await connection.fetch(statement)]

        return self.run(fetch())
