"""The past is the aggregate's fold of what was recorded by then: for any histories, moments and lag."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.json_response import timestamp, to_json
from api.read_model import TaskSummary
from ledger.store.records import RecordedEvent
from projections.batch import fold_next_batch
from projections.generation import LIVE, make_missing_live
from projections.projection import Projection
from projections.status_counts import STATUS_COUNTS
from projections.task_status import TASK_STATUS
from tests.integration.api_given import client_of
from tests.properties.strategies import History, histories
from tests.properties.test_task_status_fold import Folds, Row, folded, folds

LEAST = timedelta(microseconds=1)
LOOKED_AT_MAX = 7
# Positions that each example leaves out: the first ones have little recorded since any moment, the last ones much.
GAP = 6_000
SKIP = "SELECT setval('ledger.position_seq', nextval('ledger.position_seq') + $1)"
COLUMNS = tuple(TaskSummary.__dataclass_fields__)
FILTERS = ("", "status=PENDING", "status=RUNNING&status=FAILED", "kind=mail.send", "queue=slow&status=COMPLETED")

Streams = Mapping[UUID, Sequence[RecordedEvent]]


@dataclass(frozen=True, slots=True)
class Pasts:
    """One ledger for all examples, and a client of its API."""

    folds: Folds
    client: httpx.AsyncClient

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON of any shape
        """Return what the API answers."""
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def streams(self) -> Streams:
        """Return every stream of the ledger."""
        ids = [
            row["task_id"]
            for row in await self.folds.connection.fetch("SELECT DISTINCT task_id FROM ledger.events")
        ]
        return await self.folds.ledger.store.read_streams(ids)

    async def fold(self, projection: Projection, events_max: int) -> None:
        """Bring a read model forward by some events; the rest it has not seen yet."""
        horizon = await self.folds.ledger.store.safe_position()
        async with self.folds.connection.transaction(isolation="read_committed"):
            await fold_next_batch(self.folds.connection, projection, LIVE, horizon=horizon, events_max=events_max)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # leaves the thread's own loop alone
        yield runner


def test_the_past_is_the_fold_of_what_was_recorded_by_then(database_url: str, runner: asyncio.Runner) -> None:
    opened = AsyncExitStack()
    shared = runner.run(opened.enter_async_context(pasts(database_url)))
    fractions = st.floats(0, 1)

    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )
    @given(
        st.lists(histories(), min_size=2, max_size=5),
        st.tuples(st.integers(1, 60), st.integers(1, 60)),
        st.tuples(fractions, fractions),
        st.sampled_from([timedelta(), LEAST, -LEAST]),
    )
    def holds(
        examples: list[History], sizes: tuple[int, int], chosen: tuple[float, float], beside: timedelta
    ) -> None:
        runner.run(_past_is_the_fold(shared, examples, sizes, [(one, beside) for one in chosen]))

    try:
        holds()
    finally:
        runner.run(opened.aclose())


async def _past_is_the_fold(
    shared: Pasts, examples: Sequence[History], sizes: Sequence[int], chosen: Sequence[tuple[float, timedelta]]
) -> None:
    await shared.folds.append(examples)
    await shared.folds.connection.execute(SKIP, GAP)
    for projection, events_max in zip((TASK_STATUS, STATUS_COUNTS), sizes, strict=True):
        await shared.fold(projection, events_max)
    streams = await shared.streams()
    times = sorted(event.recorded_at for stream in streams.values() for event in stream)
    moments = sorted(times[int(share * (len(times) - 1))] + beside for share, beside in chosen)
    pasts = [_as_of(streams, moment) for moment in moments]

    for moment, past in zip(moments, pasts, strict=True):
        await _tasks_are(shared, moment, past)
        await _lists_are(shared, moment, past)
        assert _counted(await shared.get(f"/ledger?as_of={timestamp(moment)}")) == _counts(past)
    await _diff_is(shared, moments, pasts, streams)


async def _tasks_are(shared: Pasts, moment: datetime, past: Mapping[UUID, Row]) -> None:
    for task_id in list(past)[-5:]:
        shown = await shared.get(f"/tasks/{task_id}?as_of={timestamp(moment)}")
        assert {name: shown[name] for name in past[task_id]} == _json(past[task_id])


async def _lists_are(shared: Pasts, moment: datetime, past: Mapping[UUID, Row]) -> None:
    for asked in FILTERS:
        wanted = [_listed(past[task_id]) for task_id in sorted(past, reverse=True) if _fits(past[task_id], asked)]
        assert await _pages(shared, f"as_of={timestamp(moment)}&{asked}".rstrip("&")) == wanted


async def _diff_is(
    shared: Pasts, moments: Sequence[datetime], pasts: Sequence[Mapping[UUID, Row]], streams: Streams
) -> None:
    (since, until), (before, after) = moments, pasts
    moves = Counter(
        ((before[task_id]["status"] if task_id in before else None), after[task_id]["status"])
        for task_id, stream in streams.items()
        if any(since < event.recorded_at <= until for event in stream)
    )

    diff = await shared.get(f"/ledger/diff?from={timestamp(since)}&to={timestamp(until)}")

    assert (_counted(diff["from"]), _counted(diff["to"])) == (_counts(before), _counts(after))
    assert diff["changed"] == moves.total()
    assert {(move["from"], move["to"]): move["tasks"] for move in diff["moved"]} == {
        move: tasks for move, tasks in moves.items() if move[0] != move[1]
    }


async def _pages(shared: Pasts, asked: str) -> list[Row]:
    tasks: list[Row] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await shared.get(f"/tasks?{asked}&limit=20{cursor and f'&cursor={cursor}'}")
        tasks += page["tasks"]
        cursor = page["next_cursor"]
    return tasks


def _as_of(streams: Streams, moment: datetime) -> dict[UUID, Row]:
    recorded = {
        task_id: [event for event in stream if event.recorded_at <= moment] for task_id, stream in streams.items()
    }
    return {task_id: folded(stream) for task_id, stream in recorded.items() if stream}


def _fits(row: Row, asked: str) -> bool:
    filters: dict[str, list[str]] = {}
    for part in filter(None, asked.split("&")):
        name, _, value = part.partition("=")
        filters.setdefault(name, []).append(value)
    return all(row[name] in values for name, values in filters.items())


def _listed(row: Row) -> Row:
    error = row["error"]
    if isinstance(error, dict):
        error = {name: value for name, value in error.items() if name != "traceback"}
    return _json({**{name: row[name] for name in COLUMNS}, "error": error})


def _json(row: Row) -> Row:
    decoded: Row = orjson.loads(to_json(row))
    return decoded


def _counts(past: Mapping[UUID, Row]) -> Counter[tuple[str, object, object]]:
    return Counter(
        (field, row[field] if field != "status" else None, row["status"])
        for row in past.values()
        for field in ("status", "queue", "kind")
    )


def _counted(body: Mapping[str, Any]) -> Counter[tuple[str, object, object]]:
    assert body["total"] == sum(body["by_status"].values())
    groups = {"status": {None: body["by_status"]}, "queue": body["by_queue"], "kind": body["by_kind"]}
    return Counter(
        {
            (field, name, status): tasks
            for field, named in groups.items()
            for name, statuses in named.items()
            for status, tasks in statuses.items()
            if tasks
        }
    )


@asynccontextmanager
async def pasts(database_url: str) -> AsyncIterator[Pasts]:
    """Open a ledger with empty read models, and a client of its API."""
    async with (
        folds(database_url, as_of_looked_at_max=LOOKED_AT_MAX) as opened,
        client_of(opened.ledger) as client,
    ):
        await make_missing_live(opened.connection, STATUS_COUNTS)
        yield Pasts(opened, client)
