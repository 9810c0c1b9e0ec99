"""The whole ledger as of a moment, and between two: counts, lists and moves, over HTTP and on a terminal."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from typer.testing import CliRunner

from api.cli import app
from api.json_response import timestamp
from ledger.bootstrap import Ledger
from ledger.codec import encode_pending
from ledger.exit_codes import ExitCode
from ledger.specification import TaskSpecification
from ledger.store.records import NewEvent
from ledger.task import Task
from projections.generation import make_missing_live
from projections.status_counts import STATUS_COUNTS
from tests.integration.api_given import assert_problem, opened_api
from tests.integration.commands_given import answer_of
from tests.integration.given import CLIENT, caught_up, execute, fetch, started, submitted

LEAST = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
PAST = "2026-01-01T00:00:00Z"
RECORD = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
                               actor, correlation_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'client', 'c')
"""
BAD_QUESTIONS = {
    "/ledger?as_of=yesterday": "as_of must be an RFC 3339 time with its offset",
    "/ledger?as_of=2026-01-01T00:00:00": "as_of must be an RFC 3339 time with its offset",
    "/ledger?as_of=2999-01-01T00:00:00Z": "as_of must be at most 2",
    "/ledger?at=now": "unknown field: at",
    "/ledger/diff": "from is required",
    f"/ledger/diff?from=2026-01-02T00:00:00Z&to={PAST}": f"from must be at most {PAST} (to), got '2026-01-02",
    f"/ledger/diff?from={PAST}&to=2999-01-01T00:00:00Z": "to must be at most 2",
    "/tasks?as_of=2999-01-01T00:00:00Z": "as_of must be at most 2",
    "/tasks?as_of=now": "as_of must be an RFC 3339 time with its offset",
}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, as_of_seconds_max=5) as api:
        yield api


