"""A task as of a moment or a version: what its stream said by then, over HTTP and on a terminal."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from typer.testing import CliRunner

from api.cli import app
from api.json_response import timestamp
from ledger.bootstrap import Ledger
from ledger.exit_codes import ExitCode
from ledger.store.records import Origin, RecordedEvent, StaleWrite
from ledger.task import Task
from ledger.task_words import Cause, TaskError
from tests.integration.api_given import UNKNOWN_ID, assert_problem
from tests.integration.commands_given import answer_of
from tests.integration.given import caught_up, started, submitted

LEAST = timedelta(microseconds=1)
PAST = "2026-01-01T00:00:00Z"
BAD_PASTS = {
    "as_of=yesterday": "as_of must be an RFC 3339 time with its offset",
    "as_of=2026-01-01T00:00:00": "as_of must be an RFC 3339 time with its offset",
    "as_of=2999-01-01T00:00:00Z": "as_of must be at most 2",
    "as_of_version=0": "as_of_version must be at least 1, got '0'",
    "as_of_version=2147483648": "as_of_version must be at most 2147483647",
    "as_of_version=4": "as_of_version must be at most 3, the version that the task is at, got 4",
    f"as_of={PAST}&as_of_version=1": "as_of and as_of_version must not both be given",
}
BAD_INTERVALS = {
    "": "from is required",
    "from=now": "from must be an RFC 3339 time with its offset",
    f"from=2026-01-02T00:00:00Z&to={PAST}": f"from must be at most {PAST} (to), got '2026-01-02T00:00:00Z'",
    f"from={PAST}&to=2999-01-01T00:00:00Z": "to must be at most 2",
    f"from={PAST}&until={PAST}": "unknown field: until",
}


async def test_a_task_is_shown_as_each_event_left_it_until_the_next(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    task_id, events = await _lived(ledger)
    await caught_up(ledger)
    ends = [*(event.recorded_at - LEAST for event in events[1:]), await ledger.store.database_time()]

    by_version = [await _shown(client, task_id, f"as_of_version={event.version}") for event in events]
    at_once = [await _shown(client, task_id, _as_of(event.recorded_at)) for event in events]
    until_the_next = [await _shown(client, task_id, _as_of(moment)) for moment in ends]

    assert [shown["status"] for shown in by_version] == ["PENDING", "RUNNING", "PENDING"]
    assert [shown["version"] for shown in by_version] == [1, 2, 3]
    assert at_once == by_version
    assert until_the_next == by_version
    assert by_version[-1] == (await client.get(f"/tasks/{task_id}")).json()


async def test_the_status_keeps_its_shape_as_of_a_moment(ledger: Ledger, client: httpx.AsyncClient) -> None:
    task_id, events = await _lived(ledger)

    then = (await client.get(f"/tasks/{task_id}/status?{_as_of(events[1].recorded_at)}")).json()

    assert list(then) == ["task_id", "status", "input", "result", "created_at", "updated_at"]
    assert (then["status"], then["updated_at"]) == ("RUNNING", timestamp(events[1].recorded_at))


async def test_a_write_that_was_refused_later_is_not_shown_as_of_before(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    task_id, events = await _lived(ledger)
    await ledger.store.record_stale_write(
        StaleWrite(
            task_id=task_id, type="task.completed", attempt=1, current_attempt=2, status="PENDING",
            worker_id="w", data="{}", occurred_at=ledger.clock.now(),
        )
    )  # fmt: skip

    before = await _shown(client, task_id, _as_of(events[-1].recorded_at))
    now = await _shown(client, task_id, "as_of_version=3")

    assert (len(before["stale_writes"]), len(now["stale_writes"])) == (0, 1)


async def test_a_task_is_not_found_as_of_before_its_submission(ledger: Ledger, client: httpx.AsyncClient) -> None:
    task_id, events = await _lived(ledger)
    before = _as_of(events[0].recorded_at - LEAST)

    for path in (
        f"/tasks/{task_id}?{before}",
        f"/tasks/{task_id}/status?{before}",
        f"/tasks/{UNKNOWN_ID}?{before}",
    ):
        assert_problem(await client.get(path), 404, "Task not found")
    assert_problem(await client.get(f"/tasks/{UNKNOWN_ID}?as_of_version=1"), 404, "Task not found")
    assert_problem(await client.get(f"/tasks/{UNKNOWN_ID}/diff?from={PAST}"), 404, "Task not found")


async def test_a_past_that_cannot_be_is_refused_with_its_bound(ledger: Ledger, client: httpx.AsyncClient) -> None:
    task_id, _ = await _lived(ledger)

    for asked, sentence in BAD_PASTS.items():
        for path in (f"/tasks/{task_id}?{asked}", f"/tasks/{task_id}/status?{asked}"):
            assert_problem(await client.get(path), 400, f"Invalid request query: {sentence}")


async def test_a_diff_names_the_fields_that_changed_and_no_other(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    task_id, events = await _lived(ledger)
    first, second = (event.recorded_at for event in events[:2])

    diff = (await client.get(f"/tasks/{task_id}/diff?from={timestamp(first)}&to={timestamp(second)}")).json()

    assert diff["from"] == {"as_of": timestamp(first), "version": 1}
    assert diff["to"] == {"as_of": timestamp(second), "version": 2}
    assert set(diff["changes"]) == {
        "version", "position", "status", "attempt", "worker_id", "ready", "ready_at", "started_at", "updated_at",
    }  # fmt: skip
    assert diff["changes"]["status"] == {"from": "PENDING", "to": "RUNNING"}


async def test_a_diff_from_before_the_submission_has_every_field(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    task_id, events = await _lived(ledger)
    before = timestamp(events[0].recorded_at - LEAST)

    diff = (await client.get(f"/tasks/{task_id}/diff?from={before}")).json()
    same = (await client.get(f"/tasks/{task_id}/diff?from={diff['to']['as_of']}")).json()

    assert (diff["from"]["version"], diff["to"]["version"]) == (0, 3)
    assert diff["changes"]["kind"] == {"from": None, "to": "default"}
    assert same["changes"] == {}


async def test_a_diff_of_moments_that_cannot_be_is_refused(client: httpx.AsyncClient) -> None:
    for asked, sentence in BAD_INTERVALS.items():
        answer = await client.get(f"/tasks/{UNKNOWN_ID}/diff?{asked}")
        assert_problem(answer, 400, f"Invalid request query: {sentence}")


async def test_a_terminal_shows_what_the_api_answers(
    ledger: Ledger, client: httpx.AsyncClient, database_url: str
) -> None:
    task_id, events = await _lived(ledger)
    first, second = (timestamp(event.recorded_at) for event in events[:2])

    words = await _task(database_url, "show", str(task_id), "--as-of", second)
    by_version = await _task(database_url, "show", str(task_id), "--version", "2", "--json")
    diff = await _task(database_url, "diff", str(task_id), "--from", first, "--to", second)
    refused = await _task(database_url, "show", str(task_id), "--version", "9", code=ExitCode.USAGE)

    assert "status            RUNNING\n" in words
    assert answer_of(by_version) == await _shown(client, task_id, "as_of_version=2")
    assert "status            PENDING → RUNNING\n" in diff
    assert "as_of_version must be at most 3" in refused


async def _lived(ledger: Ledger) -> tuple[UUID, Sequence[RecordedEvent]]:
    [task_id] = await submitted(ledger)
    await started(ledger, task_id)
    await ledger.commands.decide(task_id, lambda task: _fail(ledger, task), origin=Origin(actor="worker:w"))
    return task_id, await ledger.store.read_stream(task_id)


def _fail(ledger: Ledger, task: Task) -> None:
    error = TaskError(type="ValueError", message="no")
    now = ledger.clock.now()
    task.fail(attempt=task.attempt, error=error, cause=Cause.ERROR, now=now, retry_delay_seconds=60.0)


async def _shown(client: httpx.AsyncClient, task_id: UUID, asked: str) -> dict[str, Any]:
    response = await client.get(f"/tasks/{task_id}?{asked}")
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


def _as_of(moment: datetime) -> str:
    return f"as_of={timestamp(moment)}"


async def _task(database_url: str, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    """Run the command and return everything that it prints."""
    command = ["task", *arguments, "--database-url", database_url]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)  # it runs a loop of its own
    assert result.exit_code == code, result.output
    return result.output
