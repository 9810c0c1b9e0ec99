"""GET /tasks/{id}/explain and `taskledger task explain` collect their facts from wherever a task may be stuck."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.queries import query
from ledger.relay import Relay
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api, submitted
from tests.integration.commands_given import answer_of
from tests.integration.given import CLIENT, caught_up, eventually, execute, fetch, started


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, reconcile_after_seconds=1) as api:
        yield api


async def test_what_holds_a_ready_task_up_is_told_in_the_order_in_which_it_is_overcome(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first, second = [await submitted(client) for _ in range(2)]

    at_first = await _codes(client, second)
    await Relay(ledger, MemoryBroker()).run_once()
    published = await _codes(client, second)
    await _worker(ledger)
    await caught_up(ledger)
    served = await _codes(client, second)

    assert at_first == ["not_published", "no_worker"]
    assert published == ["no_worker"]
    assert served == ["behind_others"]
    assert await _codes(client, first) == ["on_its_way"]


async def test_a_task_that_waits_for_others_names_those_that_have_not_completed(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    pending, running, done = [await submitted(client) for _ in range(3)]
    await started(ledger, UUID(running))
    attempt = await started(ledger, UUID(done))
    await ledger.commands.decide(
        UUID(done), lambda task: task.complete(attempt=attempt, result=1, now=ledger.clock.now()), origin=CLIENT
    )

    for_three = (
        await client.get(f"/tasks/{await submitted(client, after=[running, pending, done])}/explain")
    ).json()
    for_done = (await client.get(f"/tasks/{await submitted(client, after=[done])}/explain")).json()
    for_time = await client.get(f"/tasks/{await submitted(client, after=[done], delay_s=3600)}/explain")

    unfinished = {running: "RUNNING", pending: "PENDING"}
    names = f"{running} (RUNNING), {pending} (PENDING)"
    assert for_three["summary"] == f"It waits for tasks that have not completed: {names}."
    assert for_three["because"][0]["code"] == "after"
    assert for_three["because"][0]["parents"] == for_three["facts"]["parents"] == unfinished
    assert for_done["because"][0]["code"] == "due"
    assert for_done["because"][0]["after"] == [done]
    assert for_time.json()["because"][0]["code"] == "scheduled"


async def test_an_overtaken_task_is_told_from_one_that_waits(client: httpx.AsyncClient, ledger: Ledger) -> None:
    lost, runs = [await submitted(client) for _ in range(2)]
    await Relay(ledger, MemoryBroker()).run_once()
    await _worker(ledger)
    await started(ledger, UUID(runs))
    await caught_up(ledger)
    statement = "UPDATE projections.task_status SET created_at = created_at + $2::interval WHERE task_id = $1"
    await execute(ledger, statement, UUID(runs), timedelta(minutes=1))

    async def is_overtaken() -> bool:
        return (await _codes(client, lost))[0] == "overtaken"

    await eventually(is_overtaken, what="the task is overdue")


async def test_a_running_task_shows_its_worker_and_its_last_beat(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    worker_id = await _worker(ledger)
    task_id = await submitted(client, timeout_s=60)
    await started(ledger, UUID(task_id), worker_id=worker_id)
    await client.post(f"/tasks/{task_id}/cancel", json={"reason": "wrong"})

    explained = (await client.get(f"/tasks/{task_id}/explain")).json()

    assert (explained["task_id"], explained["status"]) == (task_id, "RUNNING")
    assert explained["summary"] == explained["because"][0]["sentence"]
    running, alive, cancel = explained["because"]
    assert (running["code"], running["worker_id"], running["attempt"]) == ("running", str(worker_id), 1)
    assert _moment(running["deadline"]) - _moment(running["since"]) == timedelta(seconds=60)
    assert (alive["code"], cancel["code"], cancel["actor"]) == ("worker_alive", "cancel_requested", "client")
    assert explained["facts"]["owner"]["name"] == "w"


async def test_a_task_of_a_worker_that_never_enrolled_is_explained(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client)
    await started(ledger, UUID(task_id), worker_id="nobody")

    assert await _codes(client, task_id) == ["running", "worker_unknown"]


async def test_a_cancelled_task_shows_who_cancelled_it_and_why(client: httpx.AsyncClient) -> None:
    task_id = await submitted(client)
    await client.post(f"/tasks/{task_id}/cancel", json={"reason": "called off"})

    (reason,) = (await client.get(f"/tasks/{task_id}/explain")).json()["because"]

    assert (reason["code"], reason["actor"], reason["reason"]) == ("cancelled", "client", "called off")


async def test_a_task_that_is_not_there_cannot_be_explained(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get(f"/tasks/{UNKNOWN_ID}/explain"), 404, "Task not found")
    assert_problem(await client.get("/tasks/nonsense/explain"), 400, "Invalid Task ID format")


async def test_the_command_says_what_the_api_says(client: httpx.AsyncClient, database_url: str) -> None:
    task_id = await submitted(client, delay_s=3600)

    words = (await _command(database_url, task_id))[1]
    answer = answer_of((await _command(database_url, task_id, "--json"))[1])
    unknown = (await _command(database_url, UNKNOWN_ID))[0]

    assert words.startswith(f"{task_id} PENDING\n  scheduled: It waits until ")
    assert answer["because"] == (await client.get(f"/tasks/{task_id}/explain")).json()["because"]
    assert unknown == 3


async def _codes(client: httpx.AsyncClient, task_id: str) -> list[str]:
    response = await client.get(f"/tasks/{task_id}/explain")
    assert response.status_code == 200, response.text
    return [reason["code"] for reason in response.json()["because"]]


async def _worker(ledger: Ledger, *, queues: Sequence[str] = ("default",)) -> UUID:
    worker_id: UUID = uuid7()
    await fetch(ledger, query("register_worker"), worker_id, "w", list(queues), 50)
    return worker_id


async def _command(database_url: str, *arguments: str) -> tuple[int | None, str]:
    command = [sys.executable, "-m", "api", "task", "explain", "--database-url", database_url, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