async def test_positions_out_of_the_order_of_their_times_do_not_decide(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    begun = await ledger.store.database_time() - 60 * HOUR
    lives = [[begun + n * HOUR + k * timedelta(hours=5, seconds=n) for k in range(3)] for n in range(40)]
    # Each event stands up to half a minute before or behind the place that its time would give it.
    await _record(ledger, lives, out_of_order=timedelta(seconds=30), gaps=10_000)
    await caught_up(ledger)

    for moment in [life[n % 3] + beside for n, life in enumerate(lives) for beside in (-LEAST, timedelta())][::5]:
        seen = [sum(time <= moment for time in life) for life in lives]
        counts = (await _get(client, f"/ledger?as_of={timestamp(moment)}"))["by_status"]
        running = (await _get(client, f"/tasks?as_of={timestamp(moment)}&status=RUNNING"))["tasks"]
        assert [counts[status] for status in ("PENDING", "RUNNING", "COMPLETED")] == [
            seen.count(events) for events in (1, 2, 3)
        ]
        assert [task["version"] for task in running] == [2] * seen.count(2)


async def test_a_ledger_of_which_nothing_is_folded_yet_is_counted_from_its_streams(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    [running, _] = await submitted(ledger, 2)
    await started(ledger, running)
    async with ledger.database.connection() as connection:
        await make_missing_live(connection, STATUS_COUNTS)

    now = await _get(client, "/ledger")

    assert now["total"] == 2
    assert (now["by_status"]["PENDING"], now["by_status"]["RUNNING"], now["by_status"]["FAILED"]) == (1, 1, 0)
    assert now["by_queue"]["default"] == now["by_status"] == now["by_kind"]["default"]
    assert now["settled"] is True


async def test_a_past_without_a_read_model_is_unavailable_for_now(client: httpx.AsyncClient) -> None:
    for path, name in (
        ("/ledger", "status_counts"),
        (f"/tasks?as_of={PAST}", "task_status"),
        (f"/ledger/diff?from={PAST}", "status_counts"),
    ):
        response = await client.get(path)
        assert_problem(response, 503, f"the read model {name} does not exist")
        assert response.headers["retry-after"] == "1"


async def test_a_moment_is_not_settled_while_somebody_may_still_commit_into_it(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await _record(ledger, [[await ledger.store.database_time() - HOUR]])
    await caught_up(ledger)
    async with ledger.database.connection() as connection, connection.transaction():
        specification = TaskSpecification(input=1)
        await ledger.commands.submit(specification, origin=CLIENT, connection=connection)
        moment = timestamp(await ledger.store.database_time())

        before = await _get(client, f"/ledger?as_of={moment}")
        long_before = await _get(client, f"/ledger?as_of={timestamp(datetime.now(UTC) - 2 * HOUR)}")
    after = await _get(client, f"/ledger?as_of={moment}")

    assert (before["settled"], before["total"]) == (False, 1)
    assert (long_before["settled"], long_before["total"]) == (True, 0)
    assert (after["settled"], after["total"]) == (True, 2)


async def test_a_diff_counts_both_moments_and_who_moved(ledger: Ledger, client: httpx.AsyncClient) -> None:
    begun = await ledger.store.database_time() - 10 * HOUR
    lives = [
        [begun, begun + HOUR, begun + 2 * HOUR],
        [begun, begun + HOUR],
        [begun + HOUR, begun + 4 * HOUR],
        [begun + 3 * HOUR],
        [begun + 5 * HOUR],
    ]
    await _record(ledger, lives)
    await caught_up(ledger)
    since, until = timestamp(begun + 1.5 * HOUR), timestamp(begun + 4.5 * HOUR)

    diff = await _get(client, f"/ledger/diff?from={since}&to={until}")

    assert {**diff["from"]["by_status"]} == {
        "PENDING": 1, "RUNNING": 2, "COMPLETED": 0, "FAILED": 0, "CANCELLED": 0,
    }  # fmt: skip
    assert diff["to"]["total"] == 4
    assert diff["changed"] == 3
    assert diff["moved"] == [
        {"from": None, "to": "PENDING", "tasks": 1},
        {"from": "PENDING", "to": "RUNNING", "tasks": 1},
        {"from": "RUNNING", "to": "COMPLETED", "tasks": 1},
    ]
    for end in ("from", "to"):
        then = await _get(client, f"/ledger?as_of={diff[end]['as_of']}")
        assert {name: then[name] for name in diff[end]} == diff[end]


async def test_pages_of_the_past_do_not_change_and_have_cursors_of_their_own(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    tasks = await submitted(ledger, 5)
    await caught_up(ledger)
    asked = f"/tasks?as_of={timestamp(await ledger.store.database_time())}&limit=3&status=PENDING"

    first = await _get(client, asked)
    await submitted(ledger)
    for task_id in tasks:
        await started(ledger, task_id)
    await caught_up(ledger)
    second = await _get(client, f"{asked}&cursor={first['next_cursor']}")
    of_the_present = await client.get(f"/tasks?limit=3&status=PENDING&cursor={first['next_cursor']}")

    assert [UUID(task["task_id"]) for task in (*first["tasks"], *second["tasks"])] == tasks[::-1]
    assert second["next_cursor"] is None
    assert_problem(of_the_present, 400, "Invalid request query: cursor must be a next_cursor of this list")


async def test_a_moment_that_cannot_be_is_refused_with_its_bound(client: httpx.AsyncClient) -> None:
    for path, sentence in BAD_QUESTIONS.items():
        assert_problem(await client.get(path), 400, f"Invalid request query: {sentence}")


async def test_a_moment_that_cannot_be_reached_in_time_is_told_so(database_url: str) -> None:
    async with opened_api(database_url, as_of_seconds_max=0.25) as (ledger, client):
        await submitted(ledger)
        await caught_up(ledger)
        async with ledger.database.connection() as other, other.transaction():
            await other.execute("LOCK TABLE ledger.events")

            late = await client.get(f"/tasks?as_of={PAST}")

        assert_problem(late, 503, f"What was recorded since {PAST} could not be gone through within 0.25 seconds")
        assert (await client.get(f"/tasks?as_of={PAST}")).json() == {"tasks": [], "next_cursor": None}


async def test_the_apis_role_may_ask_for_the_past(ledger: Ledger, database_url: str) -> None:
    [task_id] = await submitted(ledger)
    await caught_up(ledger)
    moment = timestamp(await ledger.store.database_time())

    async with opened_api(f"{database_url}?role=ledger_api") as (as_api, client):
        assert [row["current_user"] for row in await fetch(as_api, "SELECT current_user")] == ["ledger_api"]
        for path in (
            f"/ledger?as_of={moment}",
            f"/tasks?as_of={moment}",
            f"/ledger/diff?from={moment}",
            f"/tasks/{task_id}?as_of={moment}",
            f"/tasks/{task_id}/diff?from={moment}",
        ):
            await _get(client, path)


async def test_a_terminal_shows_the_past_as_the_api_answers_it(
    ledger: Ledger, client: httpx.AsyncClient, database_url: str
) -> None:
    begun = await ledger.store.database_time() - 10 * HOUR
    await _record(ledger, [[begun, begun + HOUR, begun + 2 * HOUR]])
    await caught_up(ledger)
    since, until = timestamp(begun), timestamp(begun + HOUR)

    counts = await _ledger(database_url, "show", "--as-of", until)
    counts_json = await _ledger(database_url, "show", "--as-of", until, "--json")
    moves = await _ledger(database_url, "diff", "--from", since, "--to", until)
    moves_json = await _ledger(database_url, "diff", "--from", since, "--to", until, "--json")
    refused = await _ledger(database_url, "show", "--as-of", "yesterday", code=ExitCode.USAGE)

    assert f"as of {until}\n" in counts
    assert "queue  default              1 RUNNING\n" in counts
    assert answer_of(counts_json) == await _get(client, f"/ledger?as_of={until}")
    assert "PENDING    1 → 0\nRUNNING    0 → 1\n" in moves
    assert "1 PENDING → RUNNING\n" in moves
    assert answer_of(moves_json) == await _get(client, f"/ledger/diff?from={since}&to={until}")
    assert "as_of must be an RFC 3339 time with its offset" in refused


async def _record(
    ledger: Ledger, lives: Sequence[Sequence[datetime]], *, out_of_order: timedelta = timedelta(), gaps: int = 0
) -> None:
    """Record tasks that were submitted, started and completed at these moments, as far as they go.

    Between two events so many positions are left out, as if transactions had drawn them in vain.
    """
    recorded = [
        (time, uuid, version, event)
        for times in lives
        for uuid, events in [_life(times[0])]
        for version, (time, event) in enumerate(zip(times, events, strict=False), 1)
    ]
    jitter = {entry[:3]: out_of_order * (number % 3 - 1) for number, entry in enumerate(recorded)}
    for time, task_id, version, event in sorted(recorded, key=lambda entry: entry[0] + jitter[entry[:3]]):
        shape = (event.type, event.schema_version, event.kind, event.queue, event.data, event.occurred_at)
        await execute(ledger, "SELECT setval('ledger.position_seq', nextval('ledger.position_seq') + $1)", gaps)
        await execute(ledger, RECORD, task_id, version, *shape, time)


def _life(submitted_at: datetime) -> tuple[UUID, Sequence[NewEvent]]:
    task_id = UUID(int=int(submitted_at.timestamp() * 1000) << 80 | secrets.randbits(74))  # as a UUIDv7 begins
    task = Task.submit(task_id, TaskSpecification(input=1), now=submitted_at)
    task.start(worker_id="w", now=submitted_at)
    task.complete(attempt=1, result=2, now=submitted_at)
    return task_id, encode_pending(task, origin=CLIENT)[1]


async def _get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def _ledger(database_url: str, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    command = ["ledger", *arguments, "--database-url", database_url]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)  # it runs a loop of its own
    assert result.exit_code == code, result.output
    return result.output
