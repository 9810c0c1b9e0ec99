"""Below /queues/{name}: what an operator sets is shown, kept with who and why, and explained."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.queries import query
from ledger.task_words import HoldReason
from tests.integration.api_given import assert_problem, opened_api, submitted
from tests.integration.given import CLIENT, caught_up, execute, fetch, started
from tests.integration.queues_given import held, permit

UNSET: dict[str, object] = {
    "concurrency_max": None, "key_concurrency_max": None, "rate_max": None, "rate_s": None, "key_rate_max": None,
    "key_rate_s": None, "fair": False, "weights": {},
}  # fmt: skip
GIVEN = {"concurrency_max": 3, "rate_max": 100, "rate_s": 60, "fair": True, "weights": {"acme": 2.5}}
COMMANDS = (("POST", "/pause"), ("POST", "/resume"), ("POST", "/drain"), ("PUT", ""), ("DELETE", "/settings"))


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=3) as api:
        yield api


async def test_a_queue_that_nobody_has_used_is_open_and_empty(client: httpx.AsyncClient) -> None:
    assert (await client.get("/queues/mail")).json() == {
        "name": "mail", "state": "open", "paused_at": None, "ready": 0, "waiting": 0,
        "held": {"paused": 0, "limit": 0, "after": 0}, "running": 0, "permits": 0, "dead": 0,
        "oldest_ready_at": None, "live_workers": 0, "settings": UNSET,
    }  # fmt: skip
    assert (await client.get("/queues")).json() == {"queues": []}


async def test_what_is_set_is_shown_replaced_and_taken_away(client: httpx.AsyncClient) -> None:
    first = await client.put("/queues/mail", json={**GIVEN, "reason": "quota"})
    listed = await client.get("/queues")
    second = await client.put(
        "/queues/mail", json={"key_rate_max": 1, "key_rate_s": 0.5, "key_concurrency_max": 2}
    )
    third = await client.delete("/queues/mail/settings?reason=done")

    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 200)
    assert first.json()["settings"] == {**UNSET, **GIVEN}
    assert listed.json()["queues"] == [first.json()]
    assert second.json()["settings"] == {**UNSET, "key_rate_max": 1, "key_rate_s": 0.5, "key_concurrency_max": 2}
    assert third.json()["settings"] == UNSET
    assert [(one["change"], one["reason"], one["actor"]) for one in await _changes(client)] == [
        ("reset", "done", "client"),
        ("set", "", "client"),
        ("set", "quota", "client"),
    ]


async def test_what_changes_nothing_is_answered_alike_and_not_recorded(client: httpx.AsyncClient) -> None:
    await client.post("/queues/mail/resume")
    await client.delete("/queues/mail/settings")
    paused = await client.post("/queues/mail/pause", json={"reason": "first"})
    again = await client.post("/queues/mail/pause", json={"reason": "second"})
    set_once = await client.put("/queues/mail", json=GIVEN)
    set_again = await client.put("/queues/mail", json=GIVEN)

    assert again.json() == paused.json()
    assert set_again.json() == set_once.json()
    assert [(one["change"], one["reason"]) for one in await _changes(client)] == [("set", ""), ("paused", "first")]


async def test_a_pause_outlives_new_settings_and_their_end(client: httpx.AsyncClient) -> None:
    paused_at = (await client.post("/queues/mail/pause")).json()["paused_at"]
    set_later = (await client.put("/queues/mail", json=GIVEN)).json()
    taken_away = (await client.delete("/queues/mail/settings")).json()
    resumed = (await client.post("/queues/mail/resume")).json()

    assert paused_at is not None
    assert (set_later["state"], set_later["paused_at"]) == ("paused", paused_at)
    assert (taken_away["state"], taken_away["paused_at"]) == ("paused", paused_at)
    assert (resumed["state"], resumed["paused_at"]) == ("open", None)


async def test_of_many_who_pause_at_once_one_is_recorded(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post("/queues/mail/pause") for _ in range(8)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["paused_at"] for answer in answers}) == 1
    assert len(await _changes(client)) == 1


async def test_history_comes_in_pages_newest_first(client: httpx.AsyncClient) -> None:
    for bound in range(1, 5):
        await client.put("/queues/mail", json={"concurrency_max": bound})
    await client.put("/queues/other", json={"concurrency_max": 9})

    first = (await client.get("/queues/mail/changes?limit=3")).json()
    second = (await client.get(f"/queues/mail/changes?limit=3&before={first['next_before']}")).json()

    pages = [[one["settings"]["concurrency_max"] for one in page["changes"]] for page in (first, second)]
    assert (pages, second["next_before"]) == ([[4, 3, 2], [1]], None)
    assert_problem(await client.get("/queues/mail/changes?limit=4"), 400, "Invalid request query: limit must be")


async def test_a_queue_drains_until_none_of_its_tasks_runs(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = UUID(await submitted(client, queue="mail"))
    attempt = await started(ledger, task_id)

    before_the_fold = (await client.post("/queues/mail/drain", json={"reason": "deploy"})).json()
    await caught_up(ledger)
    running = (await client.get("/queues/mail")).json()
    await ledger.commands.decide(
        task_id, lambda task: task.complete(attempt=attempt, result=1, now=ledger.clock.now()), origin=CLIENT
    )
    await caught_up(ledger)
    drained = (await client.get("/queues/mail")).json()

    assert before_the_fold["state"] == "draining"
    assert (running["state"], running["running"]) == ("draining", 1)
    assert (drained["state"], drained["running"]) == ("paused", 0)


async def test_a_queue_is_not_drained_before_its_workers_have_heard_of_it(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    await fetch(ledger, query("register_worker"), uuid7(), "w", ["mail"], 50)
    at_once = (await client.post("/queues/mail/pause")).json()["state"]
    await execute(ledger, "UPDATE ledger.queues SET paused_at = paused_at - $1::interval", timedelta(seconds=3))

    assert (at_once, (await client.get("/queues/mail")).json()["state"]) == ("draining", "paused")


async def test_tasks_that_are_held_back_and_let_through_are_counted(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    for hold in (HoldReason.PAUSED, HoldReason.LIMIT, HoldReason.LIMIT):
        await held(client, ledger, hold)
    await submitted(client, queue="mail", delay_s=60)
    await permit(ledger)
    await permit(ledger, ended=True)
    await permit(ledger, of=UUID(await _cancelled(client)), version=1)
    await caught_up(ledger)

    mail = (await client.get("/queues/mail")).json()

    assert mail["held"] == {"paused": 1, "limit": 2, "after": 0}
    assert (mail["ready"], mail["waiting"], mail["permits"]) == (0, 1, 1)


BAD_SETTINGS = {
    b"[]": "it must be a JSON object",
    b'{"concurrency_max":"3"}': "concurrency_max must be an integer, got '3'",
    b'{"concurrency_max":0}': "concurrency_max must be between 1 and 1000000, got 0",
    b'{"rate_max":5}': "rate_s must be given together with rate_max, got None",
    b'{"fair":1}': "fair must be true or false, got 1",
    b'{"weights":{"acme":0}}': "weights.acme must be between 0.01 and 1000.0, got 0",
    b'{"weights":{"acme":NaN}}': "weights.acme must be",
    rb'{"weights":{"\u0000":1}}': "a tenant of weights must be 1 to 93 characters",
    b'{"paused":true}': "unknown field: paused",
    b'{"reason":"%s"}' % (b"x" * 1001): "reason must be at most 1000 characters",
}


async def test_every_bad_setting_is_refused_and_changes_nothing(client: httpx.AsyncClient) -> None:
    for body, sentence in BAD_SETTINGS.items():
        response = await client.put("/queues/mail", content=body)
        assert_problem(response, 400, f"Invalid request body: {sentence}")
    assert_problem(await client.put("/queues/mail"), 400, "Invalid request body: invalid JSON")
    assert_problem(await client.post("/queues/mail/pause", content=b"[]"), 400, "Invalid request body: it must be")
    assert_problem(await client.delete("/queues/mail/settings?why=x"), 400, "Invalid request query: unknown field")
    assert await _changes(client) == []


async def test_a_name_that_no_queue_can_have_is_refused_everywhere(client: httpx.AsyncClient) -> None:
    sentence = "queue must be 1 to 64 characters of a-z 0-9 _ -, got 'Mail!'"

    for method, path in (*COMMANDS, ("GET", ""), ("GET", "/changes?limit=1")):
        content = b"" if method in ("GET", "DELETE") else b"{}"
        response = await client.request(method, f"/queues/Mail!{path}", content=content)
        assert_problem(response, 400, sentence)


async def test_a_key_is_taken_shown_and_bounded(client: httpx.AsyncClient) -> None:
    task_id = await submitted(client, key="acme")

    assert (await client.get(f"/tasks/{task_id}")).json()["key"] == "acme"
    for key in ("", "x" * 201, "\0"):
        response = await client.post("/tasks", json={"input": 1, "key": key})
        assert_problem(response, 400, "Invalid request body: key must be 1 to 200 characters")


async def _changes(client: httpx.AsyncClient) -> list[dict[str, str]]:
    changes: list[dict[str, str]] = (await client.get("/queues/mail/changes?limit=3")).json()["changes"]
    return changes


async def _cancelled(client: httpx.AsyncClient) -> str:
    task_id = await submitted(client, queue="mail")
    assert (await client.post(f"/tasks/{task_id}/cancel")).status_code == 202
    return task_id
