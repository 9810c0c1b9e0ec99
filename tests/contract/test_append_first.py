"""What every event store promises of the first events of many new streams."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from ledger.errors import InvalidValueError, WrongExpectedVersionError
from ledger.store.port import EventStore
from ledger.store.records import Appended, FirstEvents, NewEvent, Origin

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin("ada", correlation_id="story", causation_id="cause:1", traceparent="00-trace")
MORE_THAN_A_STATEMENT = 1200


def first_events(*task_ids: UUID, origin: Origin = ORIGIN) -> FirstEvents:
    events = FirstEvents("task.submitted", 3, NOW, origin)
    for number, task_id in enumerate(task_ids):
        events.add(task_id, kind=f"kind{number % 2}", queue="mail", data=f'{{"number":{number}}}')
    return events


async def test_first_events_stand_in_the_log_in_their_order_with_all_their_facts(store: EventStore) -> None:
    task_ids = [uuid4() for _ in range(MORE_THAN_A_STATEMENT)]

    receipts = await store.append_first(first_events(*task_ids))

    log = await store.read_log(after=0, upto=await store.safe_position(), limit=2 * MORE_THAN_A_STATEMENT)
    assert [row.task_id for row in log] == task_ids
    assert receipts == [Appended(row.task_id, 1, row.position, row.recorded_at) for row in log]
    second = log[1]
    assert (second.version, second.type, second.schema_version) == (1, "task.submitted", 3)
    assert (second.kind, second.queue, second.occurred_at) == ("kind1", "mail", NOW)
    assert second.data.replace(" ", "") == '{"number":1}'
    assert (second.actor, second.correlation_id) == ("ada", "story")
    assert (second.causation_id, second.traceparent) == ("cause:1", "00-trace")


async def test_without_a_story_each_stream_begins_its_own(store: EventStore) -> None:
    one, other = uuid4(), uuid4()

    await store.append_first(first_events(one, other, origin=Origin("ada")))

    streams = await store.read_streams([one, other])
    assert [streams[task_id][0].correlation_id for task_id in (one, other)] == [str(one), str(other)]


async def test_one_stream_that_exists_refuses_them_all_and_is_named(store: EventStore) -> None:
    fresh, taken = [uuid4() for _ in range(MORE_THAN_A_STATEMENT)], uuid4()
    event = NewEvent("task.submitted", 3, "kind", "mail", "{}", NOW, ORIGIN)
    await store.append(taken, [event], expected_version=0)

    with pytest.raises(WrongExpectedVersionError) as refusal:
        await store.append_first(first_events(*fresh, taken))

    assert refusal.value.task_id == taken
    assert await store.heads([*fresh, taken]) == {taken: 1}


async def test_of_many_batches_that_share_a_stream_exactly_one_wins(store: EventStore) -> None:
    shared, others = uuid4(), [uuid4() for _ in range(8)]

    answers = await asyncio.gather(
        *(store.append_first(first_events(other, shared)) for other in others), return_exceptions=True
    )

    assert sum(isinstance(answer, WrongExpectedVersionError) for answer in answers) == 7
    assert sum((await store.heads([shared, *others])).values()) == 2


@pytest.mark.parametrize(
    ("task_ids", "sentence"),
    [((), "events must be at least one"), ((UUID(int=7), UUID(int=7)), "events must be of different tasks")],
)
async def test_first_events_that_make_no_sense_are_refused(
    store: EventStore, task_ids: tuple[UUID, ...], sentence: str
) -> None:
    with pytest.raises(InvalidValueError, match=sentence):
        await store.append_first(first_events(*task_ids))

    assert await store.safe_position() == 0


async def test_first_events_wake_who_listens(store: EventStore) -> None:
    async with store.appends() as signal:
        while await signal.wait(0.05):
            pass
        waiting = asyncio.create_task(signal.wait(10))
        await store.append_first(first_events(uuid4()))

        assert await waiting is True
