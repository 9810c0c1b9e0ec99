"""The relay publishes every event at least once and in order, whatever breaks in between."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from ledger.bootstrap import Ledger, open_broker
from ledger.broker.memory import MemoryBroker
from ledger.broker.port import Broker, Delivery, OutgoingMessage
from ledger.errors import BrokerRefusedError, LeadershipLostError, StoreUnavailableError
from ledger.messages import incoming
from ledger.migrate import migrate
from ledger.relay import Relay
from ledger.relay_shard import next_batch_size
from tests.integration.given import eventually, execute, fetch, opened, running, started, submitted
from tests.services.private_postgres import PrivatePostgres
from tests.services.private_rabbitmq import PrivateRabbitmq

END_OF_LEADER = """SELECT pg_terminate_backend(pid) FROM pg_locks
                    WHERE locktype = 'advisory' AND classid = 19529 AND granted"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


class RecordingBroker(MemoryBroker):
    """Remembers what was published, also what no queue takes."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[OutgoingMessage] = []

    @property
    def ids(self) -> list[str]:
        """The ids of what was published, in order."""
        return [message.message_id for message in self.published]

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        taken = await super().publish(messages)
        self.published += messages[:taken]
        return taken


class StingyBroker(RecordingBroker):
    """Confirms two messages at a time."""

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        return await super().publish(messages[:2])


class RefusingBroker(RecordingBroker):
    """Refuses the work queue of one task queue."""

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        for index, message in enumerate(messages):
            if message.must_route and message.queue == "broken":
                if index == 0:
                    raise BrokerRefusedError("the queue exists with other arguments")
                return await super().publish(messages[:index])
        return await super().publish(messages)


class SmallBroker(RecordingBroker):
    """Refuses messages of more than a kilobyte."""

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        if any(len(message.body) > 1024 for message in messages):
            raise BrokerRefusedError("the message is too large")
        return await super().publish(messages)


class ClosedBroker(RecordingBroker):
    """Refuses everything, as when the access is denied."""

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        raise BrokerRefusedError(f"access denied to publish {len(messages)} messages")


class InterruptedBroker(RecordingBroker):
    """Takes everything; then something happens before the relay learns of it."""

    def __init__(self, ledger: Ledger, statement: str) -> None:
        super().__init__()
        self._ledger = ledger
        self._statement = statement

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        taken = await super().publish(messages)
        await execute(self._ledger, self._statement)
        return taken


async def test_every_event_is_published_once_in_the_order_of_the_log(ledger: Ledger) -> None:
    task_ids = await submitted(ledger, 3)
    await started(ledger, task_ids[0])
    broker = RecordingBroker()

    published = await Relay(ledger, broker).run_once()
    again = await Relay(ledger, broker).run_once()

    assert (published, again) == (4, 0)
    assert broker.ids == [*(f"{task_id}:1" for task_id in task_ids), f"{task_ids[0]}:2"]


async def test_batches_smaller_than_the_log_leave_nothing_out(database_url: str) -> None:
    async with opened(database_url, relay_batch_size_max=7) as ledger:
        task_ids = await submitted(ledger, 40)
        broker = RecordingBroker()

        await Relay(ledger, broker).run_once()

        assert broker.ids == [f"{task_id}:1" for task_id in task_ids]


async def test_the_next_batch_is_larger_while_events_are_small_and_fits_the_memory_when_they_are_large(
    ledger: Ledger,
) -> None:
    await submitted(ledger, 2)
    await submitted(ledger, 2, input="x" * 1_000_000)
    small, large = [await ledger.store.read_log(after=after, upto=4, limit=2) for after in (0, 2)]

    assert next_batch_size(small, size_max=1000) == 100
    assert next_batch_size(small * 60, size_max=1000) == 480
    assert next_batch_size(small * 500, size_max=1000) == 1000
    assert next_batch_size(large * 500, size_max=1000) == 33


async def test_what_lies_behind_the_confirmed_prefix_is_published_again(ledger: Ledger) -> None:
    task_ids = await submitted(ledger, 7)
    broker = StingyBroker()

    published = await Relay(ledger, broker).run_once()

    assert published == 7
    assert broker.ids == [f"{task_id}:1" for task_id in task_ids]


async def test_a_relay_publishes_nothing_while_another_one_leads(ledger: Ledger) -> None:
    await submitted(ledger)
    first, second = RecordingBroker(), RecordingBroker()
    async with running(Relay(ledger, first).run()):
        await eventually(lambda: _has(first, 1), what="the first relay publishes")
        await submitted(ledger)

        published = await Relay(ledger, second).run_once()

        assert published == 0
        await eventually(lambda: _has(first, 2), what="the first relay publishes the second event")


async def test_losing_the_connection_after_publishing_repeats_events_and_loses_none(ledger: Ledger) -> None:
    task_ids = await submitted(ledger, 3)
    cut_off = InterruptedBroker(ledger, END_OF_LEADER)
    broker = RecordingBroker()

    with pytest.raises(StoreUnavailableError):
        await Relay(ledger, cut_off).run_once()
    published = await Relay(ledger, broker).run_once()

    assert published == 3
    assert cut_off.ids == broker.ids == [f"{task_id}:1" for task_id in task_ids]


async def test_a_checkpoint_that_somebody_else_moved_is_not_moved_back(ledger: Ledger) -> None:
    await submitted(ledger, 3)
    overtaken = InterruptedBroker(ledger, "UPDATE ledger.checkpoints SET position = 2 WHERE name = 'relay'")

    with pytest.raises(LeadershipLostError):
        await Relay(ledger, overtaken).run_once()

    rows = await fetch(ledger, "SELECT position FROM ledger.checkpoints WHERE name = 'relay'")
    assert [row["position"] for row in rows] == [2]


async def test_a_relay_that_stands_by_takes_over_when_the_leader_loses_its_connection(ledger: Ledger) -> None:
    first, second = RecordingBroker(), RecordingBroker()
    async with running(Relay(ledger, first).run(), Relay(ledger, second).run()):
        for _ in range(3):
            (task_id,) = await submitted(ledger)
            await eventually(partial(_has_any, first, second, f"{task_id}:1"), what="the event is out")
            await execute(ledger, END_OF_LEADER)


async def test_an_event_is_published_at_once_although_the_next_poll_is_far_off(database_url: str) -> None:
    async with opened(database_url, poll_interval_seconds=60) as ledger:
        broker = RecordingBroker()
        async with running(Relay(ledger, broker).run()):
            await submitted(ledger)
            await eventually(lambda: _has(broker, 1), what="the relay is up")
            began_at = time.monotonic()
            await submitted(ledger)
            await eventually(lambda: _has(broker, 2), what="the second event is out")

            assert time.monotonic() - began_at < 5


async def test_an_event_that_cannot_be_encoded_is_named_and_holds_nothing_up(ledger: Ledger) -> None:
    before, poison, after = await submitted(ledger, 3)
    await execute(ledger, "ALTER TABLE ledger.events DISABLE TRIGGER USER")
    await _spoil(ledger, poison)
    broker = RecordingBroker()

    with capture_logs() as logs:
        published = await Relay(ledger, broker).run_once()

    errors = [line for line in logs if line["log_level"] == "error"]
    assert published == 3
    assert broker.ids == [f"{before}:1", f"{after}:1"]
    assert [(line["event"], line["position"], line["event_id"]) for line in errors] == [
        ("relay.event_unencodable", 2, f"{poison}:1")
    ]


async def test_a_refused_work_queue_holds_up_neither_its_events_nor_other_queues(ledger: Ledger) -> None:
    await submitted(ledger, 2, queue="default")
    broken = await submitted(ledger, 2, queue="broken")
    await submitted(ledger, 2, queue="default")
    broker = RefusingBroker()

    with capture_logs() as logs:
        published = await Relay(ledger, broker).run_once()

    assert published == 6
    assert Counter(message.must_route for message in broker.published) == {True: 4, False: 2}
    refusals = [(line["event_id"], line["position"]) for line in logs if line["event"] == "relay.event_refused"]
    assert refusals == [(f"{broken[0]}:1", 3)]


async def test_an_event_that_is_too_large_is_announced_without_its_data(ledger: Ledger) -> None:
    before = await submitted(ledger, 3)
    (large,) = await submitted(ledger, input="x" * 2000)
    after = await submitted(ledger, 3)
    broker = SmallBroker()

    assert await Relay(ledger, broker).run_once() == 7

    assert broker.ids == [f"{task_id}:1" for task_id in (*before, large, *after)]
    assert [message.routing_key for message in broker.published if not message.must_route] == ["default.submitted"]
    assert broker.depth("default") == 6


async def test_a_broker_that_refuses_everything_holds_the_relay_where_it_is(ledger: Ledger) -> None:
    await submitted(ledger, 3)

    with pytest.raises(BrokerRefusedError):
        await Relay(ledger, ClosedBroker()).run_once()

    assert await Relay(ledger, RecordingBroker()).run_once() == 3


async def test_events_reach_the_work_queue_through_rabbitmq(database_url: str, rabbitmq_url: str) -> None:
    async with opened(database_url, rabbitmq_url=rabbitmq_url) as ledger, open_broker(ledger.settings) as broker:
        task_ids = await submitted(ledger, 20, queue="relay-test")

        await Relay(ledger, broker).run_once()

        assert await _received(broker, 20, queue="relay-test") == task_ids


async def test_a_restart_of_rabbitmq_loses_no_event(database_url: str, private_rabbitmq: PrivateRabbitmq) -> None:
    settings = {"rabbitmq_url": private_rabbitmq.url, "publish_timeout_seconds": 2}
    async with opened(database_url, **settings) as ledger, open_broker(ledger.settings) as broker:
        async with running(Relay(ledger, broker).run()):
            before = await submitted(ledger, 10)
            await eventually(lambda: _is_published(ledger, 10), what="the first events are out")
            await asyncio.to_thread(private_rabbitmq.stop)
            during = await submitted(ledger, 10)
            await asyncio.to_thread(private_rabbitmq.start)
            await eventually(lambda: _is_published(ledger, 20), what="the other events are out")

        assert set(await _received(broker, 20)) == {*before, *during}


async def test_a_restart_of_postgres_loses_no_event(private_postgres: PrivatePostgres) -> None:
    await migrate(private_postgres.url)
    async with opened(private_postgres.url) as ledger:
        broker = RecordingBroker()
        async with running(Relay(ledger, broker).run()):
            before = await submitted(ledger, 5)
            await eventually(lambda: _has(broker, 5), what="the first events are out")
            await asyncio.to_thread(private_postgres.kill)
            await asyncio.to_thread(private_postgres.start)
            after = await submitted(ledger, 5)
            expected = {f"{task_id}:1" for task_id in (*before, *after)}
            await eventually(lambda: _has_all(broker, expected), what="the other events are out")


async def _spoil(ledger: Ledger, task_id: UUID) -> None:
    for row in await fetch(ledger, "SELECT tableoid::regclass::text AS name FROM ledger.events LIMIT 1"):
        await execute(ledger, f"ALTER TABLE {row['name']} DISABLE TRIGGER USER")
    await execute(ledger, "UPDATE ledger.events SET data = '[]' WHERE task_id = $1", task_id)


async def _received(broker: Broker, count: int, *, queue: str = "default") -> list[UUID]:
    received: list[Delivery] = []
    async with asyncio.timeout(20), broker.consume([queue], prefetch=100) as deliveries:
        async for delivery in deliveries:
            received.append(delivery)
            await delivery.ack()
            if len({one.message_id for one in received}) == count:
                break
    return [incoming(delivery.body).task_id for delivery in received]


async def _has(broker: RecordingBroker, count: int) -> bool:
    return len(broker.published) >= count


async def _has_any(first: RecordingBroker, second: RecordingBroker, event_id: str) -> bool:
    return event_id in first.ids or event_id in second.ids


async def _has_all(broker: RecordingBroker, ids: set[str]) -> bool:
    return ids <= set(broker.ids)


async def _is_published(ledger: Ledger, position: int) -> bool:
    rows = await fetch(ledger, "SELECT position FROM ledger.readers WHERE name = 'relay'")
    return bool(rows) and rows[0]["position"] >= position
