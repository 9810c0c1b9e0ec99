"""GET /events: the whole log in strict order, filtered, in bounded steps that neither skip nor repeat."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.store.records import NewEvent, Origin
from ledger.task_words import Cause, TaskError
from tests.integration.api_given import assert_problem, opened_api, submitted
from tests.integration.given import execute, started

APPEND = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
                               actor, correlation_id)
    SELECT gen_random_uuid(), 1, 'task.submitted', 1, 'bulk', 'bulk', '{}', now(), $2::timestamptz, 'bulk', 'bulk'
      FROM generate_series(1, $1::integer)
"""
EARLY = datetime(2026, 1, 1, tzinfo=UTC)
LATE = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=1000, search_events_max=100, search_bytes_max=4096) as api:
        yield api


async def test_empty_log_is_searched_up_to_nowhere(client: httpx.AsyncClient) -> None:
    assert await _page(client) == {"events": [], "next_after": 0, "horizon": 0, "archived": []}
    assert await _page(client, after=7) == {"events": [], "next_after": 7, "horizon": 0, "archived": []}


async def test_open_transaction_holds_the_log_back_and_nothing_of_it_or_behind_it_is_skipped(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    first = await submitted(client)
    async with ledger.database.dedicated() as slow, slow.transaction():
        await ledger.store.append(late := uuid4(), [_event("late")], expected_version=0, connection=slow)
        overtaking = await asyncio.gather(*(submitted(client) for _ in range(20)))
        meanwhile = await _page(client)
    after = await _page(client, after=meanwhile["next_after"])

    assert [event["task_id"] for event in meanwhile["events"]] == [first]
    assert meanwhile["next_after"] == meanwhile["horizon"] == 1
    assert [event["position"] for event in after["events"]] == list(range(2, 23))
    assert after["events"][0]["task_id"] == str(late)
    assert {event["task_id"] for event in after["events"][1:]} == set(overtaking)


async def test_follower_beside_writers_sees_every_event_once_and_in_order(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    async def write() -> None:
        for number in range(15):
            async with ledger.database.dedicated() as connection, connection.transaction():
                await ledger.store.append(uuid4(), [_event("w")], expected_version=0, connection=connection)
                for _ in range(number % 4):  # its position is drawn, others commit before it
                    await connection.execute("SELECT 1")

    writers = asyncio.gather(*(write() for _ in range(6)))
    seen: list[int] = []
    after, is_over = 0, False
    while not is_over:
        is_over = writers.done()
        page = await _page(client, after=after, limit=7)
        seen += [event["position"] for event in page["events"]]
        after = page["next_after"]
        is_over = is_over and after == page["horizon"]
    await writers

    assert seen == sorted(set(seen))
    assert len(seen) == 90


async def test_each_filter_finds_its_events_and_no_others(ledger: Ledger, client: httpx.AsyncClient) -> None:
    mail = await submitted(client, kind="mail.send", queue="mail")
    other = (await client.post("/tasks", json={"input": 1}, headers={"X-Correlation-Id": "story"})).json()[
        "task_id"
    ]
    await started(ledger, UUID(mail), worker_id="w")
    await client.post(f"/tasks/{other}/cancel", json={"reason": "called off"})

    asked: dict[str, dict[str, object]] = {
        "types": {"types": ["task.started", "task.cancelled"]},
        "kind": {"kind": "mail.send"},
        "queue": {"queue": "mail"},
        "actor": {"actor": "worker:w"},
        "correlation_id": {"correlation_id": "story"},
        "all of them": {"queue": "mail", "types": "task.cancelled"},
    }
    found = {
        name: [(event["task_id"], event["type"]) for event in (await _page(client, **one))["events"]]
        for name, one in asked.items()
    }

    assert found == {
        "types": [(mail, "task.started"), (other, "task.cancelled")],
        "kind": [(mail, "task.submitted"), (mail, "task.started")],
        "queue": [(mail, "task.submitted"), (mail, "task.started")],
        "actor": [(mail, "task.started")],
        "correlation_id": [(other, "task.submitted"), (other, "task.cancelled")],
        "all of them": [],
    }


async def test_times_are_a_half_open_interval_of_what_the_database_recorded(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    for moment in (EARLY, EARLY + timedelta(seconds=1), LATE):
        await execute(ledger, APPEND, 2, moment)

    second = (EARLY + timedelta(seconds=1)).isoformat()
    since = await _page(client, since=second)
    until = await _page(client, until=second)
    between = await _page(client, since=second, until=LATE.isoformat())

    assert [event["position"] for event in since["events"]] == [3, 4, 5, 6]
    assert [event["position"] for event in until["events"]] == [1, 2]
    assert [event["position"] for event in between["events"]] == [3, 4]
    assert since["next_after"] == until["next_after"] == between["next_after"] == 6


async def test_a_time_in_a_long_log_is_found_in_one_request(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await execute(ledger, APPEND, 3000, EARLY)
    await execute(ledger, APPEND, 3, LATE)
    await execute(ledger, APPEND, 3000, LATE + timedelta(days=1))

    page = await _page(client, since=LATE.isoformat(), until=(LATE + timedelta(hours=1)).isoformat())

    assert [event["position"] for event in page["events"]] == [3001, 3002, 3003]
    assert 3003 < page["next_after"] < 3200
    assert page["horizon"] == 6003


async def test_an_event_by_a_clock_that_was_minutes_off_is_found_by_its_time(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    minute = timedelta(minutes=1)
    await execute(ledger, APPEND, 600, EARLY)
    for moment in (EARLY + 4 * minute, EARLY - 4 * minute):
        await execute(ledger, APPEND, 1, moment)
    await execute(ledger, APPEND, 600, EARLY)
    await execute(ledger, APPEND, 600, LATE)

    fast = await _all(client, since=(EARLY + 3 * minute).isoformat(), until=(EARLY + 5 * minute).isoformat())
    slow = await _all(client, until=(EARLY - 3 * minute).isoformat())

    assert (fast, slow) == ([601], [602])


async def test_a_request_ends_after_as_many_events_as_it_may_look_through_and_says_how_far_it_came(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await execute(ledger, APPEND, 250, EARLY)
    needle = await submitted(client)

    pages = [await _page(client, actor="client")]
    while pages[-1]["next_after"] < pages[-1]["horizon"]:
        pages.append(await _page(client, actor="client", after=pages[-1]["next_after"]))

    assert [page["next_after"] for page in pages] == [100, 200, 251]
    assert [event["task_id"] for page in pages for event in page["events"]] == [needle]
    assert {page["horizon"] for page in pages} == {251}


async def test_a_hole_in_the_positions_is_passed_over_at_once(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await execute(ledger, APPEND, 1, EARLY)
    await execute(ledger, "SELECT setval('ledger.position_seq', 1000000000)")
    needle = await submitted(client)

    first = await _page(client)
    second = await _page(client, after=first["next_after"])

    assert [event["position"] for event in first["events"]] == [1]
    assert first["next_after"] == 1_000_000_000
    assert [event["task_id"] for event in second["events"]] == [needle]


async def test_a_page_ends_with_the_event_that_makes_it_too_large(client: httpx.AsyncClient) -> None:
    for _ in range(5):
        await submitted(client, input="x" * 3000)

    pages = [await _page(client)]
    while pages[-1]["next_after"] < pages[-1]["horizon"]:
        pages.append(await _page(client, after=pages[-1]["next_after"]))

    assert [[event["position"] for event in page["events"]] for page in pages] == [[1, 2], [3, 4], [5]]


async def test_what_is_not_valid_is_refused_with_field_bound_and_value(client: httpx.AsyncClient) -> None:
    refused = {
        "after=-1": "after must be at least 0, got '-1'",
        "after=x": "after must be an integer, got 'x'",
        "after=9223372036854775808": "after must be at most 9223372036854775807, got ",
        "limit=0": "limit must be at least 1, got '0'",
        "limit=1001": "limit must be at most 1000, got 1001",
        "types=task.dreamt": "types.0 must be one of task.submitted, ",
        "kind=a%20b": "kind must be text that matches ",
        "queue=Mail!": "queue must be text that matches ",
        "actor=": "actor must be at least 1 characters, got ''",
        "correlation_id=%00": "correlation_id must be text without NUL characters, got ",
        "since=yesterday": "since must be an RFC 3339 time with its offset",
        "until=2030-01-31": "until must be an RFC 3339 time with its offset",
        "untill=x": "unknown field: untill",
    }

    for asked, sentence in refused.items():
        for path in ("/events", "/events/export"):
            if not (path == "/events/export" and asked.startswith("limit")):
                assert_problem(await client.get(f"{path}?{asked}"), 400, f"Invalid request query: {sentence}")


async def test_every_event_says_who_did_it_why_in_which_story_and_when(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Correlation-Id": "story", "traceparent": traceparent}
    body = {"input": 1, "max_attempts": 1}
    task_id = (await client.post("/tasks", json=body, headers=headers)).json()["task_id"]
    attempt = await started(ledger, UUID(task_id), worker_id="w")
    await ledger.commands.decide(
        UUID(task_id),
        lambda task: task.fail(
            attempt=attempt,
            error=TaskError("OSError", "no"),
            cause=Cause.ERROR,
            now=ledger.clock.now(),
            retry_delay_seconds=None,
        ),
        origin=Origin(actor="worker:w", correlation_id="story", causation_id=f"{task_id}:2"),
    )
    await client.post(f"/tasks/{task_id}/retry", json={"reason": "repaired"}, headers=headers)

    events = (await _page(client))["events"]

    assert [(event["type"], event["actor"]) for event in events] == [
        ("task.submitted", "client"),
        ("task.started", "worker:w"),
        ("task.failed", "worker:w"),
        ("task.retried", "client"),
    ]
    assert [event["causation_id"] for event in events] == [None, f"{task_id}:1", f"{task_id}:2", None]
    assert [event["traceparent"] for event in events] == [traceparent] * 4
    assert {event["correlation_id"] for event in events} == {"story"}
    assert (events[2]["data"]["cause"], events[3]["data"]["reason"]) == ("error", "repaired")
    assert all(event["occurred_at"] and event["recorded_at"] for event in events)


async def _all(client: httpx.AsyncClient, **asked: object) -> list[int]:
    page = await _page(client, **asked)
    positions = [event["position"] for event in page["events"]]
    while page["next_after"] < page["horizon"]:
        page = await _page(client, **{**asked, "after": page["next_after"]})
        positions += [event["position"] for event in page["events"]]
    return positions


async def _page(client: httpx.AsyncClient, **asked: object) -> dict[str, Any]:
    response = await client.get("/events", params=asked)  # type: ignore[arg-type]  # each is one or several words
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def _event(actor: str) -> NewEvent:
    return NewEvent("task.submitted", 1, "default", "default", "{}", datetime.now(UTC), Origin(actor=actor))
