"""GET /tasks/{id} and below: a task is found as soon as its submit was answered, and told as the seed told it."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.commands import Decision
from ledger.store.records import Origin, StaleWrite
from ledger.task import Task
from ledger.task_words import Cause, TaskError
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api, submitted

WORKER = Origin(actor="worker:1")
APPEND_UNKNOWN = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    VALUES ($1, 2, 'task.dreamt', 1, 'default', 'default', '{}', now(), 'client', 'c')
"""
GO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z")


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=100) as api:
        yield api


async def test_a_task_without_a_read_model_has_a_status_in_the_seeds_shape(client: httpx.AsyncClient) -> None:
    task_id = await submitted(client, input={"n": 1})

    response = await client.get(f"/tasks/{task_id}/status")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    status = response.json()
    assert list(status) == ["task_id", "status", "input", "result", "created_at", "updated_at"]
    assert (status["task_id"], status["status"], status["input"]) == (task_id, "PENDING", {"n": 1})
    assert status["result"] is None
    assert GO_TIME.fullmatch(status["created_at"])
    assert status["updated_at"] == status["created_at"]


async def test_a_completed_task_has_its_result_and_was_updated_after_it_was_created(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client)
    await _run(
        ledger, task_id, lambda task: task.complete(attempt=1, result={"text": "done"}, now=ledger.clock.now())
    )

    status = (await client.get(f"/tasks/{task_id}/status")).json()

    assert (status["status"], status["result"]) == ("COMPLETED", {"text": "done"})
    assert datetime.fromisoformat(status["updated_at"]) > datetime.fromisoformat(status["created_at"])


async def test_a_failed_task_has_the_errors_message_as_its_result(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client, max_attempts=1)
    await _fail(ledger, task_id)

    status = (await client.get(f"/tasks/{task_id}/status")).json()

    assert (status["status"], status["result"]) == ("FAILED", "no such file")


async def test_a_task_that_will_be_tried_again_has_no_result_yet(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client, max_attempts=2)
    await _fail(ledger, task_id)

    status = (await client.get(f"/tasks/{task_id}/status")).json()

    assert (status["status"], status["result"]) == ("PENDING", None)


async def test_everything_known_of_a_task_is_shown_with_the_writes_that_were_refused(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client, tags=["a"], max_attempts=1)
    await _fail(ledger, task_id)
    await ledger.store.record_stale_write(
        StaleWrite(
            task_id=UUID(task_id), type="task.completed", attempt=1, current_attempt=2, status="FAILED",
            worker_id="w", data='{"result": 1}', occurred_at=ledger.clock.now(),
        )
    )  # fmt: skip

    task = (await client.get(f"/tasks/{task_id}")).json()

    assert (task["task_id"], task["status"], task["version"], task["tags"]) == (task_id, "FAILED", 3, ["a"])
    assert (task["attempt"], task["failures"], task["worker_id"], task["cause"]) == (1, 1, "w", "error")
    assert task["error"] == {"type": "OSError", "message": "no such file", "traceback": "line 1"}
    assert (task["input"], task["result"], task["ready"], task["ready_at"]) == ("hello", None, False, None)
    assert task["correlation_id"] == task_id
    (refused,) = task["stale_writes"]
    assert (refused["type"], refused["attempt"], refused["current_attempt"]) == ("task.completed", 1, 2)
    assert refused["data"] == {"result": 1}


async def test_a_ready_task_shows_since_when_it_is_ready(client: httpx.AsyncClient) -> None:
    task = (await client.get(f"/tasks/{await submitted(client)}")).json()

    assert task["ready"] is True
    assert task["ready_at"] == task["created_at"]


