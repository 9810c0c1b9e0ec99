"""A bulk act retries or cancels the tasks that a filter finds: those meant, each once, with the reason."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct, BulkState
from ledger.bulk_acts.chore import BulkChore
from ledger.bulk_acts.commands import BulkActs
from ledger.dead_letters.acts import DeadLetterActs, Intent
from ledger.store.records import Origin
from ledger.task_words import Status
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api
from tests.integration.dead_letters_given import fail, failed
from tests.integration.given import caught_up, started, submitted, types_of

SECOND = timedelta(seconds=1)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=3) as api:
        yield api


async def test_a_dry_run_says_how_many_and_which_and_does_nothing(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    mine = await failed(ledger, 2, queue="mail", tags=("tenant:acme",), error="OSError")
    await failed(ledger, queue="mail", tags=("tenant:acme",))
    await failed(ledger, error="OSError")

    asked: JsonValue = {"filter": {"queue": "mail", "tags": ["tenant:acme"], "error_type": "OSError"}}
    found = await client.post("/tasks/retry", json=asked)

    assert (found.status_code, found.json()["count"], found.json()["dry_run"]) == (200, 2, True)
    assert found.json()["filter"]["status"] == ["FAILED"]
    assert [UUID(one["task_id"]) for one in found.json()["sample"]] == list(reversed(mine))
    assert found.json()["sample"][0]["error_type"] == "OSError"
    assert (await client.get("/bulk-acts")).json() == {"bulk_acts": [], "next_before": None}


async def test_failed_tasks_are_retried_and_nothing_that_is_not_meant(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    mine = await failed(ledger, 3, kind="report")
    [discarded, other] = await failed(ledger, kind="report") + await failed(ledger, kind="mail")
    intent = Intent(reason="called off", origin=Origin(actor="user:bob"))
    await DeadLetterActs(ledger).discard(discarded, intent)
    [cancelled] = await submitted(ledger, kind="report")
    await ledger.commands.cancel(cancelled, reason="", origin=intent.origin)
    await caught_up(ledger)

    begun = await client.post(
        "/tasks/retry", json={"filter": {"kind": "report"}, "dry_run": False, "reason": "the disk is back"}
    )
    bulk = await _worked_off(ledger, begun)
    shown = (await client.get(begun.headers["location"])).json()

    assert (begun.status_code, shown["subject"], shown["act"], shown["state"]) == (202, "tasks", "retried", "done")
    assert (shown["count"], shown["acted"], shown["skipped"]) == (3, 3, 0)
    assert shown["filter"] == {"status": ["FAILED"], "kind": "report"}
    for task_id in mine:
        last = (await ledger.store.read_stream(task_id))[-1]
        assert (last.type, last.causation_id) == ("task.retried", f"bulk:{bulk.bulk_id}")
        assert "the disk is back" in last.data
    for task_id in (discarded, other, cancelled):
        assert "retried" not in await types_of(ledger, task_id)


async def test_tasks_are_cancelled_those_that_run_by_asking_their_worker(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    pending, running, done, asked = await submitted(ledger, 4)
    await started(ledger, running)
    await started(ledger, asked)
    await ledger.commands.cancel(asked, reason="", origin=Origin(actor="user:bob"))
    await fail(ledger, done)
    await caught_up(ledger)

    bulk = await _worked_off(ledger, await client.post("/tasks/cancel", json={"dry_run": False}))

    assert (bulk.found, bulk.acted, bulk.skipped) == (3, 2, 1)
    assert [(await types_of(ledger, one))[-1] for one in (pending, running, asked, done)] == [
        "cancelled", "cancel_requested", "cancel_requested", "failed",
    ]  # fmt: skip


async def test_only_tasks_in_the_state_that_was_meant_are_acted_upon(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    (task_id,) = await submitted(ledger)
    await caught_up(ledger)

    begun = await client.post("/tasks/cancel", json={"filter": {"status": ["PENDING"]}, "dry_run": False})
    await started(ledger, task_id)  # and the read model has not heard of it
    bulk = await _worked_off(ledger, begun)

    assert (bulk.acted, bulk.skipped) == (0, 1)
    assert (await ledger.commands.load(task_id)).status is Status.RUNNING


async def test_a_bulk_act_that_was_killed_half_way_retries_no_task_twice(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    tasks = await failed(ledger, 5)
    begun = await client.post("/tasks/retry", json={"dry_run": False, "rate_per_s": 3})
    bulk = await BulkActs(ledger).find(UUID(begun.json()["bulk_id"]))
    taken = await BulkChore(ledger).take(bulk, bulk.upto + SECOND)
    assert taken is not None
    for task_id in taken.under_way[:2]:  # and then the scheduler is killed
        await ledger.commands.retry(task_id, reason="", origin=taken.intent.origin)
        await fail(ledger, task_id)
    await caught_up(ledger)

    for seconds in range(2, 6):
        await BulkChore(ledger).run_once(bulk.upto + seconds * SECOND)
        await caught_up(ledger)

    ended = await BulkActs(ledger).find(bulk.bulk_id)
    assert (ended.state, ended.acted, ended.skipped) == (BulkState.DONE, 5, 0)
    assert [(await types_of(ledger, task_id)).count("retried") for task_id in tasks] == [1] * 5


async def test_what_is_submitted_later_is_none_of_it_and_a_limit_is_kept(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first, second = await submitted(ledger, 2)
    await caught_up(ledger)

    begun = await client.post("/tasks/cancel", json={"dry_run": False, "limit": 1, "rate_per_s": 1})
    (late,) = await submitted(ledger)
    await caught_up(ledger)
    bulk = await _worked_off(ledger, begun)

    assert (bulk.found, bulk.acted) == (1, 1)
    statuses = [(await ledger.commands.load(task_id)).status for task_id in (first, second, late)]
    assert statuses == [Status.PENDING, Status.CANCELLED, Status.PENDING]


async def test_bulk_acts_are_listed_newest_first_and_cancelled(client: httpx.AsyncClient) -> None:
    paths = ("/tasks/cancel", "/dead-letters/redrive", "/tasks/retry", "/tasks/retry")
    ids = [(await client.post(path, json={"dry_run": False})).json()["bulk_id"] for path in paths]
    cancelled = (await client.post(f"/bulk-acts/{ids[3]}/cancel")).json()

    first = (await client.get("/bulk-acts")).json()
    rest = (await client.get("/bulk-acts", params={"before": first["next_before"]})).json()
    letters = (await client.get("/bulk-acts", params={"subject": "dead_letters"})).json()
    running = (await client.get("/bulk-acts", params={"state": "running", "subject": "tasks"})).json()

    assert [one["bulk_id"] for one in (*first["bulk_acts"], *rest["bulk_acts"])] == list(reversed(ids))
    assert rest["next_before"] is None
    assert [one["bulk_id"] for one in letters["bulk_acts"]] == [ids[1]]
    assert [one["bulk_id"] for one in running["bulk_acts"]] == [ids[2], ids[0]]
    assert (cancelled["state"], cancelled["subject"]) == ("cancelled", "tasks")


async def test_what_is_not_valid_is_refused(client: httpx.AsyncClient) -> None:
    refused: dict[str, JsonValue] = {
        "filter.status.0 must be": {"filter": {"status": ["GONE"]}},
        "status must be one of COMPLETED, FAILED, CANCELLED": {"filter": {"status": ["RUNNING"]}},
        "unknown field: filter.colour": {"filter": {"colour": "red"}},
        "filter.queue must": {"filter": {"queue": "NO!"}},
        "rate_per_s must be": {"rate_per_s": 1001},
        "limit must be": {"limit": 0},
        "filter.created_after must be": {"filter": {"created_after": "yesterday"}},
    }

    for sentence, body in refused.items():
        assert_problem(await client.post("/tasks/retry", json=body), 400, f"Invalid request body: {sentence}")
    begun = {"filter": {"status": ["RUNNING"]}, "dry_run": False}
    assert_problem(await client.post("/tasks/retry", json=begun), 400, "Invalid request body: status must be")
    done = {"filter": {"status": ["FAILED"]}}
    assert_problem(await client.post("/tasks/cancel", json=done), 400, "Invalid request body: status must be")
    assert_problem(await client.get(f"/bulk-acts/{UNKNOWN_ID}"), 404, "Bulk act not found")
    assert_problem(await client.get("/bulk-acts/nonsense"), 400, "Invalid Bulk Act ID format")
    assert_problem(await client.get(f"/bulk-acts?before={uuid7()}x"), 400, "Invalid request query")


async def _worked_off(ledger: Ledger, begun: httpx.Response) -> BulkAct:
    assert begun.status_code == 202, begun.text
    bulk = await BulkActs(ledger).find(UUID(begun.json()["bulk_id"]))
    for seconds in range(1, 5):
        await BulkChore(ledger).run_once(bulk.upto + seconds * SECOND)
    return await BulkActs(ledger).find(bulk.bulk_id)
