"""The contract of the event store, held by every adapter."""

import asyncio
from datetime import UTC, datetime
from functools import reduce
from inspect import signature
from typing import cast
from uuid import UUID, uuid4

import orjson
import pytest

from ledger.errors import InvalidValueError, WrongExpectedVersionError
from ledger.jsonvalue import encode_json
from ledger.store.port import EventStore
from ledger.store.records import NewEvent, Origin, StaleWrite
from ledger.store.shard import LogShard

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def repr_shortened(value: object) -> str:
    return repr(value)[:24]


def event(number: int = 0, *, kind: str = "letter", data: str | None = None) -> NewEvent:
    return NewEvent(
        type="task.submitted",
        schema_version=1,
        kind=kind,
        queue="default",
        data=data or f'{{"number": {number}}}',
        occurred_at=NOW,
        origin=Origin(actor="client", causation_id="cause", traceparent="trace"),
    )


async def versions(store: EventStore, task_id: UUID) -> list[int]:
    return [row.version for row in await store.read_stream(task_id)]


async def test_appended_event_comes_back_as_it_was(store: EventStore) -> None:
    task_id = uuid4()

    receipt = await store.append(task_id, [event(7)], expected_version=0)

    [row] = await store.read_stream(task_id)
    assert (row.task_id, row.version, row.position) == (task_id, 1, receipt.position)
    assert (row.type, row.schema_version, row.kind, row.queue) == ("task.submitted", 1, "letter", "default")
    assert row.data == '{"number": 7}'
    assert row.occurred_at == NOW
    assert row.recorded_at == receipt.recorded_at
    assert (row.actor, row.causation_id, row.traceparent) == ("client", "cause", "trace")
    assert row.correlation_id == str(task_id)


@pytest.mark.parametrize(
    "value",
    [
        *(2**64 - 1, -(2**63), 1.7976931348623157e308, 5e-324, -0.0, 0.1 + 0.2, 1e16, 1e22, 123456789.123456789),
        *("", "\x01\x1f\x7f", "\\u0000", "é\u0301 \U0001f600 \ufeff\u202e", '"quotes" and \\', "x" * 100_000),
        {"": {"": ""}, "b": 1, "a": [None, True, False, []], "B": {}},
        reduce(lambda inner, _: [inner], range(63), cast("object", 1)),
    ],
    ids=repr_shortened,
)
async def test_value_that_the_codec_lets_through_comes_back_equal(store: EventStore, value: object) -> None:
    task_id = uuid4()

    await store.append(task_id, [event(data=encode_json({"input": value}, field="input"))], expected_version=0)

    [row] = await store.read_stream(task_id)
    assert orjson.loads(row.data) == {"input": value}


async def test_expected_version_behind_the_stream_is_refused_and_records_nothing(store: EventStore) -> None:
    task_id = uuid4()
    await store.append(task_id, [event(), event()], expected_version=0)

    with pytest.raises(WrongExpectedVersionError):
        await store.append(task_id, [event()], expected_version=1)

    assert await versions(store, task_id) == [1, 2]


async def test_expected_version_ahead_of_the_stream_is_refused_and_records_nothing(store: EventStore) -> None:
    task_id = uuid4()
    await store.append(task_id, [event()], expected_version=0)

    with pytest.raises(WrongExpectedVersionError):
        await store.append(task_id, [event()], expected_version=2)

    assert await versions(store, task_id) == [1]


async def test_expected_version_of_a_stream_that_does_not_exist_is_refused(store: EventStore) -> None:
    task_id = uuid4()

    with pytest.raises(WrongExpectedVersionError):
        await store.append(task_id, [event()], expected_version=1)

    assert await versions(store, task_id) == []


async def test_same_append_twice_is_recorded_once(store: EventStore) -> None:
    task_id = uuid4()
    await store.append(task_id, [event()], expected_version=0)

    with pytest.raises(WrongExpectedVersionError):
        await store.append(task_id, [event()], expected_version=0)

    assert await versions(store, task_id) == [1]


