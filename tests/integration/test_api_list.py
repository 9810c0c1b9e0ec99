"""GET /tasks: filters, the order, and cursors that survive tasks coming in meanwhile."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from api.read_model import TaskReader, view_of
from ledger.bootstrap import Ledger
from tests.integration.api_given import assert_problem, opened_api, submitted
from tests.integration.given import caught_up


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=100) as api:
        yield api


async def test_without_a_read_model_the_list_is_empty(client: httpx.AsyncClient) -> None:
    await submitted(client)

    assert (await client.get("/tasks")).json() == {"tasks": [], "next_cursor": None}


async def test_the_newest_tasks_come_first_and_without_what_can_be_large(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    older, newer = await submitted(client), await submitted(client)
    await caught_up(ledger)

    tasks = (await client.get("/tasks")).json()["tasks"]

    assert [task["task_id"] for task in tasks] == [newer, older]
    whole = (await client.get(f"/tasks/{newer}")).json()
    assert {**tasks[0], "input": "hello", "result": None, "stale_writes": []} == whole


async def test_a_row_of_the_read_model_and_the_fold_of_the_stream_look_the_same(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = UUID(await submitted(client, input=[1e20, None], kind="a", tags=["x"], delay_s=60, timeout_s=1))
    await client.post(f"/tasks/{task_id}/cancel")
    await caught_up(ledger)

    row = await TaskReader(ledger).find(task_id)

    assert row == view_of(await ledger.store.read_stream(task_id))


async def test_each_filter_narrows_the_list(client: httpx.AsyncClient, ledger: Ledger) -> None:
    plain = await submitted(client)
    mail = await submitted(client, kind="mail", queue="slow", tags=["a", "b"])
    cancelled = await submitted(client, kind="mail", tags=["b"])
    await client.post(f"/tasks/{cancelled}/cancel")
    await caught_up(ledger)

    expected = {
        "status=PENDING": [mail, plain],
        "status=PENDING&status=CANCELLED": [cancelled, mail, plain],
        "status=RUNNING": [],
        "kind=mail": [cancelled, mail],
        "queue=slow": [mail],
        "tag=b": [cancelled, mail],
        "tag=a&tag=b": [mail],
        "kind=mail&status=CANCELLED&tag=b&queue=default": [cancelled],
        "kind=other": [],
    }

    assert {asked: await _ids(client, asked) for asked in expected} == expected


async def test_the_interval_of_the_list_is_half_open(client: httpx.AsyncClient, ledger: Ledger) -> None:
    for _ in range(3):
        await submitted(client)
    await caught_up(ledger)
    newest, middle, oldest = (await client.get("/tasks")).json()["tasks"]
    moment = middle["created_at"]

    assert await _ids(client, f"created_after={moment}") == [newest["task_id"], middle["task_id"]]
    assert await _ids(client, f"created_before={moment}") == [oldest["task_id"]]
    assert await _ids(client, f"created_after={moment}&created_before={moment}") == []
    for far in ("created_after=9999-12-31T23:59:59Z", "created_before=0001-01-01T00:00:00Z"):
        assert await _ids(client, far) == []
    for all_of_them in ("created_after=0001-01-01T00:00:00Z", "created_before=9999-12-31T23:59:59Z"):
        assert len(await _ids(client, all_of_them)) == 3


async def test_the_clock_of_whoever_submitted_does_not_hide_a_task_from_the_interval(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = await submitted(client)
    await caught_up(ledger)
    now = ledger.clock.now()

    for skew in (timedelta(hours=-23), timedelta(hours=23)):
        await _move(ledger, task_id, now + skew)
        low, high = (now + skew - timedelta(minutes=1), now + skew + timedelta(minutes=1))
        asked = f"created_after={low:%Y-%m-%dT%H:%M:%SZ}&created_before={high:%Y-%m-%dT%H:%M:%SZ}"
        assert await _ids(client, asked) == [task_id]


async def test_pages_are_complete_and_disjoint_while_tasks_come_in(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    tasks = [await submitted(client, kind="mail") for _ in range(7)]
    await caught_up(ledger)
    seen: list[str] = []

    page = (await client.get("/tasks?kind=mail&limit=3")).json()
    while True:
        seen += [task["task_id"] for task in page["tasks"]]
        if page["next_cursor"] is None:
            break
        await submitted(client, kind="mail")
        await caught_up(ledger)
        page = (await client.get(f"/tasks?kind=mail&limit=3&cursor={page['next_cursor']}")).json()

    assert seen == tasks[::-1]


async def test_a_last_page_that_is_full_has_no_cursor(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await submitted(client)
    await caught_up(ledger)

    assert (await client.get("/tasks?limit=1")).json()["next_cursor"] is None


async def test_a_cursor_that_is_damaged_or_of_other_filters_is_refused(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    for _ in range(2):
        await submitted(client)
    await caught_up(ledger)
    cursor = (await client.get("/tasks?limit=1")).json()["next_cursor"]
    swapped = ("A" if cursor[5] != "A" else "B").join((cursor[:5], cursor[6:]))

    for asked in (
        f"cursor={swapped}",
        f"cursor={cursor}&kind=mail",
        f"cursor={cursor[:-2]}",
        "cursor=x",
        "cursor=%00",
    ):
        assert_problem(
            await client.get(f"/tasks?{asked}"), 400, "Invalid request query: cursor must be a next_cursor"
        )
    assert (await client.get(f"/tasks?limit=2&cursor={cursor}")).status_code == 200


BAD_QUESTIONS = {
    "limit=0": "limit must be at least 1",
    "limit=101": "limit must be at most 100, got 101",
    "limit=1.5": "limit must be an integer",
    "status=DONE": "status.0 must be one of 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED' or 'CANCELLED'",
    "kind=a%00": "kind must be text that matches",
    "kind=": "kind must be text that matches",
    "queue=%F0": "queue must be text that matches",
    "tag=": "tag.0 must be at least 1 characters",
    "tag=%00": "tag.0 must be text without NUL characters",
    "&".join(["tag=x"] * 21): "tag must be at most 20 entries",
    "created_after=yesterday": "created_after must be an RFC 3339 time with its offset",
    "created_after=2030-01-01T00:00:00+01:00": "created_after must be an RFC 3339 time with its offset",
    "created_before=0001-01-01T00:00:00%2B14:00": "created_before must be an RFC 3339 time with its offset",
    "cursor=" + "x" * 201: "cursor must be at most 200 characters",
    "colour=red": "unknown field: colour",
}


async def test_every_bad_question_is_refused_with_a_sentence(client: httpx.AsyncClient) -> None:
    for asked, sentence in BAD_QUESTIONS.items():
        assert_problem(await client.get(f"/tasks?{asked}"), 400, f"Invalid request query: {sentence}")


async def _ids(client: httpx.AsyncClient, asked: str) -> list[str]:
    response = await client.get(f"/tasks?{asked}")
    assert response.status_code == 200, response.text
    return [task["task_id"] for task in response.json()["tasks"]]


async def _move(ledger: Ledger, task_id: str, moment: object) -> None:
    async with ledger.database.connection() as connection:
        await connection.execute(
            "UPDATE projections.task_status SET created_at = $2 WHERE task_id = $1", UUID(task_id), moment
        )


async def test_a_default_limit_follows_the_bound_of_a_page(database_url: str) -> None:
    async with opened_api(database_url, page_size_max=2) as (ledger, client):
        task_ids = [await submitted(client) for _ in range(3)]
        await caught_up(ledger)

        for path in ("/tasks", "/events", "/audit", "/dead-letters", "/seals", f"/tasks/{task_ids[0]}/events"):
            assert (await client.get(path)).status_code == 200, path
        page = (await client.get("/tasks")).json()

    assert [task["task_id"] for task in page["tasks"]] == task_ids[:0:-1]
    assert page["next_cursor"] is not None
