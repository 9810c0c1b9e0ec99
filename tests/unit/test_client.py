"""The client against a real socket: what it sends again, what it never does, and what it says."""

import socket
from uuid import UUID

import pytest

from api.client import (
    AsyncTaskLedger,
    ClientSettingError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    Retries,
    SubmitManyError,
    TaskLedger,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from tests.unit.scripted_server import Reply, problem, scripted

TASK_ID = "01900000-0000-7000-8000-000000000000"
TAKEN = Reply(202, b'{"task_id":"%b","news":1}' % TASK_ID.encode(), {"Ledger-Position": "7"})
DROPPED = Reply()
AT_ONCE = Retries(base_seconds=0.0)


def _event(position: int) -> bytes:
    text = (
        '{"id":"x","position":%d,"task_id":"%s","version":1,"type":"task.completed","kind":"k","queue":"q",'
        '"data":{"text":"a\u2028b"},"occurred_at":"2030-01-01T00:00:00Z","recorded_at":"2030-01-01T00:00:00Z"}'
    )
    return f"id: {position}\nevent: task.completed\ndata: {text % (position, TASK_ID)}\n\n".encode()


def _stream(*positions: int, rest: bytes = b"") -> Reply:
    return Reply(200, b"retry: 1\n\n" + b"".join(map(_event, positions)) + rest)


def test_a_submit_whose_answer_was_lost_is_repeated_under_the_same_key_and_body() -> None:
    with scripted(DROPPED, problem(503, "unavailable"), TAKEN) as server:
        receipt = TaskLedger(server.url, retries=AT_ONCE).submit("mail", {"to": "ada"}, delay=60)

    assert (receipt.task_id, receipt.position, receipt.replayed) == (UUID(TASK_ID), 7, False)
    assert len(server.requests) == 3
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert {request.body for request in server.requests} == {b'{"kind":"mail","input":{"to":"ada"},"delay_s":60}'}


async def test_the_asynchronous_client_repeats_as_well() -> None:
    with scripted(DROPPED, problem(502, "x"), TAKEN) as server:
        async with AsyncTaskLedger(server.url, retries=AT_ONCE) as ledger:
            receipt = await ledger.submit("mail", idempotency_key="order-7")

    assert receipt.task_id == UUID(TASK_ID)
    assert [request.headers["idempotency-key"] for request in server.requests] == ["order-7"] * 3


def test_a_submit_without_a_key_whose_answer_was_lost_is_an_error_in_doubt() -> None:
    with scripted(DROPPED, TAKEN) as server, pytest.raises(ConnectionFailedError) as raised:
        TaskLedger(server.url, retries=AT_ONCE).submit("mail", idempotent=False)

    assert raised.value.is_in_doubt
    assert len(server.requests) == 1
    assert "idempotency-key" not in server.requests[0].headers


def test_a_submit_without_a_key_is_not_repeated_after_a_503_that_leaves_it_in_doubt() -> None:
    with scripted(problem(503, "unavailable"), TAKEN) as server, pytest.raises(UnavailableError):
        TaskLedger(server.url, retries=AT_ONCE).submit("mail", idempotent=False)

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "refusal", [problem(429, "rate"), problem(503, "unwritable"), problem(409, "key-in-flight")]
)
def test_what_was_refused_untouched_is_sent_again_even_without_a_key(refusal: Reply) -> None:
    with scripted(refusal, TAKEN) as server:
        TaskLedger(server.url, retries=AT_ONCE).submit("mail", idempotent=False)

    assert len(server.requests) == 2


def test_a_cancel_is_never_sent_twice() -> None:
    with scripted(DROPPED, TAKEN) as server, pytest.raises(ConnectionFailedError):
        TaskLedger(server.url, retries=AT_ONCE).cancel(TASK_ID)

    assert len(server.requests) == 1


def test_retry_after_is_honoured_and_a_longer_one_than_the_budget_is_an_error_at_once() -> None:
    with (
        scripted(problem(429, "rate", **{"Retry-After": "3600"})) as server,
        pytest.raises(RateLimitedError) as raised,
    ):
        TaskLedger(server.url, retries=AT_ONCE).submit("mail")

    assert raised.value.retry_after_seconds == 3600
    assert len(server.requests) == 1


def test_the_attempts_are_bounded() -> None:
    with scripted(problem(503, "unavailable")) as server, pytest.raises(UnavailableError):
        TaskLedger(server.url, retries=Retries(base_seconds=0, attempts_max=4)).submit("mail")

    assert len(server.requests) == 4


