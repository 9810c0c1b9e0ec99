"""Idempotency-Key: a request that comes again with its key is answered as the first time, whatever happened."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import httpx
import pytest
from starlette.types import Message

from api.app import create_app
from ledger.bootstrap import Ledger
from ledger.specification import TaskSpecification
from ledger.store.keys import IdempotencyKey
from tests.integration.api_given import assert_problem, opened_api
from tests.integration.given import CLIENT, execute, fetch

BODY = b'{"input":"hello"}'
KEY = IdempotencyKey.of("order-7", path="/tasks", body=BODY)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, pool_size_max=6, keyed_append_queue_max=30) as api:
        yield api


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def submit(
    client: httpx.AsyncClient, body: bytes = BODY, *, key: str = "order-7", origin: str | None = None
) -> httpx.Response:
    headers = {"Idempotency-Key": key} | ({"Origin": origin} if origin else {})
    return await client.post("/tasks", content=body, headers=headers)


async def recorded(ledger: Ledger) -> int:
    return len(await ledger.store.read_log(after=0, upto=await ledger.store.safe_position(), limit=1000))


async def test_a_request_that_comes_again_is_answered_as_the_first_time(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await submit(client)

    again = await submit(client)

    assert (again.status_code, again.content) == (202, first.content)
    for header in ("location", "ledger-position", "content-type"):
        assert again.headers[header] == first.headers[header]
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert await recorded(ledger) == 1


async def test_a_request_that_comes_again_after_its_task_ended_is_answered_as_the_first_time(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await submit(client)
    await ledger.commands.cancel(UUID(first.json()["task_id"]), reason="", origin=CLIENT)

    assert (await submit(client)).content == first.content
    assert await recorded(ledger) == 2


async def test_a_delay_is_counted_from_the_first_request_on(client: httpx.AsyncClient, ledger: Ledger) -> None:
    body = b'{"input":1,"delay_s":3600}'
    first = await submit(client, body)
    due = (await ledger.commands.load(UUID(first.json()["task_id"]))).release_at

    again = await submit(client, body)

    assert (await ledger.commands.load(UUID(again.json()["task_id"]))).release_at == due


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await submit(client)

    other = await submit(client, b'{"input": "hello"}')

    assert_problem(other, 422, "the Idempotency-Key 'order-7' was used with another request before")
    assert other.json()["type"] == "urn:task-ledger:problem:idempotency-key-reused"
    assert await recorded(ledger) == 1


async def test_requests_with_different_keys_or_none_make_tasks_of_their_own(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    await submit(client)
    await submit(client, key="order-8")
    for _ in range(2):
        await client.post("/tasks", content=BODY)

    assert await recorded(ledger) == 4


async def test_a_key_whose_first_request_is_in_flight_is_refused_for_now(
    client: httpx.AsyncClient, ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        first = await ledger.commands.submit(
            TaskSpecification(), origin=CLIENT, idempotency_key=KEY, connection=connection
        )
        meanwhile = await submit(client)
    afterwards = await submit(client)

    assert_problem(meanwhile, 409, "another request with the Idempotency-Key 'order-7' is in flight")
    assert int(meanwhile.headers["retry-after"]) > 0
    assert afterwards.json() == {"task_id": str(first.task_id)}
    assert afterwards.headers["idempotency-replayed"] == "true"


async def test_a_first_request_whose_connection_is_killed_before_its_commit_never_was(
    client: httpx.AsyncClient, ledger: Ledger, connection: asyncpg.Connection
) -> None:
    await connection.transaction().start()
    await ledger.commands.submit(TaskSpecification(), origin=CLIENT, idempotency_key=KEY, connection=connection)
    await execute(ledger, "SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())

    response = await submit(client)

    assert response.status_code == 202
    assert "idempotency-replayed" not in response.headers
    assert await recorded(ledger) == 1


async def test_a_first_request_that_breaks_between_commit_and_answer_is_answered_when_it_comes_again(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    with pytest.raises(ConnectionResetError):
        await create_app(ledger)(_scope(), _receive, _broken_send)

    again = await submit(client)

    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert (await ledger.commands.load(UUID(again.json()["task_id"]))).input == "hello"
    assert await recorded(ledger) == 1


async def test_of_fifty_requests_at_once_with_one_key_one_makes_the_task(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    answers = await asyncio.gather(*(submit(client) for _ in range(50)))

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {202, 409, 503}  # 503 where the line of thirty was full
    assert len({answer.content for answer in answers if answer.status_code == 202}) == 1
    assert await recorded(ledger) == 1
    assert (await submit(client)).headers["idempotency-replayed"] == "true"


async def test_keyed_requests_that_all_wait_leave_the_pool_to_the_others(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE ledger.idempotency_keys IN ACCESS EXCLUSIVE MODE")
        waiting = [asyncio.create_task(submit(client, key=f"order-{number}")) for number in range(20)]
        plain = await asyncio.wait_for(client.post("/tasks", content=BODY), 10)
    answers = await asyncio.gather(*waiting)

    assert plain.status_code == 202
    assert {answer.status_code for answer in answers} <= {202, 409}  # 409 where the table was locked for too long


async def test_a_body_that_is_refused_does_not_use_up_its_key(client: httpx.AsyncClient) -> None:
    refused = await submit(client, b"{}")

    assert_problem(refused, 400, "Invalid request body: input is required")
    assert (await submit(client)).status_code == 202


async def test_a_key_out_of_its_bound_is_refused(client: httpx.AsyncClient, ledger: Ledger) -> None:
    for key in ("", "with space", "x" * 256, "ümläut", "tab\t"):
        response = await client.post("/tasks", content=BODY, headers=[(b"Idempotency-Key", key.encode("latin-1"))])

        assert_problem(
            response, 400,
            "Invalid request header: Idempotency-Key must be 1 to 255 visible ASCII characters without",
        )  # fmt: skip
    assert await recorded(ledger) == 0


async def test_a_key_that_is_given_twice_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/tasks", content=BODY, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    )

    assert_problem(response, 400, "Invalid request header: Idempotency-Key must be given once")


async def test_the_longest_key_with_every_sign_is_taken(client: httpx.AsyncClient) -> None:
    key = "".join(map(chr, range(0x21, 0x7F))).ljust(255, "x")

    first, again = [await submit(client, key=key) for _ in range(2)]

    assert again.content == first.content


async def test_a_browser_may_send_a_key_and_read_whether_it_was_replayed(client: httpx.AsyncClient) -> None:
    origin = "http://localhost:3000"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key"}

    assert (await client.options("/tasks", headers={"Origin": origin, **asked})).status_code == 200
    _, again = [await submit(client, origin=origin) for _ in range(2)]
    assert again.headers["idempotency-replayed"] == "true"
    assert "Idempotency-Replayed" in again.headers["access-control-expose-headers"]


async def test_the_key_is_in_the_transaction_of_the_event(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await submit(client)

    assert await fetch(
        ledger,
        "SELECT 1 FROM ledger.events AS e JOIN ledger.idempotency_keys AS k USING (task_id, version)"
        " WHERE e.xmin = k.xmin",
    )


def _scope() -> dict[str, object]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/tasks",
        "headers": [(b"idempotency-key", b"order-7")],
    }


async def _receive() -> Message:
    return {"type": "http.request", "body": BODY, "more_body": False}


async def _broken_send(_message: Message) -> None:
    raise ConnectionResetError
