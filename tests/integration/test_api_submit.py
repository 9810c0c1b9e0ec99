"""POST /tasks: what is recorded, what is answered, and that no body, however bad, is ever a 500."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from pydantic import JsonValue

from ledger.bootstrap import Ledger
from tests.integration.api_given import assert_problem, opened_api, submitted

BODY_BYTES_MAX = 4096
JSON_VALUES: list[JsonValue] = [
    "", "hello", "ümläut 𝄞 \u2028", 0, -1.5, 2**63 - 1, True, None, [], {}, [1, [2, {"a": None}]], {"": {"b": []}},
]  # fmt: skip


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(
        database_url, body_bytes_max=BODY_BYTES_MAX, default_max_attempts=7, default_timeout_seconds=12.5
    ) as api:
        yield api


async def test_a_submit_is_answered_as_the_seed_does_and_says_where_the_task_is(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks", content=b'{"input":"hello"}')

    task_id = UUID(response.json()["task_id"])
    assert response.status_code == 202
    assert response.content == b'{"task_id":"%s"}' % str(task_id).encode()
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["location"] == f"/tasks/{task_id}"
    assert int(response.headers["ledger-position"]) > 0


async def test_a_submit_that_was_answered_is_in_the_ledger_with_the_defaults_of_the_settings(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = UUID(await submitted(client))

    task = await ledger.commands.load(task_id)
    (event,) = await ledger.store.read_stream(task_id)
    assert (task.kind, task.queue, task.priority, task.tags) == ("default", "default", 5, [])
    assert (task.max_attempts, task.timeout_s, task.ready) == (7, 12.5, True)
    assert task.backoff == {"base_s": 1.0, "cap_s": 300.0}
    assert (event.actor, event.correlation_id, event.traceparent) == ("client", str(task_id), None)


async def test_every_field_of_a_submit_is_recorded(client: httpx.AsyncClient, ledger: Ledger) -> None:
    fields: dict[str, object] = {
        "kind": "mail.send", "queue": "mail", "priority": 9, "max_attempts": 1, "timeout_s": 0.5, "tags": ["a"],
    }  # fmt: skip

    task = await ledger.commands.load(UUID(await submitted(client, **fields)))

    assert {name: getattr(task, name) for name in fields} == fields


async def test_a_field_that_is_null_counts_as_absent(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client, kind=None, priority=None, run_at=None, delay_s=None, tags=None)

    task = await ledger.commands.load(UUID(task_id))
    assert (task.kind, task.priority, task.ready) == ("default", 5, True)


async def test_any_json_value_is_an_input_and_is_read_back_as_it_was(client: httpx.AsyncClient) -> None:
    for value in JSON_VALUES:
        task_id = await submitted(client, input=value)

        assert (await client.get(f"/tasks/{task_id}/status")).json()["input"] == value


async def test_the_content_type_is_ignored_as_in_the_seed(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks", content=b'{"input":1}', headers={"Content-Type": "text/plain"})

    assert response.status_code == 202


async def test_of_a_name_that_stands_twice_the_last_one_counts(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks", content=b'{"input":1,"input":2}')

    status = await client.get(f"{response.headers['location']}/status")
    assert status.json()["input"] == 2


@pytest.mark.parametrize("given", [{"delay_s": 3600}, {"run_at": "in an hour"}])
async def test_a_task_for_later_waits_until_then(
    client: httpx.AsyncClient, ledger: Ledger, given: dict[str, object]
) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    if "run_at" in given:
        given = {"run_at": due.astimezone().isoformat()}

    task = await ledger.commands.load(UUID(await submitted(client, **given)))

    assert task.release_at is not None
    assert not task.ready
    assert abs(task.release_at - due) < timedelta(minutes=1)


@pytest.mark.parametrize("given", [{"delay_s": 0}, {"run_at": "2001-01-01T00:00:00Z"}])
async def test_a_time_that_is_past_means_now(
    client: httpx.AsyncClient, ledger: Ledger, given: dict[str, object]
) -> None:
    assert (await ledger.commands.load(UUID(await submitted(client, **given)))).ready


async def test_correlation_and_trace_of_the_caller_are_in_the_event(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    response = await client.post(
        "/tasks", json={"input": 1}, headers={"X-Correlation-Id": "order/17", "traceparent": traceparent}
    )

    (event,) = await ledger.store.read_stream(UUID(response.json()["task_id"]))
    assert (event.correlation_id, event.traceparent) == ("order/17", traceparent)


async def test_a_browser_of_another_origin_reaches_the_same_endpoint(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks", json={"input": 1}, headers={"Origin": "http://localhost:3000"})
    refused = await client.post("/tasks", json={}, headers={"Origin": "http://localhost:3000"})

    assert response.status_code == 202
    assert_problem(refused, 400, "Invalid request body: input is required")
    for answer in (response, refused):
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "Ledger-Position" in answer.headers["access-control-expose-headers"]


DEEP = b"[" * 65 + b"]" * 65
BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "invalid JSON: EOF"),
    "no JSON": (b"{", "invalid JSON: EOF"),
    "trailing text": (b'{"input":1}x', "invalid JSON: trailing characters"),
    "byte order mark": (b'\xef\xbb\xbf{"input":1}', "invalid JSON: expected value"),
    "UTF-16": ('{"input":1}'.encode("utf-16"), "invalid JSON: expected value"),
    "invalid UTF-8": (b'{"input":"\xff"}', "invalid JSON: invalid unicode"),
    "an array": (b"[]", "it must be a JSON object"),
    "a string": (b'"hello"', "it must be a JSON object"),
    "null": (b"null", "it must be a JSON object"),
    "no input": (b"{}", "input is required"),
    "one unknown field": (b'{"input":1,"colour":"red"}', "unknown field: colour"),
    "unknown fields": (b'{"input":1,"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}', "unknown fields: a, b, c, d, e and 1"),
    "an endless name": (b'{"input":1,"%s":1}' % (b"x" * 999), f"unknown field: {'x' * 60}…"),
    "NUL in the input": (rb'{"input":"a\u0000b"}', "input must be text without NUL characters"),
    "NUL in a key of the input": (rb'{"input":{"a\u0000":1}}', "input must be text without NUL characters"),
    "NUL in a tag": (rb'{"input":1,"tags":["\u0000"]}', "tags must be 1 to 100 characters each"),
    "a raw control character": (b'{"input":"a\0b"}', "invalid JSON: control character"),
    "a lone surrogate": (rb'{"input":"\ud800"}', "invalid JSON: "),
    "reversed surrogates": (rb'{"input":"\udc00\ud800"}', "invalid JSON: "),
    "a lone surrogate in the kind": (rb'{"input":1,"kind":"\udfff"}', "invalid JSON: "),
    "deeper than the bound": (b'{"input":%s}' % DEEP, "input must be nested at most 64 deep"),
    "deeper than any parser": (b'{"input":%s' % (b"[" * 3000), "invalid JSON: recursion limit exceeded"),
    "beyond a double": (b'{"input":1e400}', "input must be a finite number, got inf"),
    "NaN": (b'{"input":[NaN]}', "input must be a finite number, got nan"),
    "beyond 64 bits": (b'{"input":18446744073709551616}', "input must be integers of at most 64 bits"),
    "below 64 bits": (b'{"input":[-9223372036854775809]}', "input must be integers of at most 64 bits"),
    "thousands of digits": (b'{"input":%s}' % (b"9" * 4000), "input must be integers of at most 64 bits"),
    "kind of a number": (b'{"input":1,"kind":5}', "kind must be a string, got 5"),
    "empty kind": (b'{"input":1,"kind":""}', "kind must be 1 to 200 characters of A-Z"),
    "kind of two lines": (rb'{"input":1,"kind":"a\n"}', "kind must be 1 to 200 characters of A-Z"),
    "queue in capitals": (b'{"input":1,"queue":"Mail"}', "queue must be 1 to 64 characters of a-z"),
    "priority of text": (b'{"input":1,"priority":"5"}', "priority must be an integer, got '5'"),
    "priority of a fraction": (b'{"input":1,"priority":5.0}', "priority must be an integer, got 5.0"),
    "priority of true": (b'{"input":1,"priority":true}', "priority must be an integer, got True"),
    "priority too high": (b'{"input":1,"priority":10}', "priority must be between 0 and 9, got 10"),
    "priority far too high": (b'{"input":1,"priority":1%s}' % (b"0" * 30), "priority must be between 0 and 9"),
    "no attempts": (b'{"input":1,"max_attempts":0}', "max_attempts must be between 1 and 1000, got 0"),
    "no time": (b'{"input":1,"timeout_s":0}', "timeout_s must be between 0.1 and"),
    "time of text": (b'{"input":1,"timeout_s":"5"}', "timeout_s must be a number, got '5'"),
    "time without end": (b'{"input":1,"timeout_s":1e400}', "timeout_s must be between 0.1 and"),
    "time that is no number": (b'{"input":1,"timeout_s":NaN}', "timeout_s must be between 0.1 and"),
    "negative delay": (b'{"input":1,"delay_s":-1}', "delay_s must be at least 0"),
    "delay without end": (b'{"input":1,"delay_s":1e400}', "delay_s must be at most"),
    "delay that is no number": (b'{"input":1,"delay_s":NaN}', "delay_s must be"),
    "run_at of a number": (b'{"input":1,"run_at":1704067200}', "run_at must be an RFC 3339 time with its offset"),
    "run_at of digits": (b'{"input":1,"run_at":"1704067200"}', "run_at must be an RFC 3339 time with its offset"),
    "run_at without offset": (b'{"input":1,"run_at":"2030-01-01T00:00:00"}', "run_at must be an RFC 3339 time"),
    "run_at of a date": (b'{"input":1,"run_at":"2030-01-01"}', "run_at must be an RFC 3339 time"),
    "run_at of no day": (b'{"input":1,"run_at":"2030-02-30T00:00:00Z"}', "run_at must be an RFC 3339 time"),
    "run_at before time": (b'{"input":1,"run_at":"0001-01-01T00:00:00+14:00"}', "run_at must be an RFC 3339 time"),
    "run_at after time": (b'{"input":1,"run_at":"9999-12-31T23:59:59-14:00"}', "run_at must be an RFC 3339 time"),
    "run_at and delay_s": (
        b'{"input":1,"run_at":"2030-01-01T00:00:00Z","delay_s":1}', "run_at and delay_s must not both be given",
    ),
    "tags of text": (b'{"input":1,"tags":"a"}', "tags must be a list, got 'a'"),
    "tag of a number": (b'{"input":1,"tags":["a",1]}', "tags.1 must be a string, got 1"),
    "too many tags": (b'{"input":1,"tags":[%s"x"]}' % (b'"x",' * 20), "tags must be at most 20, got 21"),
    "an empty tag": (b'{"input":1,"tags":[""]}', "tags must be 1 to 100 characters each"),
    "two mistakes": (b'{"priority":"x"}', "input is required; priority must be an integer, got 'x'"),
}  # fmt: skip


async def test_every_bad_body_is_refused_with_a_sentence_and_leaves_nothing_in_the_ledger(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    answers = {name: await client.post("/tasks", content=body) for name, (body, _) in BAD_BODIES.items()}

    for name, (_, sentence) in BAD_BODIES.items():
        assert_problem(answers[name], 400, f"Invalid request body: {sentence}")
        assert len(answers[name].content) < 1000
    assert await ledger.store.safe_position() == 0


async def test_the_largest_body_is_taken_and_one_byte_more_is_not(client: httpx.AsyncClient) -> None:
    frame = len(b'{"input":""}')

    largest = await client.post("/tasks", content=b'{"input":"%s"}' % (b"x" * (BODY_BYTES_MAX - frame)))
    too_large = await client.post("/tasks", content=b'{"input":"%s"}' % (b"x" * (BODY_BYTES_MAX - frame + 1)))

    assert largest.status_code == 202
    assert_problem(too_large, 413, f"The request body must be at most {BODY_BYTES_MAX} bytes")


async def test_a_body_of_unknown_length_is_read_no_further_than_the_bound(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b" " * 1024

    response = await client.post("/tasks", content=endless())

    assert_problem(response, 413, "The request body must be at most")
    assert sent <= BODY_BYTES_MAX + 2048


@pytest.mark.parametrize("value", ["", "with space", "x" * 201, "ümläut"])
async def test_a_correlation_id_out_of_its_bound_is_refused(client: httpx.AsyncClient, value: str) -> None:
    response = await client.post(
        "/tasks", json={"input": 1}, headers=[(b"X-Correlation-Id", value.encode("latin-1"))]
    )

    assert_problem(response, 400, "Invalid request header: X-Correlation-Id must be 1 to 200 visible ASCII")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
async def test_a_traceparent_that_is_not_valid_is_ignored(
    client: httpx.AsyncClient, ledger: Ledger, value: str
) -> None:
    response = await client.post("/tasks", json={"input": 1}, headers={"traceparent": value})

    (event,) = await ledger.store.read_stream(UUID(response.json()["task_id"]))
    assert event.traceparent is None
