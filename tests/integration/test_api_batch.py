"""POST /tasks/batch: all of the tasks are recorded or none, in whichever form, and every error is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.task_words import HoldReason
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api, submitted

LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(
        database_url, body_bytes_max=2048, batch_tasks_max=2000, batch_bytes_max=200_000, batches_at_once_max=1
    ) as api:
        yield api


def lines(items: Sequence[object]) -> bytes:
    return "\n".join(json.dumps(item) for item in items).encode()


def errors_of(response: httpx.Response) -> list[tuple[int, str | None, str]]:
    return [(error["index"], error["field"], error["message"]) for error in response.json()["errors"]]


async def inputs(ledger: Ledger, task_ids: Sequence[str]) -> list[object]:
    return [(await ledger.commands.load(UUID(task_id))).input for task_id in task_ids]


@pytest.mark.parametrize("form", ["array", "lines"])
async def test_a_batch_is_recorded_and_answered_in_the_order_of_its_items(
    client: httpx.AsyncClient, ledger: Ledger, form: str
) -> None:
    items = [{"input": number, "kind": "letter", "tags": ["a"]} for number in range(1100)]

    if form == "array":
        response = await client.post("/tasks/batch", json=items)
    else:
        response = await client.post("/tasks/batch", content=lines(items) + b"\n\n", headers=LINES)

    assert response.status_code == 202, response.text
    answer = response.json()
    assert answer["count"] == len(answer["task_ids"]) == 1100
    assert await inputs(ledger, answer["task_ids"][:3] + answer["task_ids"][-1:]) == [0, 1, 2, 1099]
    assert int(response.headers["ledger-position"]) == await ledger.store.safe_position() == 1100
    task = await ledger.commands.load(UUID(answer["task_ids"][0]))
    assert (task.kind, task.tags, task.ready, task.max_attempts) == ("letter", ["a"], True, 3)


async def test_the_tasks_of_a_batch_share_a_correlation_id_of_their_own_or_that_of_the_header(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    items = [{"input": 1}, {"input": 2}]

    own = await client.post("/tasks/batch", json=items)
    given = await client.post("/tasks/batch", json=items, headers={"X-Correlation-Id": "order/17"})

    first, second, third, fourth = [
        (await ledger.store.read_stream(UUID(task_id)))[0].correlation_id
        for response in (own, given)
        for task_id in response.json()["task_ids"]
    ]
    assert first == second != "order/17"
    assert third == fourth == "order/17"


async def test_every_error_is_told_with_its_item_and_nothing_is_recorded(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    items: list[object] = [
        {"input": "fine"},
        {"kind": 5},
        {"input": 1, "queue": "Mail"},
        {"input": "a\0b"},
        {"input": 1, "run_at": "2030-01-01T00:00:00Z", "delay_s": 1},
        {"input": 1, "unique_key": "order-17"},
        {"input": "x" * 2048},
        {"input": 1, "colour": "red"},
    ]

    response = await client.post("/tasks/batch", content=lines([*items, 7]), headers=LINES)

    assert_problem(
        response, 400, "Invalid request body: 9 errors, the first in item 1: input is required; nothing"
    )
    assert response.json()["error_count"] == 9
    told = errors_of(response)
    assert told[:2] == [(1, "input", "input is required"), (1, "kind", "kind must be a string, got 5")]
    assert [(index, field) for index, field, _ in told[2:]] == [
        (2, "queue"), (3, "input"), (4, None), (5, "unique_key"), (6, None), (7, "colour"), (8, None),
    ]  # fmt: skip
    assert [message[:20] for _, _, message in told[2:]] == [
        "queue must be 1 to 6", "input must be text w", "run_at and delay_s m", "unique_key must be a",
        "it must be at most 2", "unknown field: colou", "it must be a JSON ob",
    ]  # fmt: skip
    assert await ledger.store.safe_position() == 0


async def test_of_many_errors_a_hundred_are_told_and_all_are_counted(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks/batch", json=[{}] * 250)

    assert response.status_code == 400
    assert len(response.json()["errors"]) == 100
    assert response.json()["error_count"] == 250


async def test_an_item_of_nothing_but_errors_is_told_in_one_sentence(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks/batch", json=[{"input": 1}, {"input": 1, "tags": [1] * 500}])

    assert errors_of(response) == [(1, None, "it has 500 errors")]


BAD_BODIES = [
    (b"", "it must be a JSON array of tasks"),
    (b'{"input":1}', "it must be a JSON array of tasks"),
    (b"[]", "a batch must have 1 to 2000 items (LEDGER_BATCH_TASKS_MAX), got none"),
    (b'[{"input":1}', "invalid JSON: a comma or the end of the array must follow item 0"),
    (b'[{"input":1},2]', "item 1 must be a JSON object"),
    (b'[{"input":"%s"}]' % (b"x" * 2048), "invalid JSON: item 0 must end within 2048 bytes"),
    (b"[%s{}]" % (b"{}," * 2000), "a batch must have 1 to 2000 items (LEDGER_BATCH_TASKS_MAX), got more"),
]


async def test_a_body_that_is_no_batch_is_refused(client: httpx.AsyncClient, ledger: Ledger) -> None:
    for content, sentence in BAD_BODIES:
        assert_problem(
            await client.post("/tasks/batch", content=content), 400, f"Invalid request body: {sentence}"
        )
    assert await ledger.store.safe_position() == 0


async def test_a_body_beyond_the_bound_of_batches_is_refused_by_the_name_of_its_setting(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post("/tasks/batch", content=b"[" + b" " * 200_000)

    assert_problem(response, 413, "The request body must be at most 200000 bytes (LEDGER_BATCH_BYTES_MAX)")


async def test_an_idempotency_key_is_refused_rather_than_ignored(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks/batch", json=[{"input": 1}], headers={"Idempotency-Key": "k"})

    assert_problem(response, 400, "Invalid request header: Idempotency-Key is not taken with a batch")


async def test_more_batches_at_once_than_the_bound_are_sent_away_and_told_to_come_again(
    client: httpx.AsyncClient,
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b'[{"input":'
        arrived.set()
        await go_on.wait()
        yield b"1}]"

    slow = asyncio.create_task(client.post("/tasks/batch", content=slowly()))
    await arrived.wait()
    refused = await client.post("/tasks/batch", json=[{"input": 1}])
    go_on.set()

    assert_problem(
        refused, 503, "As many batches as may be at once are under way already: 1 (LEDGER_BATCHES_AT_ONCE_MAX)"
    )
    assert refused.headers["retry-after"] == "1"
    assert (await slow).status_code == 202
    assert (await client.post("/tasks/batch", json=[{"input": 1}])).status_code == 202


async def test_a_body_that_does_not_arrive_in_time_gives_its_place_up(database_url: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    async with opened_api(database_url, batch_read_seconds_max=0.1, batches_at_once_max=1) as (_, client):
        refused = await client.post("/tasks/batch", content=endless())

        assert_problem(refused, 408, "The request body must arrive within 0.1 seconds")
        assert (await client.post("/tasks/batch", json=[{"input": 1}])).status_code == 202


async def test_items_wait_for_each_other_by_their_refs_in_any_order(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    existing = await submitted(client)

    response = await client.post(
        "/tasks/batch",
        json=[
            {"input": 1, "after": ["b", "c"], "on_parent_failure": "fail"},
            {"input": 2, "ref": "b", "after": ["c", existing]},
            {"input": 3, "ref": "c"},
        ],
    )

    first, second, third = [UUID(task_id) for task_id in response.json()["task_ids"]]
    tasks = [await ledger.commands.load(task_id) for task_id in (first, second, third)]
    assert [task.after for task in tasks] == [[second, third], [third, UUID(existing)], []]
    assert [task.hold for task in tasks] == [HoldReason.AFTER, HoldReason.AFTER, None]
    assert [task.on_parent_failure for task in tasks] == ["fail", "cancel", None]


BAD_REFERENCES: list[tuple[list[dict[str, object]], tuple[int, str, str]]] = [
    ([{"ref": "a", "after": ["a"]}], (0, "after", "after must be other tasks than the item itself, got 'a'")),
    ([{"after": ["x"]}], (0, "after", "after must be task ids or refs of the batch, got 'x'")),
    ([{"after": ["no ref"]}], (0, "after", "after must be task ids or refs of the batch, got 'no ref'")),
    ([{}, {"after": [UNKNOWN_ID]}], (1, "after", f"after must be tasks that exist, got '{UNKNOWN_ID}'")),
    ([{"ref": "a"}, {"after": ["a", "a"]}], (1, "after", "after must be different tasks, got [")),
    ([{"ref": "a"}, {"ref": "a"}], (1, "ref", "ref must be another than that of item 0, got 'a'")),
    ([{"ref": "no ref"}], (0, "ref", "ref must be 1 to 100 characters of A-Z a-z 0-9 _ . : / -, and no task")),
    (
        [{"ref": UNKNOWN_ID}],
        (0, "ref", "ref must be 1 to 100 characters of A-Z a-z 0-9 _ . : / -, and no task"),
    ),
    (
        [{}, {"ref": "a", "after": ["b"]}, {"ref": "b", "after": ["c"]}, {"ref": "c", "after": ["a"]}],
        (1, "after", "after must not lead back to the item itself, got a → b → c → a (3 items)"),
    ),
    ([{"after": [f"r{n}" for n in range(101)]}], (0, "after", "after must be at most 100 entries")),
    ([{"on_parent_failure": "ignore"}], (0, "on_parent_failure", "on_parent_failure must be one of")),
]


async def test_an_item_that_waits_for_what_it_cannot_is_refused(client: httpx.AsyncClient, ledger: Ledger) -> None:
    for items, (index, field, sentence) in BAD_REFERENCES:
        response = await client.post("/tasks/batch", json=[{"input": 1, **item} for item in items])

        assert response.status_code == 400, response.text
        (told,) = errors_of(response)
        assert told[:2] == (index, field)
        assert told[2].startswith(sentence), told[2]
    assert await ledger.store.safe_position() == 0


async def test_a_single_task_waits_for_tasks_that_exist(client: httpx.AsyncClient, ledger: Ledger) -> None:
    parent = await submitted(client)

    task_id = await submitted(client, after=[parent])
    unknown = await client.post("/tasks", json={"input": 1, "after": [parent, UNKNOWN_ID]})
    no_id = await client.post("/tasks", json={"input": 1, "after": ["a"]})

    task = await ledger.commands.load(UUID(task_id))
    assert (task.after, task.hold, task.ready) == ([UUID(parent)], HoldReason.AFTER, False)
    assert_problem(unknown, 400, f"Invalid request body: after must be tasks that exist, got '{UNKNOWN_ID}'")
    assert_problem(no_id, 400, "Invalid request body: after must be task ids, got 'a'")


async def test_other_requests_have_their_turns_while_a_batch_is_read(database_url: str) -> None:
    async with opened_api(database_url) as (_, client):
        batch = asyncio.create_task(client.post("/tasks/batch", json=[{"input": 1}] * 10_000))
        turns = 0
        while not batch.done():
            await asyncio.sleep(0)
            turns += 1

        assert (await batch).json()["count"] == 10_000
        assert turns > 200
