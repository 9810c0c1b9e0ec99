"""/schedules: made, changed, shown, paused, resumed, fired and removed over HTTP; what is wrong is said so."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.schedules.schedule import fire_id
from tests.integration.api_given import assert_problem, opened_api
from tests.integration.given import fetch

NIGHTLY = "/schedules/nightly"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, default_max_attempts=4, page_size_max=50) as api:
        yield api


async def test_a_schedule_is_made_shown_replaced_and_listed(client: httpx.AsyncClient) -> None:
    made = await client.put(NIGHTLY, json={"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "reason": "new"})
    again = await client.put(NIGHTLY, json={"cron": "30 2 * * *", "time_zone": "Europe/Berlin"})
    task = {"kind": "report", "queue": "q", "input": [1], "priority": 9, "timeout_s": 5, "tags": ["a"], "key": "k"}
    rest = {"cron": "0 * * * *", "backfill": "all", "overlap": "skip", "ends_at": "2999-01-01T00:00:00Z"}
    replaced = await client.put(NIGHTLY, json={**rest, "task": task})
    shown = await client.get(NIGHTLY)

    assert (made.status_code, again.status_code, replaced.status_code) == (201, 200, 200)
    assert made.headers["location"] == NIGHTLY
    assert again.json() == made.json()
    assert made.json()["task"] == {
        "kind": "default", "queue": "default", "input": None, "priority": 5, "max_attempts": 4, "timeout_s": 300.0,
        "tags": [], "key": None,
    }  # fmt: skip
    assert shown.json()["task"] == {**task, "max_attempts": 4}
    answer = shown.json()
    assert {**answer, **rest, "time_zone": "UTC", "paused": False} == answer
    fires = [datetime.fromisoformat(time) for time in shown.json()["next_fires"]]
    assert shown.json()["next_fire_at"] == shown.json()["next_fires"][0]
    assert [later - earlier for earlier, later in pairwise(fires)] == [timedelta(hours=1)] * 4
    assert (await client.get("/schedules")).json() == {"schedules": [replaced.json()], "next_after": None}


async def test_schedules_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await client.put(f"/schedules/{name}", json={"cron": "* * * * *"})

    first = (await client.get("/schedules", params={"limit": 2})).json()
    second = (await client.get("/schedules", params={"limit": 2, "after": first["next_after"]})).json()

    assert [one["name"] for one in first["schedules"]] == ["a", "b"]
    assert [one["name"] for one in second["schedules"]] == ["c"]
    assert second["next_after"] is None


async def test_a_schedule_is_paused_and_resumed(client: httpx.AsyncClient) -> None:
    await client.put(NIGHTLY, json={"cron": "0 0 1 1 *"})

    paused = await client.post(f"{NIGHTLY}/pause", json={"reason": "maintenance"})
    changed = await client.put(NIGHTLY, json={"cron": "0 0 2 1 *"})
    shown = (await client.get(NIGHTLY)).json()
    resumed = await client.post(f"{NIGHTLY}/resume")

    assert [response.status_code for response in (paused, changed, resumed)] == [200, 200, 200]
    assert [response.json()["paused"] for response in (paused, changed, resumed)] == [True, True, False]
    assert (paused.json()["next_fire_at"], shown["next_fires"]) == (None, [])
    assert "-01-02T00:00:00Z" in resumed.json()["next_fire_at"]


async def test_a_schedule_is_fired_by_hand(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await client.put(NIGHTLY, json={"cron": "0 0 1 1 *", "paused": True})

    fired = await client.post(f"{NIGHTLY}/fire", headers={"X-Correlation-Id": "call-9"})

    assert fired.status_code == 202
    task_id = fired.json()["task_id"]
    (event,) = await ledger.store.read_stream(UUID(task_id))
    assert (fired.headers["location"], fired.headers["ledger-position"]) == (
        f"/tasks/{task_id}",
        str(event.position),
    )
    assert (event.actor, event.correlation_id) == ("client", "call-9")
    assert event.causation_id == fire_id("nightly", datetime.fromisoformat(fired.json()["fire_at"]))
    (fire,) = (await client.get(NIGHTLY)).json()["recent_fires"]
    assert (fire["fire_at"], fire["task_id"], fire["outcome"]) == (
        fired.json()["fire_at"],
        task_id,
        "fired_by_hand",
    )


async def test_what_is_removed_leaves_its_changes_and_fires(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await client.put(NIGHTLY, json={"cron": "* * * * *", "reason": "new"})
    await client.post(f"{NIGHTLY}/fire")

    removed = await client.delete(NIGHTLY, params={"reason": "not needed"})

    assert (removed.status_code, removed.content) == (204, b"")
    assert_problem(await client.get(NIGHTLY), 404, "there is no schedule 'nightly'")
    page = (await client.get(f"{NIGHTLY}/changes", params={"limit": 2})).json()
    rest = (await client.get(f"{NIGHTLY}/changes", params={"before": page["next_before"]})).json()
    assert [(one["change"], one["actor"], one["reason"]) for one in [*page["changes"], *rest["changes"]]] == [
        ("removed", "client", "not needed"),
        ("fired", "client", ""),
        ("created", "client", "new"),
    ]
    assert rest["changes"][0]["definition"]["cron"] == "* * * * *"
    assert len(await fetch(ledger, "SELECT FROM ledger.schedule_fires WHERE schedule = 'nightly'")) == 1


BAD_BODIES: dict[str, object] = {
    "cron is required": {},
    "cron must be a string, got 5": {"cron": 5},
    "cron must be a cron expression of 5 fields (bad minute), got '61 * * * *'": {"cron": "61 * * * *"},
    "cron must be a cron expression of 5 fields, got '@daily'": {"cron": "@daily"},
    "time_zone must be a name of the IANA time zone database": {"cron": "* * * * *", "time_zone": "Berlin"},
    "backfill must be one of 'none', 'latest' or 'all', got 'some'": {"cron": "* * * * *", "backfill": "some"},
    "starts_at must be an RFC 3339 time": {"cron": "* * * * *", "starts_at": "tomorrow"},
    "ends_at must be at or after starts_at": {
        "cron": "* * * * *", "starts_at": "2030-01-01T00:00:00Z", "ends_at": "2029-01-01T00:00:00Z",
    },
    "priority must be between 0 and 9, got 10": {"cron": "* * * * *", "task": {"priority": 10}},
    "task.priority must be an integer, got '5'": {"cron": "* * * * *", "task": {"priority": "5"}},
    "queue must be 1 to 64 characters": {"cron": "* * * * *", "task": {"queue": "No"}},
    "unknown field: task.run_at": {"cron": "* * * * *", "task": {"run_at": "2030-01-01T00:00:00Z"}},
    "input must be text without NUL characters": {"cron": "* * * * *", "task": {"input": "a\0"}},
    "it must be a JSON object": [],
}  # fmt: skip


async def test_every_bad_body_is_refused_by_field_bound_and_value_and_makes_nothing(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    for sentence, body in BAD_BODIES.items():
        assert_problem(await client.put(NIGHTLY, json=body), 400, f"Invalid request body: {sentence}")
    assert_problem(
        await client.put("/schedules/Night", json={"cron": "* * * * *"}), 400, "name must be 1 to 64 characters of"
    )
    assert_problem(
        await client.get("/schedules", params={"limit": 51}), 400, "Invalid request query: limit must be"
    )
    assert_problem(await client.get("/schedules", params={"what": 1}), 400, "Invalid request query: unknown field")
    assert_problem(
        await client.delete(NIGHTLY, params={"reason": "x" * 1001}), 400, "Invalid request query: reason"
    )
    assert_problem(await client.put(NIGHTLY, content=b" " * 1_100_000), 413, "The request body must be at most")
    assert (await client.get("/schedules")).json()["schedules"] == []
    assert await fetch(ledger, "SELECT FROM ledger.schedule_changes") == []


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", NIGHTLY), ("DELETE", NIGHTLY), ("POST", f"{NIGHTLY}/pause"), ("POST", f"{NIGHTLY}/resume"),
        ("POST", f"{NIGHTLY}/fire"),
    ):  # fmt: skip
        response = await client.request(method, path)
        assert_problem(response, 404, "there is no schedule 'nightly'")
        assert response.json()["type"] == "urn:task-ledger:problem:schedule-not-found"
    for path in ("/schedules/%00", "/schedules/No", "/schedules/%00/changes", f"/schedules/{'n' * 999}"):
        assert_problem(await client.get(path), 404, "there is no schedule '")
    assert_problem(await client.get("/schedules", params={"after": "\0"}), 400, "Invalid request query: after")
    assert (await client.get(f"{NIGHTLY}/changes")).json() == {"changes": [], "next_before": None}


async def test_every_answer_has_what_the_document_says(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    for example in schemas["ScheduleBody"]["examples"]:
        assert (await client.put(NIGHTLY, json=example)).status_code in (200, 201)

    answers = {
        "FiredByHandShown": await client.post(f"{NIGHTLY}/fire"),
        "ScheduleShown": await client.get(NIGHTLY),
        "ScheduleList": await client.get("/schedules"),
        "ScheduleListed": await client.post(f"{NIGHTLY}/pause"),
        "ScheduleChanges": await client.get(f"{NIGHTLY}/changes"),
    }

    for model, answer in answers.items():
        assert set(answer.json()) == set(schemas[model]["properties"]), model
