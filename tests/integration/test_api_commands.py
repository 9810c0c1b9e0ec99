"""POST /tasks/{id}/cancel and /retry: what a task's state allows is done, the rest is a conflict."""

from uuid import UUID

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.store.records import Origin
from tests.integration.api_given import UNKNOWN_ID, assert_problem, submitted


async def test_a_pending_task_is_cancelled_at_once(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)

    response = await client.post(
        f"/tasks/{task_id}/cancel", json={"reason": "called off"}, headers={"X-Correlation-Id": "call-9"}
    )

    assert response.status_code == 202
    assert response.json() == {
        "task_id": task_id, "status": "CANCELLED", "version": 2, "cancel_requested": False,
    }  # fmt: skip
    event = (await ledger.store.read_stream(UUID(task_id)))[-1]
    assert int(response.headers["ledger-position"]) == event.position
    assert (event.type, event.actor, event.correlation_id) == ("task.cancelled", "client", "call-9")
    assert '"called off"' in event.data


async def test_the_worker_of_a_running_task_is_asked_once(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await _start(ledger, task_id)

    first = await client.post(f"/tasks/{task_id}/cancel")
    again = await client.post(f"/tasks/{task_id}/cancel")

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert (first.json()["status"], first.json()["cancel_requested"]) == ("RUNNING", True)
    assert "ledger-position" not in again.headers
    assert len(await ledger.store.read_stream(UUID(task_id))) == 3


async def test_cancelling_a_finished_task_is_too_late(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await _complete(ledger, task_id)

    response = await client.post(f"/tasks/{task_id}/cancel")

    assert_problem(response, 409, f"cannot cancel task {task_id}: it is COMPLETED")
    assert response.json()["reason"] == "too_late"
    assert (response.json()["task_id"], response.json()["task_status"]) == (task_id, "COMPLETED")
    assert len(await ledger.store.read_stream(UUID(task_id))) == 3


async def test_a_finished_task_is_driven_again(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await _complete(ledger, task_id)

    response = await client.post(f"/tasks/{task_id}/retry", json={"reason": "with new data"})

    assert response.status_code == 202
    assert (response.json()["status"], response.json()["version"]) == ("PENDING", 4)
    assert (await client.get(f"/tasks/{task_id}/status")).json()["result"] is None


async def test_a_task_that_is_not_finished_is_not_driven_again(client: httpx.AsyncClient) -> None:
    task_id = await submitted(client)

    response = await client.post(f"/tasks/{task_id}/retry")

    assert_problem(response, 409, f"cannot retry task {task_id}: it is PENDING")


@pytest.mark.parametrize("command", ["cancel", "retry"])
async def test_a_command_on_a_task_that_is_not_there_says_so(client: httpx.AsyncClient, command: str) -> None:
    assert_problem(await client.post(f"/tasks/{UNKNOWN_ID}/{command}"), 404, "Task not found")
    assert_problem(await client.post(f"/tasks/nonsense/{command}"), 400, "Invalid Task ID format")


BAD_REASONS = {
    b"[]": "it must be a JSON object",
    b"{": "invalid JSON",
    b'{"reason":5}': "reason must be a string, got 5",
    b'{"reason":null}': "reason must be a string, got None",
    b'{"why":"x"}': "unknown field: why",
    rb'{"reason":"\u0000"}': "reason must be text without NUL characters",
    b'{"reason":"%s"}' % (b"x" * 1001): "reason must be at most 1000 characters",
    rb'{"reason":"\ud800"}': "invalid JSON",
}


async def test_every_bad_body_of_a_command_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client)

    for body, sentence in BAD_REASONS.items():
        response = await client.post(f"/tasks/{task_id}/cancel", content=body)
        assert_problem(response, 400, f"Invalid request body: {sentence}")
    too_large = await client.post(f"/tasks/{task_id}/cancel", content=b" " * (ledger.settings.body_bytes_max + 1))
    assert_problem(too_large, 413, "The request body must be at most")
    assert len(await ledger.store.read_stream(UUID(task_id))) == 1


async def _start(ledger: Ledger, task_id: str) -> None:
    await ledger.commands.decide(
        UUID(task_id),
        lambda task: task.trigger_event(task.Started, timestamp=ledger.clock.now(), attempt=1, worker_id="w"),
        origin=Origin(actor="worker:w"),
    )


async def _complete(ledger: Ledger, task_id: str) -> None:
    await _start(ledger, task_id)
    await ledger.commands.decide(
        UUID(task_id),
        lambda task: task.complete(attempt=1, result="done", now=ledger.clock.now()),
        origin=Origin(actor="worker:w"),
    )