async def test_the_history_shows_every_event_with_its_envelope(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await _fail(ledger, task_id)

    history = (await client.get(f"/tasks/{task_id}/events")).json()

    assert history["next_after_version"] is None
    first, second, third = history["events"]
    assert [first["type"], second["type"], third["type"]] == ["task.submitted", "task.started", "task.failed"]
    assert list(first) == [
        "id", "position", "task_id", "version", "type", "schema_version", "kind", "queue", "data",
        "occurred_at", "recorded_at", "actor", "correlation_id", "causation_id", "traceparent",
    ]  # fmt: skip
    assert (first["id"], first["version"], first["actor"]) == (f"{task_id}:1", 1, "client")
    assert first["data"]["input"] == "hello"
    assert second["actor"] == "worker:1"
    assert first["position"] < second["position"] < third["position"]
    assert GO_TIME.fullmatch(first["recorded_at"])


async def test_a_long_history_is_read_page_by_page(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await _fail(ledger, task_id)

    first = (await client.get(f"/tasks/{task_id}/events?limit=2")).json()
    last = (
        await client.get(f"/tasks/{task_id}/events?limit=2&after_version={first['next_after_version']}")
    ).json()
    beyond = (await client.get(f"/tasks/{task_id}/events?after_version=3")).json()

    assert [event["version"] for event in first["events"]] == [1, 2]
    assert [event["version"] for event in last["events"]] == [3]
    assert last["next_after_version"] is None
    assert beyond == {"events": [], "next_after_version": None}


async def test_an_event_that_this_release_does_not_know_spoils_only_its_own_task(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    spoilt, sound = await submitted(client), await submitted(client)
    async with ledger.database.connection() as connection:
        await connection.execute(APPEND_UNKNOWN, UUID(spoilt))

    answers = await asyncio.gather(*(client.get(f"/tasks/{task_id}/status") for task_id in (spoilt, sound)))

    assert_problem(answers[0], 500, "Internal server error")
    assert answers[1].json()["task_id"] == sound
    assert (await client.get(f"/tasks/{spoilt}/events")).json()["events"][1]["type"] == "task.dreamt"


async def test_a_history_is_cut_where_it_has_as_much_data_as_an_answer_may(database_url: str) -> None:
    async with opened_api(database_url, search_bytes_max=2000) as (_, client):
        task_id = await submitted(client, input="x" * 1500)
        await client.post(f"/tasks/{task_id}/cancel", json={"reason": "y" * 900})
        await client.post(f"/tasks/{task_id}/retry", json={"reason": "z" * 900})
        pages = [(await client.get(f"/tasks/{task_id}/events")).json()]
        while (after := pages[-1]["next_after_version"]) is not None:
            pages.append((await client.get(f"/tasks/{task_id}/events?after_version={after}")).json())

    assert [[event["version"] for event in page["events"]] for page in pages] == [[1, 2], [3]]


@pytest.mark.parametrize("below", ["", "/status", "/events", "/events?after_version=5"])
async def test_a_task_that_nobody_submitted_is_not_found(client: httpx.AsyncClient, below: str) -> None:
    assert_problem(await client.get(f"/tasks/{UNKNOWN_ID}{below}"), 404, "Task not found")


@pytest.mark.parametrize("task_id", ["nonsense", "123", "%00", "%FF", UNKNOWN_ID[:-1], f"{UNKNOWN_ID}0"])
async def test_an_id_that_is_no_uuid_is_refused(client: httpx.AsyncClient, task_id: str) -> None:
    for below in ("", "/status", "/events"):
        assert_problem(await client.get(f"/tasks/{task_id}{below}"), 400, "Invalid Task ID format")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("limit=0", "limit must be at least 1"),
        ("limit=101", "limit must be at most 100, got 101"),
        ("limit=ten", "limit must be an integer, got 'ten'"),
        ("limit=99999999999999999999999", "limit must be at most 100"),
        ("after_version=-1", "after_version must be at least 0"),
        ("after_version=2147483648", "after_version must be at most 2147483647"),
        ("before=1", "unknown field: before"),
    ],
)
async def test_a_question_about_the_history_out_of_its_bounds_is_refused(
    client: httpx.AsyncClient, asked: str, sentence: str
) -> None:
    assert_problem(
        await client.get(f"/tasks/{UNKNOWN_ID}/events?{asked}"), 400, f"Invalid request query: {sentence}"
    )


async def _fail(ledger: Ledger, task_id: str) -> None:
    error = TaskError("OSError", "no such file", "line 1")
    await _run(
        ledger,
        task_id,
        lambda task: task.fail(
            attempt=1, error=error, cause=Cause.ERROR, now=ledger.clock.now(), retry_delay_seconds=60
        ),
    )


async def _run(ledger: Ledger, task_id: str, outcome: Decision) -> None:
    for decision in (lambda task: _start(task, ledger), outcome):
        await ledger.commands.decide(UUID(task_id), decision, origin=WORKER)


def _start(task: Task, ledger: Ledger) -> None:
    task.start(worker_id="w", now=ledger.clock.now())
