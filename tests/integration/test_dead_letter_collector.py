"""The collector moves dead letters from RabbitMQ into the ledger, whoever buried them and whatever breaks."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import aio_pika
import pytest

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.broker.port import Band, KeepLetters
from ledger.broker.rabbitmq import RabbitmqBroker
from ledger.broker.topology import DELIVERY_LIMIT, work_queue
from ledger.dead_letters.collector import LETTERS_MAX, Collector
from ledger.dead_letters.letters import DeadMessage
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import BrokerRefusedError, BrokerUnavailableError
from tests.integration.dead_letters_given import foreign, listed, rejected
from tests.integration.given import caught_up, eventually, execute, fetch, opened, running, submitted
from worker.consumer import Worker
from worker.registry import shipped_registry


@pytest.fixture
def queue() -> str:
    """A queue of the test's own: the broker serves the whole session."""
    return f"dead-{uuid4().hex}"


@pytest.fixture
async def ledger(database_url: str, queue: str) -> AsyncIterator[Ledger]:
    settings = {"worker_queues": (queue,), "dead_letter_interval_seconds": 0.05, "broker_retry_seconds_max": 0.2}
    async with opened(database_url, **settings) as ledger:
        yield ledger


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncIterator[RabbitmqBroker]:
    broker = RabbitmqBroker(rabbitmq_url, retry_seconds_max=0.5)
    yield broker
    await broker.close()


async def test_a_malformed_message_that_a_worker_rejected_is_listed_with_headers_and_reason(
    ledger: Ledger, broker: RabbitmqBroker, rabbitmq_url: str, queue: str
) -> None:
    await broker.declare_queue(queue)
    await _publish_foreign(rabbitmq_url, queue)
    worker = Worker(ledger, broker, shipped_registry())

    async with running(worker.run(), Collector(ledger, broker).run()):
        await eventually(lambda: _is_listed(ledger), what="the message is listed")
        await worker.stop()

    found = await _message(ledger)
    assert (found.queue, found.body, found.task_id, found.cause) == (queue, b"<xml/>", None, "rejected")
    assert found.reason.startswith("malformed message: JSONDecodeError")
    assert isinstance(found.headers, dict)
    assert (found.headers["tenant"], found.headers["raw"]) == (7, "AP8=")
    assert isinstance(found.properties, dict)
    assert (found.properties["content_type"], found.properties["correlation_id"]) == ("text/xml", "c")
    assert await broker.move_dead_letters(queue, _never, letters_max=1) == 0


async def test_a_message_that_the_broker_buried_itself_is_listed_with_the_brokers_word(
    ledger: Ledger, broker: RabbitmqBroker, queue: str
) -> None:
    await broker.publish([foreign(queue, message_id="poison")])
    for _ in range(DELIVERY_LIMIT + 1):
        async with broker.consume([queue], prefetch=1) as deliveries:
            await anext(deliveries)

    async with running(Collector(ledger, broker).run()):
        await eventually(lambda: _is_listed(ledger), what="the message is listed")

    found = await _message(ledger)
    assert (found.message_id, found.cause) == ("poison", "delivery_limit")
    assert found.reason == "the broker buried it: delivery_limit"


async def test_what_the_database_did_not_take_stays_with_the_broker_and_comes_again(
    ledger: Ledger, broker: RabbitmqBroker, queue: str
) -> None:
    await rejected(broker, queue, [foreign(queue)])
    await execute(ledger, "ALTER TABLE ledger.dead_letters RENAME TO hidden")
    collector = Collector(ledger, broker)
    with pytest.raises(Exception, match="does not exist"):
        await collector.run_once()

    await execute(ledger, "ALTER TABLE ledger.hidden RENAME TO dead_letters")

    async with running(collector.run()):
        await eventually(lambda: _is_listed(ledger), what="the message is listed")


async def test_messages_of_every_queue_that_a_task_ever_named_are_collected(ledger: Ledger) -> None:
    broker, names = MemoryBroker(), ["a", "b", "c-d", "z"]
    for name in names:
        await submitted(ledger, 2, queue=name)
        await rejected(broker, name, [foreign(name)])
    await caught_up(ledger)

    collected = await Collector(ledger, broker).run_once()

    assert collected == 4
    assert sorted(letter.queue for letter in await listed(ledger)) == names


class PatchyBroker(MemoryBroker):
    """Serves one queue not at all, and refuses to let another one be read."""

    async def move_dead_letters(self, queue: str, keep: KeepLetters, *, letters_max: int) -> int:
        """Move as the class says."""
        if queue == "away":
            raise BrokerUnavailableError("the queue has no leader")
        if queue == "forbidden":
            raise BrokerRefusedError("access refused")
        return await super().move_dead_letters(queue, keep, letters_max=letters_max)


async def test_a_queue_that_the_broker_cannot_serve_does_not_keep_the_others_waiting(ledger: Ledger) -> None:
    broker, names = PatchyBroker(), ["a", "away", "forbidden", "z"]
    for name in names:
        await submitted(ledger, queue=name)
        await rejected(broker, name, [foreign(name)])
    await caught_up(ledger)

    with pytest.raises(BrokerUnavailableError, match="no leader"):
        await Collector(ledger, broker).run_once()

    assert sorted(letter.queue for letter in await listed(ledger)) == ["a", "z"]


async def test_more_than_a_batch_is_collected_in_one_round(ledger: Ledger, queue: str) -> None:
    broker, number = MemoryBroker(), 2 * LETTERS_MAX + 1
    await rejected(broker, queue, [foreign(queue, body=b"%d" % n) for n in range(number)])

    assert await Collector(ledger, broker).run_once() == number
    assert await Collector(ledger, broker).run_once() == 0
    assert len(await listed(ledger)) == number


async def test_only_one_collector_leads_and_the_next_one_takes_over(ledger: Ledger, queue: str) -> None:
    broker = MemoryBroker()
    first = asyncio.ensure_future(Collector(ledger, broker).run())
    await eventually(lambda: _somebody_leads(ledger), what="the first collector leads")
    await rejected(broker, queue, [foreign(queue)])

    assert await Collector(ledger, broker).run_once() in (0, 1)  # 0 while the first leads, which collects it
    await eventually(lambda: _is_listed(ledger), what="the message is listed")
    first.cancel()
    await asyncio.wait([first])
    await rejected(broker, queue, [foreign(queue, body=b"another")])
    async with running(Collector(ledger, broker).run()):
        await eventually(lambda: _are_listed(ledger, 2), what="the second collector has collected the other one")


async def _publish_foreign(url: str, queue: str) -> None:
    message = aio_pika.Message(
        b"<xml/>",
        content_type="text/xml",
        correlation_id="c",
        headers={"tenant": 7, "raw": bytearray(b"\x00\xff")},
    )
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(message, work_queue(queue, Band.NORMAL))


async def _message(ledger: Ledger) -> DeadMessage:
    [letter] = await listed(ledger)
    found = await DeadLetterReader(ledger).message(letter.id)
    assert found is not None
    return found


async def _never(letters: object) -> None:
    message = f"the broker had {letters} left"
    raise AssertionError(message)


async def _is_listed(ledger: Ledger) -> bool:
    return await _are_listed(ledger, 1)


async def _are_listed(ledger: Ledger, number: int) -> bool:
    return len(await listed(ledger)) == number


async def _somebody_leads(ledger: Ledger) -> bool:
    leaders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 19529 AND granted"
    return len(await fetch(ledger, leaders)) == 1
