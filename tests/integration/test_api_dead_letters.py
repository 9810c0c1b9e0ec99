"""GET /dead-letters and below: both kinds are listed, shown, redriven and discarded over HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.bulk_acts.chore import BulkChore
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api
from tests.integration.dead_letters_given import announcement, dead_messages, failed, foreign
from tests.integration.given import caught_up, submitted, types_of

SECOND = timedelta(seconds=1)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=100) as api:
        yield api


async def test_without_dead_letters_the_list_is_empty(client: httpx.AsyncClient) -> None:
    assert (await client.get("/dead-letters")).json() == {"dead_letters": [], "next_cursor": None}


async def test_both_kinds_are_listed_page_by_page_newest_first(client: httpx.AsyncClient, ledger: Ledger) -> None:
    [first] = await failed(ledger, queue="mail", tags=("tenant:acme",))
    [second] = await dead_messages(ledger, "default", [foreign("default", message_id="42")])
    [third] = await failed(ledger)

    pages: list[list[dict[str, object]]] = []
    cursor = None
    while not pages or cursor:
        asked = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get(f"/dead-letters?{urlencode(asked)}")).json()
        pages.append(page["dead_letters"])
        cursor = page["next_cursor"]

    assert [[letter["id"] for letter in page] for page in pages] == [[str(third), str(second)], [str(first)]]
    task, message = pages[1][0], pages[0][1]
    assert (task["kind"], task["queue"], task["tags"]) == ("task", "mail", ["tenant:acme"])
    assert (task["error_type"], task["reason"], task["cause"]) == ("ValueError", "no", "error")
    assert (message["kind"], message["message_id"], message["task_id"]) == ("message", "42", None)
    assert (message["reason"], message["cause"]) == ("malformed message: no good", "rejected")


async def test_filters_are_combined(client: httpx.AsyncClient, ledger: Ledger) -> None:
    [mine] = await failed(ledger, queue="mail", kind="mail.send", tags=("a", "b"))
    await failed(ledger, queue="mail", kind="mail.send", tags=("a",))
    await failed(ledger, error="KeyError", queue="mail", tags=("a", "b"))
    asked = "kind=task&queue=mail&task_kind=mail.send&error_type=ValueError&cause=error&tag=a&tag=b"

    found = (await client.get(f"/dead-letters?{asked}&died_after=2020-01-01T00:00:00Z")).json()["dead_letters"]
    none = (await client.get(f"/dead-letters?{asked}&died_before=2020-01-01T00:00:00Z")).json()["dead_letters"]

    assert ([letter["id"] for letter in found], none) == ([str(mine)], [])


async def test_a_message_is_shown_with_headers_reason_body_and_how_its_task_stands(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    [task_id] = await submitted(ledger)
    binary, ours = await dead_messages(
        ledger, "default", [foreign("default", body=b"\x00\xff"), await announcement(ledger, task_id)]
    )

    shown = (await client.get(f"/dead-letters/{binary}")).json()
    of_ours = (await client.get(f"/dead-letters/{ours}")).json()

    assert (shown["body"], shown["body_encoding"], shown["body_bytes"]) == ("AP8=", "base64", 2)
    assert (shown["reason"], shown["headers"], shown["act"]) == ("malformed message: no good", {}, None)
    assert (shown["body_is_cut"], shown["task_status"]) == (False, None)
    assert (of_ours["body_encoding"], of_ours["task_id"], of_ours["task_version"]) == ("text", str(task_id), 1)
    assert of_ours["task_status"] == "PENDING"


async def test_a_task_whose_message_died_is_explained_until_that_is_redriven(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    [task_id] = await submitted(ledger)
    [letter] = await dead_messages(ledger, "default", [await announcement(ledger, task_id)])

    before = (await client.get(f"/tasks/{task_id}/explain")).json()["because"]
    await client.post(f"/dead-letters/{letter}/redrive", json={"reason": "mended"})
    after = (await client.get(f"/tasks/{task_id}/explain")).json()["because"]

    assert [one["letter_id"] for one in before if one["code"] == "dead_letter"] == [str(letter)]
    assert "dead_letter" not in {one["code"] for one in after}


async def test_a_task_is_shown_with_error_attempts_history_and_what_was_done(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    [task_id] = await failed(ledger, input={"a": 1})
    before = (await client.get(f"/dead-letters/{task_id}")).json()

    response = await client.post(f"/dead-letters/{task_id}/discard", json={"reason": "called off"})
    await caught_up(ledger)
    after = (await client.get(f"/dead-letters/{task_id}")).json()

    assert (before["kind"], before["input"], before["attempt"], before["act"]) == ("task", {"a": 1}, 1, None)
    assert (before["error"]["type"], before["error"]["message"]) == ("ValueError", "no")
    assert [event["type"] for event in before["history"]] == ["task.submitted", "task.started", "task.failed"]
    assert before["stale_writes"] == []
    assert response.status_code == 202
    assert response.json() == {
        "id": str(task_id), "kind": "task", "act": "discarded", "task_id": str(task_id), "task_version": 4,
    }  # fmt: skip
    assert int(response.headers["ledger-position"]) == after["history"][-1]["position"]
    assert (after["act"]["act"], after["act"]["actor"], after["act"]["reason"]) == (
        "discarded", "client", "called off",
    )  # fmt: skip
    assert (await client.get("/dead-letters")).json()["dead_letters"] == []


async def test_one_of_each_kind_is_redriven(client: httpx.AsyncClient, ledger: Ledger) -> None:
    [dead] = await failed(ledger)
    [pending] = await submitted(ledger)
    [letter] = await dead_messages(ledger, "default", [await announcement(ledger, pending)])

    of_task = await client.post(f"/dead-letters/{dead}/redrive", headers={"X-Correlation-Id": "call-9"})
    of_message = await client.post(f"/dead-letters/{letter}/redrive", json={"reason": "worker rolled out"})
    shown = (await client.get(f"/dead-letters/{letter}")).json()

    assert (of_task.status_code, of_message.status_code) == (202, 202)
    assert (await types_of(ledger, dead))[-1] == "retried"
    assert (await ledger.store.read_stream(dead))[-1].correlation_id == "call-9"
    assert (await types_of(ledger, pending))[-1] == "released"
    assert (shown["act"]["act"], shown["act"]["reason"]) == ("redriven", "worker rolled out")


async def test_what_cannot_be_done_is_a_conflict_with_its_reason(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    [letter] = await dead_messages(ledger, "default", [foreign("default")])

    refused = await client.post(f"/dead-letters/{letter}/redrive")

    assert_problem(refused, 409, f"cannot redrive dead letter {letter}: it is no message of this ledger")
    assert refused.json()["dead_letter_id"] == str(letter)
    assert refused.json()["reason"] == "it is no message of this ledger, only discarding it makes sense"


async def test_discarding_without_a_reason_is_refused(client: httpx.AsyncClient, ledger: Ledger) -> None:
    [task_id] = await failed(ledger)

    for body, sentence in (
        (None, "reason is required"),
        ({}, "reason is required"),
        ({"reason": ""}, "reason must be given, and not blank, got ''"),
        ({"reason": " "}, "reason must be given, and not blank, got ' '"),
        ({"reason": "x" * 1001}, "reason must be at most 1000 characters"),
        ({"reason": 7}, "reason must be a string"),
        ({"reason": "x", "force": True}, "unknown field: force"),
    ):
        response = await client.post(f"/dead-letters/{task_id}/discard", json=body)
        assert_problem(response, 400, f"Invalid request body: {sentence}")

    assert (await types_of(ledger, task_id))[-1] == "failed"


async def test_an_id_that_is_nobodys_is_not_found(client: httpx.AsyncClient, ledger: Ledger) -> None:
    [pending] = await submitted(ledger)

    for letter_id in (UNKNOWN_ID, str(pending)):
        assert_problem(await client.get(f"/dead-letters/{letter_id}"), 404, "Dead letter not found")
    for act in ("redrive", "discard"):
        response = await client.post(f"/dead-letters/{UNKNOWN_ID}/{act}", json={"reason": "x"})
        assert_problem(response, 404, "Dead letter not found")
        response = await client.post(f"/dead-letters/nonsense/{act}", json={"reason": "x"})
        assert_problem(response, 400, "Invalid Dead Letter ID format")
    assert_problem(await client.get(f"/dead-letters/redrives/{UNKNOWN_ID}"), 404, "Bulk act not found")
    assert_problem(await client.post(f"/dead-letters/redrives/{UNKNOWN_ID}/cancel"), 404, "Bulk act not found")
    assert_problem(await client.get("/dead-letters/redrives/nonsense"), 400, "Invalid Bulk Act ID format")


async def test_a_dry_run_counts_shows_a_sample_and_changes_nothing(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    tasks = await failed(ledger, 12, queue="mail")
    await failed(ledger)

    dry = (await client.post("/dead-letters/redrive", json={"filter": {"queue": "mail"}})).json()
    bounded = (await client.post("/dead-letters/redrive", json={"limit": 3})).json()
    await BulkChore(ledger).run_once(ledger.clock.now() + SECOND)

    assert (dry["dry_run"], dry["count"]) == (True, 12)
    assert [letter["id"] for letter in dry["sample"]] == [str(task_id) for task_id in reversed(tasks[2:])]
    assert (bounded["count"], len(bounded["sample"])) == (3, 3)
    assert {tuple(await types_of(ledger, task_id)) for task_id in tasks} == {("submitted", "started", "failed")}


async def test_many_are_redriven_at_a_rate_shown_and_cancelled(client: httpx.AsyncClient, ledger: Ledger) -> None:
    tasks = await failed(ledger, 5, tags=("tenant:acme",))
    asked = {
        "filter": {"tags": ["tenant:acme"], "died_after": "2020-01-01T00:00:00Z"},
        "dry_run": False,
        "rate_per_s": 2,
        "reason": "fixed",
    }

    response = await client.post("/dead-letters/redrive", json=asked)
    begun = response.json()
    await BulkChore(ledger).run_once(ledger.clock.now() + SECOND)
    shown = (await client.get(response.headers["location"])).json()
    cancelled = (await client.post(f"{response.headers['location']}/cancel")).json()

    assert response.status_code == 202
    assert response.headers["location"] == f"/dead-letters/redrives/{begun['bulk_id']}"
    assert (begun["state"], begun["count"], begun["acted"]) == ("running", 5, 0)
    assert (begun["filter"]["tags"], begun["rate_per_s"], begun["actor"]) == (["tenant:acme"], 2, "client")
    assert (shown["acted"], shown["skipped"]) == (2, 0)
    assert (cancelled["state"], cancelled["cancelled_by"]) == ("cancelled", "client")
    assert sum([(await types_of(ledger, task_id))[-1] == "retried" for task_id in tasks]) == 2


async def test_many_are_discarded_for_a_reason(client: httpx.AsyncClient, ledger: Ledger) -> None:
    tasks = await failed(ledger, 2)

    dry = (await client.post("/dead-letters/discard", json={})).json()
    refused = await client.post("/dead-letters/discard", json={"dry_run": False})
    response = await client.post("/dead-letters/discard", json={"dry_run": False, "reason": "called off"})
    await BulkChore(ledger).run_once(ledger.clock.now() + SECOND)
    await caught_up(ledger)
    shown = (await client.get(response.headers["location"])).json()
    of_task = (await client.get(f"/dead-letters/{tasks[0]}")).json()

    assert dry["count"] == 2
    assert_problem(refused, 400, "Invalid request body: reason must be given, and not blank, got ''")
    assert response.headers["location"] == f"/dead-letters/discards/{shown['bulk_id']}"
    assert (shown["act"], shown["acted"], shown["reason"]) == ("discarded", 2, "called off")
    assert (of_task["act"]["act"], of_task["act"]["bulk_id"]) == ("discarded", shown["bulk_id"])


BAD_QUESTIONS = {
    "limit=0": "limit must be at least 1",
    "limit=101": "limit must be at most 100, got 101",
    "kind=letter": "kind must be one of 'task' or 'message'",
    "queue=A": "queue must be text that matches",
    "error_type=%00": "error_type must be text without NUL characters",
    "cause=" + "x" * 201: "cause must be at most 200 characters",
    "tag=": "tag.0 must be at least 1 characters",
    "died_after=yesterday": "died_after must be an RFC 3339 time with its offset",
    "cursor=nonsense": "cursor must be a next_cursor of this list",
    "colour=red": "unknown field: colour",
}


async def test_every_bad_question_is_refused_with_a_sentence(client: httpx.AsyncClient) -> None:
    for asked, sentence in BAD_QUESTIONS.items():
        assert_problem(await client.get(f"/dead-letters?{asked}"), 400, f"Invalid request query: {sentence}")


async def test_a_cursor_of_other_filters_or_of_another_list_is_refused(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    await failed(ledger, 2)
    ours = (await client.get("/dead-letters?limit=1")).json()["next_cursor"]
    others = (await client.get("/tasks?limit=1")).json()["next_cursor"]

    for asked in (f"cursor={ours}&queue=mail", f"cursor={others}", f"cursor={ours[:-2]}"):
        refused = await client.get(f"/dead-letters?{asked}")
        assert_problem(refused, 400, "Invalid request query: cursor must be a next_cursor of this list")
    assert_problem(await client.get(f"/tasks?cursor={ours}"), 400, "Invalid request query: cursor must be")


BAD_REDRIVES: list[tuple[dict[str, object], str]] = [
    ({"rate_per_s": 0}, "rate_per_s must be at least 1, got 0"),
    ({"rate_per_s": 1001}, "rate_per_s must be at most 1000, got 1001"),
    ({"rate_per_s": "50"}, "rate_per_s must be an integer"),
    ({"limit": 0}, "limit must be at least 1"),
    ({"dry_run": "no"}, "dry_run must be true or false"),
    ({"filter": {"queue": "A"}}, "filter.queue must be text that matches"),
    ({"filter": {"colour": "red"}}, "unknown field: filter.colour"),
    ({"filter": {"died_before": 7}}, "filter.died_before must be an RFC 3339 time with its offset"),
    ({"queue": "mail"}, "unknown field: queue"),
    ({"reason": "x" * 1001}, "reason must be at most 1000 characters"),
]


async def test_every_bad_redrive_is_refused_with_a_sentence(client: httpx.AsyncClient) -> None:
    for asked, sentence in BAD_REDRIVES:
        response = await client.post("/dead-letters/redrive", json=asked)
        assert_problem(response, 400, f"Invalid request body: {sentence}")
