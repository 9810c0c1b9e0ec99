"""The contract of the keyed append, held by every adapter of the event store."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from ledger.errors import (
    IdempotencyKeyReusedError,
    InvalidValueError,
    KeyInFlightError,
    WrongExpectedVersionError,
)
from ledger.store.keys import IdempotencyKey, Once, UniqueKey
from ledger.store.port import EventStore
from ledger.store.records import Appended, NewEvent, Origin

KEY = IdempotencyKey.of("order-7", path="/tasks", body=b"{}")
UNIQUE = UniqueKey("letter", "customer-1")

RETRY_AT = '{"retry_at": "2026-01-02T03:04:05+00:00"}'
UNFINISHED = [
    [],
    [("task.held", "{}"), ("task.released", "{}")],
    [("task.started", "{}"), ("task.progressed", "{}"), ("task.cancel_requested", "{}")],
    [("task.started", "{}"), ("task.failed", RETRY_AT)],
    [("task.failed", RETRY_AT), ("task.released", "{}"), ("task.started", "{}")],
    [("task.completed", "{}"), ("task.retried", "{}")],
    [("task.failed", "{}"), ("task.discarded", "{}"), ("task.retried", "{}"), ("task.released", "{}")],
]
FINISHED = [
    [("task.started", "{}"), ("task.completed", '{"result": "retry_at"}')],
    [("task.started", "{}"), ("task.failed", "{}")],
    [("task.failed", '{"retry_at": null}')],
    [("task.failed", "{}"), ("task.discarded", "{}")],
    [("task.cancelled", "{}")],
    [("task.failed", RETRY_AT), ("task.cancelled", "{}")],
    [("task.completed", "{}"), ("task.retried", "{}"), ("task.cancelled", "{}")],
]


def event(type_: str = "task.submitted", data: str = "{}") -> NewEvent:
    return NewEvent(
        type=type_,
        schema_version=1,
        kind="letter",
        queue="default",
        data=data,
        occurred_at=datetime(2026, 1, 2, tzinfo=UTC),
        origin=Origin(actor="client"),
    )


async def append_once(
    store: EventStore, key: IdempotencyKey | None = KEY, *, task_id: UUID | None = None
) -> Appended:
    return await store.append_once(task_id or uuid4(), [event()], expected_version=0, once=Once(key))


async def test_first_append_under_a_key_is_recorded_as_any_other(store: EventStore) -> None:
    task_id = uuid4()

    receipt = await append_once(store, task_id=task_id)

    (row,) = await store.read_stream(task_id)
    assert receipt == Appended(task_id, 1, row.position, row.recorded_at)


async def test_same_key_with_the_same_request_gives_the_first_receipt_and_records_nothing(
    store: EventStore,
) -> None:
    first = await append_once(store)

    second = await append_once(store)

    assert second == replace(first, replayed=True)
    assert await store.safe_position() == first.position


async def test_replay_of_several_events_gives_the_receipt_of_the_last(store: EventStore) -> None:
    first = await store.append_once(uuid4(), [event(), event()], expected_version=0, once=Once(KEY))

    second = await store.append_once(uuid4(), [event(), event()], expected_version=0, once=Once(KEY))

    assert second == replace(first, replayed=True)
    assert second.version == 2


async def test_same_key_with_another_request_is_refused_and_records_nothing(store: EventStore) -> None:
    first = await append_once(store)

    with pytest.raises(IdempotencyKeyReusedError, match="the Idempotency-Key 'order-7' was used with another"):
        await append_once(store, IdempotencyKey.of("order-7", path="/tasks", body=b"{ }"))

    assert await store.safe_position() == first.position


async def test_keys_of_two_scopes_do_not_meet(store: EventStore) -> None:
    first = await append_once(store)

    other = await append_once(store, replace(KEY, scope="acme"))

    assert not other.replayed
    assert other.task_id != first.task_id


async def test_of_many_appends_at_once_under_one_key_one_is_recorded(store: EventStore) -> None:
    answers = await asyncio.gather(*(append_once(store) for _ in range(50)), return_exceptions=True)

    receipts = [answer for answer in answers if isinstance(answer, Appended)]
    assert [receipt.replayed for receipt in receipts].count(False) == 1
    assert len({receipt.task_id for receipt in receipts}) == 1
    assert all(isinstance(answer, Appended | KeyInFlightError) for answer in answers)
    assert len(await store.read_log(after=0, upto=await store.safe_position(), limit=100)) == 1


async def test_key_of_an_append_that_conflicts_is_not_kept(store: EventStore) -> None:
    taken = uuid4()
    await store.append(taken, [event()], expected_version=0)

    with pytest.raises(WrongExpectedVersionError):
        await append_once(store, task_id=taken)

    assert not (await append_once(store)).replayed


async def test_append_without_any_key_is_recorded(store: EventStore) -> None:
    assert not (await append_once(store, None)).replayed
    assert not (await append_once(store, None)).replayed


async def test_keyed_append_of_nothing_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidValueError, match="events must be at least one"):
        await store.append_once(uuid4(), [], expected_version=0, once=Once(KEY))


async def test_keyed_append_wakes_who_listens(store: EventStore) -> None:
    async with store.appends() as signal:
        while await signal.wait(0.05):
            pass
        waiting = asyncio.create_task(signal.wait(10))
        await append_once(store)

        assert await waiting is True


async def submit_unique(
    store: EventStore, unique_key: UniqueKey = UNIQUE, *, key: IdempotencyKey | None = None
) -> Appended:
    return await store.append_once(uuid4(), [event()], expected_version=0, once=Once(key, unique_key))


async def test_unfinished_task_holds_its_unique_key_and_is_found_by_it(store: EventStore) -> None:
    for number, tail in enumerate(UNFINISHED):
        unique_key = UniqueKey("letter", f"customer-{number}")
        first = await submit_unique(store, unique_key)
        if tail:
            await store.append(first.task_id, [event(*of) for of in tail], expected_version=1)
        before = await store.safe_position()

        second = await submit_unique(store, unique_key)

        assert second == replace(first, existing=True), tail
        assert await store.safe_position() == before


async def test_finished_task_leaves_its_unique_key_to_the_next(store: EventStore) -> None:
    for number, tail in enumerate(FINISHED):
        unique_key = UniqueKey("letter", f"customer-{number}")
        first = await submit_unique(store, unique_key)
        await store.append(first.task_id, [event(*of) for of in tail], expected_version=1)

        second = await submit_unique(store, unique_key)
        third = await submit_unique(store, unique_key)

        assert not second.existing, tail
        assert third == replace(second, existing=True)


async def test_unique_keys_of_two_kinds_do_not_meet(store: EventStore) -> None:
    await submit_unique(store)

    assert not (await submit_unique(store, replace(UNIQUE, kind="parcel"))).existing
    assert not (await submit_unique(store, replace(UNIQUE, key="customer-2"))).existing


async def test_of_many_submits_at_once_with_one_unique_key_one_makes_a_task_and_all_are_told_of_it(
    store: EventStore,
) -> None:
    receipts = await asyncio.gather(*(submit_unique(store) for _ in range(50)))

    assert [receipt.existing for receipt in receipts].count(False) == 1
    assert len({receipt.task_id for receipt in receipts}) == 1
    assert len(await store.read_log(after=0, upto=await store.safe_position(), limit=100)) == 1


async def test_task_may_go_on_under_its_unique_key_while_nobody_else_holds_it(store: EventStore) -> None:
    first = await submit_unique(store)
    await store.append(first.task_id, [event("task.completed")], expected_version=1)

    again = await store.append_once(
        first.task_id, [event("task.retried")], expected_version=2, once=Once(unique_key=UNIQUE)
    )

    assert (again.task_id, again.version, again.existing) == (first.task_id, 3, False)
    assert await submit_unique(store) == replace(first, existing=True)


async def test_task_may_not_go_on_while_another_one_holds_its_unique_key(store: EventStore) -> None:
    first = await submit_unique(store)
    await store.append(first.task_id, [event("task.completed")], expected_version=1)
    second = await submit_unique(store)

    refused = await store.append_once(
        first.task_id, [event("task.retried")], expected_version=2, once=Once(unique_key=UNIQUE)
    )

    assert refused == replace(second, existing=True)
    assert len(await store.read_stream(first.task_id)) == 2


async def test_unique_key_of_an_append_that_conflicts_is_not_taken(store: EventStore) -> None:
    taken = uuid4()
    await store.append(taken, [event()], expected_version=0)

    with pytest.raises(WrongExpectedVersionError):
        await store.append_once(taken, [event()], expected_version=0, once=Once(unique_key=UNIQUE))

    assert not (await submit_unique(store)).existing


async def test_replay_of_an_answer_that_told_of_an_existing_task_tells_of_it_again(store: EventStore) -> None:
    holder = await submit_unique(store)
    told = await submit_unique(store, key=KEY)
    await store.append(holder.task_id, [event("task.cancelled")], expected_version=1)

    again = await submit_unique(store, key=KEY)

    assert told == replace(holder, existing=True)
    assert again == replace(told, replayed=True)
