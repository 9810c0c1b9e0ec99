"""GET /audit: who did what, when and why, newest or oldest first, in the log and beside it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key
from ledger.bootstrap import Ledger
from ledger.history.audit import Audit, AuditFilter, AuditSource
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api, submitted
from tests.integration.dead_letters_given import announcement, dead_messages
from tests.integration.given import execute, started

APPEND = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    SELECT gen_random_uuid(), 1, 'task.submitted', 1, 'bulk', 'bulk', '{}', now(), 'bulk', 'bulk'
      FROM generate_series(1, $1::integer)
"""


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=100, search_events_max=100) as api:
        yield api


async def test_events_come_newest_first_and_the_other_way_round(client: httpx.AsyncClient) -> None:
    tasks = [await submitted(client) for _ in range(5)]

    newest = await _all(client, limit=2)
    oldest = await _all(client, limit=2, order="oldest")

    assert [entry["task_id"] for entry in newest] == tasks[::-1]
    assert oldest == newest[::-1]


async def test_what_is_appended_between_two_pages_is_neither_skipped_nor_repeated(
    client: httpx.AsyncClient,
) -> None:
    for _ in range(4):
        await submitted(client)

    newest, oldest = [await _audit(client, limit=3, order=order) for order in ("newest", "oldest")]
    await submitted(client)
    then_older = await _audit(client, limit=3, cursor=newest["next_cursor"])
    then_newer = await _audit(client, limit=3, cursor=oldest["next_cursor"], order="oldest")

    assert [[one["position"] for one in page["entries"]] for page in (newest, then_older)] == [[4, 3, 2], [1]]
    assert [[one["position"] for one in page["entries"]] for page in (oldest, then_newer)] == [[1, 2, 3], [4, 5]]
    assert then_older["next_cursor"] is then_newer["next_cursor"] is None


async def test_an_entry_of_an_event_says_who_why_and_in_which_story(client: httpx.AsyncClient) -> None:
    task_id = await submitted(client)
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Correlation-Id": "story", "traceparent": traceparent}
    await client.post(f"/tasks/{task_id}/cancel", json={"reason": "called off"}, headers=headers)

    entry = (await _audit(client, limit=1))["entries"][0]

    recorded_at, occurred_at = entry.pop("recorded_at"), entry.pop("occurred_at")
    assert abs((datetime.fromisoformat(recorded_at) - datetime.fromisoformat(occurred_at)).total_seconds()) < 60
    assert entry == {
        "source": "events",
        "id": f"{task_id}:2",
        "act": "task.cancelled",
        "subject": task_id,
        "actor": "client",
        "reason": "called off",
        "task_id": task_id,
        "position": 2,
        "version": 2,
        "kind": "default",
        "queue": "default",
        "correlation_id": "story",
        "causation_id": None,
        "traceparent": traceparent,
        "data": {"actor": "client", "reason": "called off"},
    }


async def test_each_filter_finds_its_events_and_no_others(ledger: Ledger, client: httpx.AsyncClient) -> None:
    mail = await submitted(client, kind="mail.send", queue="mail")
    other = await submitted(client)
    await started(ledger, UUID(mail), worker_id="w")
    for task_id, reason in ((mail, "100% (sure)"), (other, "The Customer left")):
        await client.post(
            f"/tasks/{task_id}/cancel", json={"reason": reason}, headers={"X-Correlation-Id": reason.split()[0]}
        )
    asked: dict[str, dict[str, object]] = {
        "task_id": {"task_id": mail},
        "queue": {"queue": "mail", "types": ["task.started", "task.cancelled"]},
        "kind": {"kind": "mail.send", "actor": "client"},
        "actor": {"actor": "worker:w"},
        "correlation_id": {"correlation_id": "100%"},
        "reason": {"reason": "customer"},
        "reason is no pattern": {"reason": "% (s"},
        "task_id and reason": {"task_id": other, "reason": "sure"},
        "unknown task": {"task_id": UNKNOWN_ID},
        "since": {"since": datetime(2999, 1, 1, tzinfo=UTC).isoformat()},
        "until": {"until": datetime(2001, 1, 1, tzinfo=UTC).isoformat()},
    }

    found = {
        name: [entry["position"] for entry in await _all(client, limit=2, **one)] for name, one in asked.items()
    }

    assert found == {
        "task_id": [4, 3, 1],
        "queue": [3],
        "kind": [4, 1],
        "actor": [3],
        "correlation_id": [4],
        "reason": [5],
        "reason is no pattern": [4],
        "task_id and reason": [],
        "unknown task": [],
        "since": [],
        "until": [],
    }
    assert [entry["position"] for entry in await _all(client, limit=2, order="oldest", task_id=mail)] == [1, 3, 4]