def test_a_server_that_is_not_there_is_said_without_doubt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(ConnectionFailedError) as raised:
        TaskLedger(f"http://127.0.0.1:{port}", retries=Retries(base_seconds=0, attempts_max=2)).submit("mail")

    assert not raised.value.is_in_doubt


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequestError),
        (401, UnauthenticatedError),
        (404, NotFoundError),
        (409, ConflictError),
        (500, UnavailableError),
    ],
)
def test_problem_documents_become_errors(status: int, error: type[Exception]) -> None:
    with scripted(problem(status, "some-problem")) as server, pytest.raises(error) as raised:
        TaskLedger(server.url, retries=AT_ONCE).get(TASK_ID)

    assert vars(raised.value)["problem"] == "some-problem"
    if isinstance(raised.value, InvalidRequestError):
        assert raised.value.field == "kind"


def test_an_answer_of_something_else_is_said_to_be_unexpected() -> None:
    with scripted(Reply(200, b"<html>")) as server, pytest.raises(UnexpectedAnswerError):
        TaskLedger(server.url).get(TASK_ID)


def test_a_later_chunk_that_fails_tells_which_tasks_are_there() -> None:
    first = Reply(202, b'{"task_ids":["%b"]}' % TASK_ID.encode())
    with scripted(first, DROPPED) as server, pytest.raises(SubmitManyError) as raised:
        TaskLedger(server.url, retries=AT_ONCE).submit_many([{"input": 1}, {"input": 2}], chunk_size=1)

    assert (raised.value.task_ids, raised.value.is_in_doubt) == ([UUID(TASK_ID)], True)
    assert [request.body for request in server.requests] == [b'[{"input":1}]', b'[{"input":2}]']


def test_the_api_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_API_KEY", "s3cret")
    with scripted(problem(401, "x")) as server:
        monkeypatch.setenv("LEDGER_URL", server.url)
        ledger = TaskLedger()
        with pytest.raises(UnauthenticatedError) as raised:
            ledger.get(TASK_ID)

    assert server.requests[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(ledger) + str(raised.value) + repr(raised.value)


@pytest.mark.parametrize("url", ["", "ledger:8080", "ftp://ledger", "http://ada:s3cret@ledger"])
def test_a_base_url_that_is_none_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ClientSettingError) as raised:
        TaskLedger(url)

    assert "s3cret" not in str(raised.value)


def test_a_stream_goes_on_after_the_last_event_without_gap_or_repeat_over_broken_connections() -> None:
    cut = _stream(1, 2, rest=_event(3)[:40])
    quiet = Reply(200, b": heartbeat\nid: 9\n\n")
    replies = (cut, DROPPED, problem(503, "too-many-waiting"), _stream(3), quiet, _stream(10))
    with scripted(*replies) as server:
        stream = TaskLedger(server.url, retries=AT_ONCE).stream(types=["task.completed"])
        events = [next(stream) for _ in range(4)]

    assert [event.position for event in events] == [1, 2, 3, 10]
    assert events[0].data == {"text": "a\u2028b"}
    resumed = [request.headers.get("last-event-id") for request in server.requests]
    assert resumed == [None, "2", "2", "2", "3", "9"]
    assert server.requests[0].path == "/events/stream?types=task.completed"


async def test_the_asynchronous_client_streams_as_well() -> None:
    with scripted(_stream(1), DROPPED, _stream(2)) as server:
        async with AsyncTaskLedger(server.url, retries=AT_ONCE) as ledger:
            stream = ledger.stream(TASK_ID)
            events = [await anext(stream) for _ in range(2)]

    assert [event.position for event in events] == [1, 2]


def test_reads_wait_for_what_the_client_has_written_unless_told_not_to() -> None:
    task = Reply(
        200, b'{"task_id":"%b","status":"PENDING","input":1,"result":null,' % TASK_ID.encode()
        + b'"created_at":"2030-01-01T00:00:00Z","updated_at":"2030-01-01T00:00:00Z"}',
    )  # fmt: skip
    for choice, sent in ((True, "7"), (False, None)):
        with scripted(TAKEN, task) as server:
            ledger = TaskLedger(server.url, read_your_writes=choice)
            ledger.status(ledger.submit("mail").task_id)

        assert server.requests[1].headers.get("ledger-min-position") == sent
