"""What the operations of the client have in common, against a real socket: lists, streams, downloads, scripts."""

import inspect
from collections.abc import Callable

import pytest

from api.client import (
    AsyncTaskLedger,
    ConnectionFailedError,
    Retries,
    RunFailedError,
    TaskLedger,
    UnauthenticatedError,
)
from tests.unit.scripted_server import Reply, problem, scripted

ID = "01900000-0000-7000-8000-000000000000"
AT_ONCE = Retries(base_seconds=0.0)
DROPPED = Reply()
HOOK = Reply(200, b'{"name":"hook","url":"https://example.org","state":"active","position":1}')
QUEUE = Reply(200, b'{"name":"mail","state":"paused"}')


def _run(state: str, error: str = "null") -> bytes:
    text = '{"run_id":"%s","projection":"task_status","act":"rebuild","state":"%s","error":%s}'
    return (text % (ID, state, error)).encode()


def _said(number: int, name: str, state: str) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, name.encode(), _run(state))


def test_a_run_is_followed_over_broken_connections_until_it_has_ended() -> None:
    begun = Reply(200, b"retry: 1\n\n" + _said(1, "progress", "running"))
    ended = Reply(200, _said(2, "ended", "succeeded") + _said(3, "progress", "never"))
    with scripted(begun, DROPPED, ended) as server:
        seen = list(TaskLedger(server.url, retries=AT_ONCE).projections.follow(ID))

    assert [run.state for run in seen] == ["running", "succeeded"]
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "1", "1"]


async def test_a_run_that_has_ended_long_ago_has_nothing_to_follow() -> None:
    with scripted(Reply(204)) as server:
        async with AsyncTaskLedger(server.url, retries=AT_ONCE) as client:
            assert [run async for run in client.projections.follow(ID)] == []


def test_a_run_that_failed_raises_why() -> None:
    with scripted(Reply(200, _run("running")), Reply(200, _run("failed", '"no disk"'))) as server:
        client = TaskLedger(server.url)

        with pytest.raises(RunFailedError, match="no disk"):
            client.projections.wait(ID, timeout=30)


def test_a_stream_that_is_closed_for_its_key_raises_what_comes_next_and_yields_nothing_of_it() -> None:
    closed = Reply(200, b'retry: 1\n\nevent: closed\ndata: {"reason":"not-authenticated"}\n\n')
    with scripted(closed, problem(401, "not-authenticated")) as server:
        with pytest.raises(UnauthenticatedError):
            next(TaskLedger(server.url, retries=AT_ONCE).stream())

        assert len(server.requests) == 2


async def test_an_export_that_breaks_off_is_an_error_and_not_begun_anew() -> None:
    cut = Reply(200, b'{"id":"a"}\n', {"Content-Length": "100"})
    with scripted(cut) as server:
        blocking: list[bytes] = []
        with pytest.raises(ConnectionFailedError):
            blocking.extend(TaskLedger(server.url, retries=AT_ONCE).export())
        async with AsyncTaskLedger(server.url, retries=AT_ONCE) as client:
            with pytest.raises(ConnectionFailedError):
                assert [piece async for piece in client.export()]

        assert len(server.requests) == 2


def test_an_export_that_finds_no_place_waits_for_one() -> None:
    with scripted(problem(503, "too-many-exports"), DROPPED, Reply(200, b"{}\n")) as server:
        assert b"".join(TaskLedger(server.url, retries=AT_ONCE).export()) == b"{}\n"


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda client: client.queues.pause("mail"), QUEUE),
        (lambda client: client.queues.reset("mail"), QUEUE),
        (lambda client: client.webhooks.set("hook", "https://example.org", secret="s" * 32), HOOK),
        (lambda client: client.webhooks.resume("hook"), HOOK),
    ],
)
def test_what_changes_nothing_the_second_time_is_sent_again(
    ask: Callable[[TaskLedger], object], answer: Reply
) -> None:
    with scripted(DROPPED, answer) as server:
        ask(TaskLedger(server.url, retries=AT_ONCE))

    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.webhooks.rotate("hook"),
        lambda client: client.webhooks.set("hook", "https://example.org"),
        lambda client: client.webhooks.remove("hook"),
        lambda client: client.bulk_acts.begin_tasks("retry"),
        lambda client: client.projections.rebuild("task_status"),
        lambda client: client.erase(ID),
    ],
)
def test_what_would_be_done_twice_or_whose_answer_counts_is_sent_once(ask: Callable[[TaskLedger], object]) -> None:
    with scripted(DROPPED, HOOK) as server, pytest.raises(ConnectionFailedError) as raised:
        ask(TaskLedger(server.url, retries=AT_ONCE))

    assert raised.value.is_in_doubt
    assert len(server.requests) == 1


def test_operations_show_their_own_signatures_and_documentation_in_both_clients() -> None:
    clients = (TaskLedger("http://127.0.0.1:1"), AsyncTaskLedger("http://127.0.0.1:1"))

    for client in clients:
        assert list(inspect.signature(client.webhooks.deliveries).parameters) == ["name", "outcome"]
        assert list(inspect.signature(client.erase).parameters) == ["task_id", "reason"]
        assert inspect.getdoc(client.webhooks.pause) == (
            "Deliver nothing to an endpoint until it is resumed; nothing is lost."
        )