async def test_of_many_appends_at_once_exactly_one_wins(store: EventStore) -> None:
    task_id = uuid4()

    answers = await asyncio.gather(
        *(store.append(task_id, [event(number)], expected_version=0) for number in range(20)),
        return_exceptions=True,
    )

    refused = [answer for answer in answers if isinstance(answer, WrongExpectedVersionError)]
    assert len(refused) == 19
    assert await versions(store, task_id) == [1]


async def test_many_writers_that_try_again_leave_no_gap_and_no_duplicate(store: EventStore) -> None:
    task_id = uuid4()

    async def append_one() -> None:
        while True:
            try:
                await store.append(task_id, [event()], expected_version=len(await versions(store, task_id)))
            except WrongExpectedVersionError:
                continue
            return

    await asyncio.gather(*(append_one() for _ in range(12)))

    assert await versions(store, task_id) == list(range(1, 13))


async def test_append_of_several_events_is_recorded_whole_and_in_order(store: EventStore) -> None:
    task_id = uuid4()

    receipt = await store.append(task_id, [event(1), event(2), event(3)], expected_version=0)

    rows = await store.read_stream(task_id)
    assert [row.data for row in rows] == ['{"number": 1}', '{"number": 2}', '{"number": 3}']
    assert sorted(row.position for row in rows) == [row.position for row in rows]
    assert (receipt.version, receipt.position) == (3, rows[-1].position)


async def test_append_of_several_events_that_conflicts_is_refused_whole(store: EventStore) -> None:
    task_id = uuid4()

    answers = await asyncio.gather(
        store.append(task_id, [event(1)], expected_version=0),
        *(store.append(task_id, [event(2), event(3)], expected_version=0) for _ in range(5)),
        return_exceptions=True,
    )

    winners = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(winners) == 1
    assert len(await store.read_stream(task_id)) == winners[0].version


async def test_conflict_of_one_stream_does_not_disturb_those_beside_it(store: EventStore) -> None:
    taken, fresh = uuid4(), [uuid4() for _ in range(10)]
    await store.append(taken, [event()], expected_version=0)

    answers = await asyncio.gather(
        *(store.append(task_id, [event()], expected_version=0) for task_id in [*fresh[:5], taken, *fresh[5:]]),
        return_exceptions=True,
    )

    assert isinstance(answers[5], WrongExpectedVersionError)
    assert [len(await versions(store, task_id)) for task_id in fresh] == [1] * 10


async def test_log_holds_every_event_once_in_the_order_of_positions(store: EventStore) -> None:
    tasks = [uuid4() for _ in range(30)]
    await asyncio.gather(*(store.append(task_id, [event(), event()], expected_version=0) for task_id in tasks))

    log = await store.read_log(after=0, upto=await store.safe_position(), limit=1000)

    assert sorted(row.event_id for row in log) == sorted(f"{task}:{n}" for task in tasks for n in (1, 2))
    assert [row.position for row in log] == sorted({row.position for row in log})


async def test_log_is_read_between_its_bounds_and_in_pages(store: EventStore) -> None:
    for _ in range(5):
        await store.append(uuid4(), [event()], expected_version=0)
    positions = [row.position for row in await store.read_log(after=0, upto=10_000, limit=100)]

    page = await store.read_log(after=positions[0], upto=positions[3], limit=2)

    assert [row.position for row in page] == positions[1:3]
    assert await store.read_log(after=positions[-1], upto=10_000, limit=100) == []


async def test_shards_of_the_log_have_each_task_once_and_are_read_in_order_and_in_pages(store: EventStore) -> None:
    tasks = [uuid4() for _ in range(40)]
    for version in (0, 1):
        await asyncio.gather(*(store.append(task_id, [event()], expected_version=version) for task_id in tasks))
    horizon = await store.safe_position()

    shards = [
        await store.read_log(after=0, upto=horizon, limit=100, shard=LogShard(index, 3)) for index in range(3)
    ]
    longest = max(range(3), key=lambda index: len(shards[index]))
    page = await store.read_log(
        after=shards[longest][0].position, upto=horizon, limit=2, shard=LogShard(longest, 3)
    )

    read = [row.event_id for rows in shards for row in rows]
    assert sorted(read) == sorted(f"{task}:{version}" for task in tasks for version in (1, 2))
    assert sum(len({row.task_id for row in rows}) for rows in shards) == len(tasks)
    assert all(rows == sorted(rows, key=lambda row: row.position) for rows in shards)
    assert page == shards[longest][1:3]