async def test_a_page_without_entries_leads_on_where_more_is_to_be_searched(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    needle = await submitted(client)
    await execute(ledger, APPEND, 250)
    await execute(ledger, "SELECT setval('ledger.position_seq', 1000000000)")
    await submitted(client, queue="other")

    pages = [await _audit(client, actor="client", queue="default")]
    while pages[-1]["next_cursor"]:
        pages.append(await _audit(client, actor="client", queue="default", cursor=pages[-1]["next_cursor"]))

    assert [[entry["task_id"] for entry in page["entries"]] for page in pages] == [[], [], [], [needle]]


async def test_what_was_set_for_queues_and_schedules_is_found_beside_the_log(client: httpx.AsyncClient) -> None:
    await client.put("/queues/mail", json={"concurrency_max": 3, "reason": "the quota"})
    await client.post("/queues/mail/pause", json={"reason": "Deploy"})
    await client.post("/queues/other/pause")
    await client.put("/schedules/nightly", json={"cron": "0 3 * * *", "task": {"queue": "mail", "input": 1}})

    queues = await _all(client, source="queue_changes", limit=1)
    paused = await _all(client, source="queue_changes", types="paused", queue="mail", reason="dep")
    schedules = await _all(client, source="schedule_changes", queue="mail", actor="client")

    assert [(one["subject"], one["act"]) for one in queues] == [
        ("other", "paused"),
        ("mail", "paused"),
        ("mail", "set"),
    ]
    assert await _all(client, source="queue_changes", limit=2, order="oldest") == queues[::-1]
    assert queues[2]["data"]["concurrency_max"] == 3
    assert [(one["actor"], one["reason"], one["position"]) for one in paused] == [("client", "Deploy", None)]
    assert [(one["subject"], one["act"]) for one in schedules] == [("nightly", "created")]
    assert await _all(client, source="queue_changes", task_id=UNKNOWN_ID) == []


async def test_what_was_done_about_dead_messages_is_found_beside_the_log(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    task_id = await submitted(client)
    (letter_id,) = await dead_messages(ledger, "default", [await announcement(ledger, UUID(task_id))])
    await client.post(f"/dead-letters/{letter_id}/discard", json={"reason": "old"})

    (entry,) = await _all(client, source="dead_letter_acts", task_id=task_id)

    assert (entry["act"], entry["subject"], entry["reason"]) == ("discarded", str(letter_id), "old")


async def test_what_is_not_valid_is_refused_with_field_bound_and_value(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await submitted(client)
    cursor = (await _audit(client, limit=1))["next_cursor"]
    wrong_cursor = "cursor must be a next_cursor of this list, asked for with the same filters, got "
    refused = {
        "source=elsewhere": "source must be one of 'events', 'queue_changes', 'schedule_changes', ",
        "order=up": "order must be one of 'newest' or 'oldest', got 'up'",
        "types=task.dreamt": "types must be one of task.submitted, ",
        "types=task.failed&source=queue_changes": "types must be one of paused, resumed, set, ",
        "correlation_id=x&source=queue_changes": "correlation_id must be absent for queue_changes, ",
        "task_id=7": "task_id must be a UUID, got '7'",
        "limit=101": "limit must be at most 100, got 101",
        "reason=": "reason must be at least 1 characters, got ''",
        "since=now": "since must be an RFC 3339 time with its offset",
        "sources=events": "unknown field: sources",
        "cursor=nonsense": wrong_cursor,
        f"cursor={cursor}&order=oldest": wrong_cursor,
        f"cursor={cursor}&actor=x": wrong_cursor,
        f"cursor={cursor}&source=queue_changes": wrong_cursor,
    }

    for asked, sentence in refused.items():
        assert_problem(await client.get(f"/audit?{asked}"), 400, f"Invalid request query: {sentence}")


async def test_what_is_done_about_keys_webhooks_and_projections_is_searched_too(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    webhook = {"url": "https://receiver.example/hook"}
    assert (await client.put("/webhooks/crm", json=webhook)).status_code in {200, 201}
    assert (await client.post("/projections/task_status/verify", json={"reason": "audit"})).status_code == 202
    key = ApiKey(name="shop", scopes=frozenset({Scope.READ}))
    await create_key(ledger.database, key, actor="cli:ann", reason="new shop")

    sources = ("key_changes", "webhook_changes", "projection_runs", "erasure_orders", "archive_acts")
    found = {source: await Audit(ledger).changes(_of(source), begin=None, limit=10) for source in sources}

    assert {source: [(entry.act, entry.subject) for entry in page.entries] for source, page in found.items()} == {
        "key_changes": [("created", "shop")],
        "webhook_changes": [("created", "crm")],
        "projection_runs": [("verify", "task_status")],
        "erasure_orders": [],
        "archive_acts": [],
    }


def _of(source: str) -> AuditFilter:
    return AuditFilter(source=AuditSource(source))


async def _all(client: httpx.AsyncClient, **asked: object) -> list[dict[str, Any]]:
    page = await _audit(client, **asked)
    entries: list[dict[str, Any]] = page["entries"]
    while page["next_cursor"]:
        page = await _audit(client, **asked, cursor=page["next_cursor"])
        entries += page["entries"]
    return entries


async def _audit(client: httpx.AsyncClient, **asked: object) -> dict[str, Any]:
    response = await client.get("/audit", params=asked)  # type: ignore[arg-type]  # each is one or several words
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page
