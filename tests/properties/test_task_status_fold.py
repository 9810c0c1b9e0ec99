"""The SQL fold of `task_status` is the aggregate's fold: every history, every column, every cut into batches."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import zip_longest
from uuid import UUID

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.bootstrap import Ledger, open_ledger
from ledger.codec import EVENT_TYPES, decode
from ledger.settings import load_settings
from ledger.store.records import RecordedEvent
from ledger.task import Task
from projections.batch import fold_next_batch
from projections.generation import LIVE, NEXT, enter, make_missing_live, make_tables
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.properties.strategies import History, Step, histories

MAKES_READY = {"task.submitted", "task.released", "task.retried"}
JSON_COLUMNS = ("input", "result", "error")
ROWS = {
    LIVE: "SELECT * FROM projections.task_status WHERE task_id = ANY ($1)",
    NEXT: "SELECT * FROM projections_next.task_status WHERE task_id = ANY ($1)",
}

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Folds:
    """One database for all examples: what each appends is folded in batches, and in one go beside that."""

    ledger: Ledger
    connection: asyncpg.Connection

    async def append(self, examples: Sequence[History]) -> None:
        """Append step by step, so that the tasks' events lie between each other's in the log."""
        for steps in zip_longest(*(example.steps for example in examples)):
            appends = zip(examples, steps, strict=True)
            await asyncio.gather(*(self._append(history, step) for history, step in appends if step is not None))

    async def _append(self, history: History, step: Step) -> None:
        await self.ledger.store.append(history.task_id, step.events, expected_version=step.expected_version)

    async def fold_in_batches(self, sizes: Iterator[int]) -> AsyncIterator[int]:
        """Fold what is new into the live generation, batch by batch, and yield the position after each."""
        horizon = await self.ledger.store.safe_position()
        events = 1
        while events:
            async with self.connection.transaction(isolation="read_committed"):
                batch = await fold_next_batch(
                    self.connection, TASK_STATUS, LIVE, horizon=horizon, events_max=next(sizes)
                )
            events = batch.events
            yield batch.position

    async def fold_in_one_go(self, examples: Sequence[History]) -> None:
        """Fold the whole streams of some tasks into the next generation, as a rebuild does."""
        horizon = await self.ledger.store.safe_position()
        ids = sorted(example.task_id for example in examples)
        async with self.connection.transaction(isolation="read_committed"):
            await enter(self.connection, TASK_STATUS, NEXT)
            await TASK_STATUS.fold_tasks(
                self.connection, first=ids[0], last=ids[-1], upto=horizon, timeout_seconds=None
            )

    async def rows(self, query: str, task_ids: Iterable[UUID]) -> dict[UUID, Row]:
        """Return the read model's rows of some tasks, JSON decoded."""
        return {row["task_id"]: _decoded(row) for row in await self.connection.fetch(query, list(task_ids))}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # leaves the thread's own loop alone
        yield runner


def test_every_cut_into_batches_and_one_go_fold_to_what_the_aggregate_says(
    database_url: str, runner: asyncio.Runner
) -> None:
    opened = AsyncExitStack()
    shared = runner.run(opened.enter_async_context(folds(database_url)))

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )
    @given(st.lists(histories(), min_size=3, max_size=8), st.lists(st.integers(1, 9), min_size=1, max_size=8))
    def holds(examples: list[History], sizes: list[int]) -> None:
        runner.run(_folds_agree(shared, examples, sizes))

    try:
        holds()
        assert runner.run(verify(shared.ledger, TASK_STATUS)) == []
    finally:
        runner.run(opened.aclose())


def test_fold_knows_every_event_in_its_newest_shape() -> None:
    newest = {topic: event_class.class_version for topic, event_class in EVENT_TYPES.items()}

    assert TASK_STATUS.schema_versions == newest


async def _folds_agree(shared: Folds, examples: Sequence[History], sizes: Sequence[int]) -> None:
    await shared.append(examples)
    streams = await shared.ledger.store.read_streams([example.task_id for example in examples])

    before = 0
    async for position in shared.fold_in_batches(_over_and_over(sizes)):
        touched = {
            task_id: folded([event for event in stream if event.position <= position])
            for task_id, stream in streams.items()
            if any(before < event.position <= position for event in stream)
        }
        assert await shared.rows(ROWS[LIVE], touched) == touched
        before = position

    await shared.fold_in_one_go(examples)
    whole = {task_id: folded(stream) for task_id, stream in streams.items()}
    assert await shared.rows(ROWS[LIVE], streams) == whole
    assert await shared.rows(ROWS[NEXT], streams) == whole


def _over_and_over(sizes: Sequence[int]) -> Iterator[int]:
    while True:
        yield from sizes


@asynccontextmanager
async def folds(database_url: str, **settings: object) -> AsyncIterator[Folds]:
    """Open a database with both generations, empty."""
    async with (
        open_ledger(load_settings(database_url=database_url, **settings)) as ledger,
        ledger.database.dedicated() as connection,
    ):
        await make_missing_live(connection, TASK_STATUS)
        async with connection.transaction():
            await make_tables(connection, TASK_STATUS, NEXT)
        yield Folds(ledger, connection)


def folded(events: Sequence[RecordedEvent]) -> Row:
    """Return the row that the aggregate makes of a stream, with what only the rows of the ledger know."""
    task: Task | None = None
    ready_at = None
    for event in events:
        task = decode(event).mutate(task)
        ready_at = event.recorded_at if event.type in MAKES_READY else ready_at
    assert task is not None
    return {
        "task_id": task.id,
        "version": task.version,
        "position": events[-1].position,
        "status": task.status.value,
        "ready_at": ready_at if task.ready else None,
        "correlation_id": events[0].correlation_id,
        "created_at": events[0].recorded_at,
        "updated_at": events[-1].recorded_at,
        **{
            name: getattr(task, name)
            for name in (
                "kind", "queue", "priority", "tags", "input", "result", "error", "cause", "attempt", "failures",
                "losses", "max_attempts", "timeout_s", "worker_id", "ready", "release_at", "progress",
                "progress_message", "cancel_requested", "parent", "key", "unique_key", "after",
                "on_parent_failure", "tenant", "hold", "discarded", "started_at", "finished_at",
            )
        },
    }  # fmt: skip


def _decoded(row: asyncpg.Record) -> Row:
    values = dict(row.items())
    for name in JSON_COLUMNS:
        text = values[name]
        values[name] = None if text is None else orjson.loads(str(text))
    return values