async def test_stream_is_read_after_a_version_and_up_to_a_limit(store: EventStore) -> None:
    task_id = uuid4()
    await store.append(task_id, [event(n) for n in range(5)], expected_version=0)

    rows = await store.read_stream(task_id, after_version=1, limit=2)

    assert [row.version for row in rows] == [2, 3]


async def test_stream_is_read_whole_where_no_limit_is_asked_for(store: EventStore) -> None:
    task_id = uuid4()
    await store.append(task_id, [event()] * 3000, expected_version=0)

    assert len(await store.read_stream(task_id)) == 3000
    # A task that reports progress for days has more events than any test would append.
    assert signature(store.read_stream).parameters["limit"].default is None


async def test_many_streams_are_read_in_one_go_and_the_unknown_has_no_entry(store: EventStore) -> None:
    first, second, unknown = uuid4(), uuid4(), uuid4()
    await store.append(first, [event(), event()], expected_version=0)
    await store.append(second, [event()], expected_version=0)

    streams = await store.read_streams([second, unknown, first])

    assert {task: [row.version for row in rows] for task, rows in streams.items()} == {first: [1, 2], second: [1]}


async def test_whoever_committed_an_append_by_himself_wakes_who_listens(store: EventStore) -> None:
    async with store.appends() as signal:
        while await signal.wait(0.05):
            pass

        store.wake_readers()

        assert await signal.wait(10) is True


async def test_append_wakes_who_listens(store: EventStore) -> None:
    async with store.appends() as signal:
        while await signal.wait(0.05):
            pass
        waiting = asyncio.create_task(signal.wait(10))
        await store.append(uuid4(), [event()], expected_version=0)

        assert await waiting is True


async def test_who_listens_in_silence_is_let_go_after_the_timeout(store: EventStore) -> None:
    async with store.appends() as signal:
        while await signal.wait(0.05):
            pass

        assert await signal.wait(0.01) is False


async def test_append_of_nothing_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidValueError, match="events must be at least one"):
        await store.append(uuid4(), [], expected_version=0)


async def test_expected_version_below_zero_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidValueError, match="expected_version must be at least 0, got -1"):
        await store.append(uuid4(), [event()], expected_version=-1)


async def test_caller_that_gives_up_does_not_disturb_those_behind_it(store: EventStore) -> None:
    impatient = asyncio.create_task(store.append(uuid4(), [event()], expected_version=0))
    patient = uuid4()
    waiting = asyncio.create_task(store.append(patient, [event()], expected_version=0))
    await asyncio.sleep(0)

    impatient.cancel()

    assert (await waiting).version == 1
    assert await versions(store, patient) == [1]


async def test_refused_write_is_kept_with_its_facts(store: EventStore) -> None:
    write = StaleWrite(
        task_id=uuid4(), type="task.completed", attempt=1, current_attempt=2, status="RUNNING",
        worker_id="w1", data='{"attempt": 1}', occurred_at=NOW,
    )  # fmt: skip

    await store.record_stale_write(write)

    [kept] = await store.read_stale_writes(write.task_id)
    assert (kept.type, kept.attempt, kept.current_attempt) == ("task.completed", 1, 2)
    assert (kept.status, kept.worker_id, kept.data, kept.occurred_at) == ("RUNNING", "w1", write.data, NOW)
    assert await store.read_stale_writes(uuid4()) == []


async def test_heads_are_the_versions_of_the_streams_that_exist(store: EventStore) -> None:
    first, second, unknown = uuid4(), uuid4(), uuid4()
    await store.append(first, [event(1), event(2), event(3)], expected_version=0)
    await store.append(second, [event()], expected_version=0)

    assert await store.heads([first, unknown, second]) == {first: 3, second: 1}
    assert await store.heads([]) == {}
