"""Unique tasks: of one kind and key there is one unfinished task at most, whoever asks at the same time."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.commands import Decided
from ledger.errors import KeyInFlightError, StoreRefusedError, TaskStateError
from ledger.specification import TaskSpecification
from ledger.store.records import Appended
from tests.integration.api_given import assert_problem, opened_api
from tests.integration.given import CLIENT, started

UNIQUE = TaskSpecification(unique_key="customer-1")


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, pool_size_max=6) as api:
        yield api


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def submit(client: httpx.AsyncClient, **task: object) -> httpx.Response:
    return await client.post("/tasks", json={"input": 1, "unique_key": "customer-1", **task})


async def recorded(ledger: Ledger) -> int:
    return len(await ledger.store.read_log(after=0, upto=await ledger.store.safe_position(), limit=1000))


def task_of(response: httpx.Response) -> UUID:
    return UUID(response.json()["task_id"])


async def completed(ledger: Ledger, task_id: UUID) -> None:
    attempt = await started(ledger, task_id)
    await ledger.commands.decide(
        task_id, lambda task: task.complete(attempt=attempt, result=1, now=ledger.clock.now()), origin=CLIENT
    )


async def test_a_second_submit_is_answered_with_the_task_that_is_there(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await submit(client, input="one")

    second = await submit(client, input="another")

    assert (second.status_code, second.content) == (202, first.content)
    assert (first.headers.get("ledger-existing"), second.headers["ledger-existing"]) == (None, "true")
    for header in ("location", "ledger-position"):
        assert second.headers[header] == first.headers[header]
    assert (await ledger.commands.load(task_of(first))).unique_key == "customer-1"
    assert await recorded(ledger) == 1


async def test_other_keys_other_kinds_and_none_make_tasks_of_their_own(client: httpx.AsyncClient) -> None:
    others: list[dict[str, object]] = [{}, {"unique_key": "customer-2"}, {"kind": "letter"}]
    others += [{"unique_key": None}, {"unique_key": None}]

    responses = [await submit(client, **other) for other in others]

    assert len({task_of(response) for response in responses}) == 5


@pytest.mark.parametrize("is_running", [False, True])
async def test_the_key_is_free_again_when_the_task_is_finished_before_any_read_model_knows(
    client: httpx.AsyncClient, ledger: Ledger, *, is_running: bool
) -> None:
    first = await submit(client)
    if is_running:
        await started(ledger, task_of(first))
        assert (await submit(client)).headers["ledger-existing"] == "true"
    else:
        await completed(ledger, task_of(first))
        assert task_of(await submit(client)) != task_of(first)


async def test_of_fifty_submits_at_once_one_makes_the_task_and_all_are_told_of_it(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    answers = await asyncio.gather(*(submit(client, input=number) for number in range(50)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert ["ledger-existing" in answer.headers for answer in answers].count(False) == 1
    assert await recorded(ledger) == 1


async def test_a_retry_takes_the_key_again(client: httpx.AsyncClient, ledger: Ledger) -> None:
    first = await submit(client)
    await completed(ledger, task_of(first))

    retried = await client.post(f"/tasks/{task_of(first)}/retry", json={})

    assert retried.status_code == 202
    assert (await submit(client)).content == first.content


async def test_a_retry_is_refused_while_another_task_has_the_key(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await submit(client)
    await completed(ledger, task_of(first))
    second = await submit(client)

    refused = await client.post(f"/tasks/{task_of(first)}/retry", json={})
    await completed(ledger, task_of(second))
    allowed = await client.post(f"/tasks/{task_of(first)}/retry", json={})

    assert_problem(
        refused, 409,
        f"cannot retry task {task_of(first)}: it is COMPLETED: task {task_of(second)} is unfinished and has",
    )  # fmt: skip
    assert allowed.status_code == 202


async def test_of_a_retry_and_submits_at_the_same_time_one_task_goes_on(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await submit(client)
    for _ in range(5):
        await completed(ledger, task_of(first))

        retry, submits = await asyncio.gather(
            _retry(ledger, task_of(first)),
            asyncio.gather(*(ledger.commands.submit(UNIQUE, origin=CLIENT) for _ in range(4))),
        )

        goes_on = {receipt.task_id for receipt in submits}
        assert len(goes_on) == 1
        assert isinstance(retry, TaskStateError) is (goes_on != {task_of(first)})
        if isinstance(retry, TaskStateError):
            await completed(ledger, *goes_on)
            await _retry(ledger, task_of(first))


async def test_both_keys_of_a_request_hold(client: httpx.AsyncClient, ledger: Ledger) -> None:
    async def keyed(key: str) -> httpx.Response:
        body = {"input": 1, "unique_key": "customer-1"}
        return await client.post("/tasks", json=body, headers={"Idempotency-Key": key})

    first = await keyed("order-1")
    told = await keyed("order-2")
    await completed(ledger, task_of(first))

    again = await keyed("order-2")
    fresh = await keyed("order-3")

    assert again.content == told.content == first.content
    assert (again.headers["idempotency-replayed"], again.headers["ledger-existing"]) == ("true", "true")
    assert task_of(fresh) != task_of(first)


async def test_a_unique_key_out_of_its_bound_is_refused(client: httpx.AsyncClient, ledger: Ledger) -> None:
    for unique_key in ("", "x" * 201, "a\0b"):
        response = await submit(client, unique_key=unique_key)

        assert_problem(response, 400, "Invalid request body: unique_key must be 1 to 200 characters")
    assert await recorded(ledger) == 0


async def test_a_key_that_a_callers_transaction_takes_is_waited_for(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        enlisted = await ledger.commands.submit(UNIQUE, origin=CLIENT, connection=connection)
        waiting = asyncio.create_task(ledger.commands.submit(UNIQUE, origin=CLIENT))
        await _until_somebody_waits(connection)
    told: Appended = await waiting

    assert (told.task_id, told.existing) == (enlisted.task_id, True)


async def test_a_key_that_a_callers_transaction_gives_back_is_free(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    enlisted = await ledger.commands.submit(UNIQUE, origin=CLIENT, connection=connection)
    await transaction.rollback()

    fresh = await ledger.commands.submit(UNIQUE, origin=CLIENT)

    assert not fresh.existing
    assert fresh.task_id != enlisted.task_id


async def test_a_callers_transaction_that_may_not_wait_long_goes_on_without_the_key(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with ledger.database.connection() as other, other.transaction(), connection.transaction():
        await ledger.commands.submit(UNIQUE, origin=CLIENT, connection=other)
        await connection.execute("SET LOCAL lock_timeout = '10ms'")
        with pytest.raises(KeyInFlightError, match="with the unique_key 'customer-1' is in flight"):
            await ledger.commands.submit(UNIQUE, origin=CLIENT, connection=connection)

        receipt = await ledger.commands.submit(TaskSpecification(), origin=CLIENT, connection=connection)

    assert (await ledger.commands.load(receipt.task_id)).version == 1


async def test_a_callers_transaction_with_an_older_view_makes_no_second_task(
    ledger: Ledger, connection: asyncpg.Connection
) -> None:
    async with connection.transaction(isolation="repeatable_read"):
        await connection.fetchval("SELECT count(*) FROM ledger.events")
        await ledger.commands.submit(UNIQUE, origin=CLIENT)

        with pytest.raises(StoreRefusedError, match="could not serialize"):
            await ledger.commands.submit(UNIQUE, origin=CLIENT, connection=connection)

    assert await recorded(ledger) == 1


async def _retry(ledger: Ledger, task_id: UUID) -> Decided | TaskStateError:
    try:
        return await ledger.commands.retry(task_id, reason="", origin=CLIENT)
    except TaskStateError as refusal:
        return refusal


async def _until_somebody_waits(connection: asyncpg.Connection) -> None:
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 19533 AND NOT granted"
    async with asyncio.timeout(10):
        while not await connection.fetchval(waits):
            await asyncio.sleep(0.01)
