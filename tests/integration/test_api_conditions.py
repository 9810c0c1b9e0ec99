"""A client reads what it has written, and is not told again what it knows."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.store.records import StaleWrite
from tests.integration.api_given import assert_problem, opened_api, submitted
from tests.integration.given import caught_up, started


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, read_model_wait_seconds_max=0.1) as api:
        yield api


async def test_a_task_that_the_read_model_has_older_is_read_as_new_as_asked_for(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client)
    await caught_up(ledger)
    cancelled = await client.post(f"/tasks/{task_id}/cancel")
    written = {"Ledger-Min-Position": cancelled.headers["ledger-position"]}

    for path in (f"/tasks/{task_id}", f"/tasks/{task_id}/status"):
        anyhow = await client.get(path)
        current = await client.get(path, headers=written)

        assert (anyhow.json()["status"], current.json()["status"]) == ("PENDING", "CANCELLED")
        assert current.headers["ledger-position"] == cancelled.headers["ledger-position"]


async def test_a_list_has_what_was_written_or_says_how_far_it_is(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await client.post("/tasks", json={"input": 1})
    await caught_up(ledger)
    second = await client.post("/tasks", json={"input": 2})
    position = int(second.headers["ledger-position"])
    written = {"Ledger-Min-Position": str(position)}

    behind = await client.get("/tasks", headers=written)
    await caught_up(ledger)
    listed = await client.get("/tasks", headers=written)

    assert_problem(behind, 503, "The read model is at position")
    assert behind.json()["position_min"] == position
    assert behind.json()["position"] == int(first.headers["ledger-position"])
    assert behind.headers["retry-after"] == "1"
    assert listed.json()["tasks"][0]["task_id"] == second.json()["task_id"]


@pytest.mark.parametrize("position", ["-1", "1.5", "soon", "9223372036854775808", "0x1"])
async def test_a_position_that_is_none_is_refused(client: httpx.AsyncClient, position: str) -> None:
    response = await client.get("/tasks", headers={"Ledger-Min-Position": position})

    assert_problem(response, 400, "Invalid request header: Ledger-Min-Position must be a position")


@pytest.mark.parametrize("view", ["", "/status"])
async def test_what_the_client_has_is_not_sent_again(client: httpx.AsyncClient, ledger: Ledger, view: str) -> None:
    path = f"/tasks/{await submitted(client)}{view}"
    tag = (await client.get(path)).headers["etag"]

    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    await caught_up(ledger)
    assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304

    await started(ledger, UUID(path.split("/")[2]))
    changed = await client.get(path, headers={"If-None-Match": tag, "Ledger-Min-Position": str(10**6)})

    assert (changed.status_code, changed.json()["status"]) == (200, "RUNNING")
    assert changed.headers["etag"] != tag


async def test_a_late_write_changes_the_tag_of_the_task_that_shows_it(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client)
    tag = (await client.get(f"/tasks/{task_id}")).headers["etag"]
    await ledger.store.record_stale_write(
        StaleWrite(
            task_id=UUID(task_id), type="task.completed", attempt=1, current_attempt=2, status="FAILED",
            worker_id="w", data="{}", occurred_at=ledger.clock.now(),
        )
    )  # fmt: skip

    shown = await client.get(f"/tasks/{task_id}", headers={"If-None-Match": tag})
    status = await client.get(f"/tasks/{task_id}/status", headers={"If-None-Match": tag})

    assert (shown.status_code, status.status_code) == (200, 304)
    assert len(shown.json()["stale_writes"]) == 1
