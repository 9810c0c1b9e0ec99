"""The contract of the broker port, over the memory broker and RabbitMQ."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol
from uuid import uuid4

import aio_pika
import pytest

from ledger.broker.memory import MemoryBroker
from ledger.broker.port import Band, Broker, DeadLetter, Delivery, KeepLetters, OutgoingMessage, QueueDepth
from ledger.broker.rabbitmq import Consumer, RabbitmqBroker
from ledger.broker.topology import DELIVERY_LIMIT, REASON_HEADER, dead_queue
from ledger.errors import BrokerRefusedError, BrokerUnavailableError, InvalidValueError, StoreUnavailableError

_SECONDS_MAX = 20
_numbers = count(1)


class Probe(Protocol):
    """Sees what the port does not show."""

    async def dead_letters(self, queue: str) -> list[tuple[str, str]]:
        """Take the dead letters of a task queue: message id and reason."""

    async def arrived(self, deliveries: AsyncIterator[Delivery], number: int) -> None:
        """Return when a number of deliveries has arrived at a consumer."""


@dataclass
class MemoryProbe:
    """Looks into the memory broker."""

    broker: MemoryBroker

    async def dead_letters(self, queue: str) -> list[tuple[str, str]]:
        """Return the dead letters."""
        return [(letter.message_id, letter.reason) for letter in self.broker.dead_letters(queue)]

    async def arrived(self, deliveries: AsyncIterator[Delivery], number: int) -> None:
        """Return: what was published is there."""


@dataclass
class RabbitmqProbe:
    """Asks the server, and the adapter's consumer."""

    url: str

    async def dead_letters(self, queue: str) -> list[tuple[str, str]]:
        """Take the dead letters from their queue."""
        found: list[tuple[str, str]] = []
        async with await aio_pika.connect(self.url) as connection, connection.channel() as channel:
            letters = await channel.get_queue(dead_queue(queue))
            while (letter := await letters.get(no_ack=True, fail=False)) is not None:
                reason = letter.headers.get(REASON_HEADER) or letter.headers.get("x-first-death-reason")
                found.append((letter.message_id or "", str(reason)))
        return found

    async def arrived(self, deliveries: AsyncIterator[Delivery], number: int) -> None:
        """Return when so many deliveries wait to be handed out."""
        assert isinstance(deliveries, Consumer)
        async with asyncio.timeout(_SECONDS_MAX):
            while deliveries.waiting < number:
                await asyncio.sleep(0)


@pytest.fixture(params=["memory", "rabbitmq"])
def adapter(request: pytest.FixtureRequest) -> tuple[Broker, Probe]:
    if request.param == "memory":
        broker = MemoryBroker()
        return broker, MemoryProbe(broker)
    url = request.getfixturevalue("rabbitmq_url")
    return RabbitmqBroker(url), RabbitmqProbe(url)


@pytest.fixture
async def broker(adapter: tuple[Broker, Probe]) -> AsyncIterator[Broker]:
    yield adapter[0]
    await adapter[0].close()


@pytest.fixture
def probe(adapter: tuple[Broker, Probe]) -> Probe:
    return adapter[1]


@pytest.fixture
def queue() -> str:
    return f"contract-{uuid4().hex}"


def ready(queue: str, *, band: Band = Band.NORMAL, body: bytes = b"{}") -> OutgoingMessage:
    return OutgoingMessage(
        message_id=f"message:{next(_numbers)}",
        routing_key=f"{queue}.ready.{band.value}.submitted",
        body=body,
        queue=queue,
        must_route=True,
    )


def event(queue: str, name: str = "completed", *, must_route: bool = False) -> OutgoingMessage:
    return OutgoingMessage(
        message_id=f"message:{next(_numbers)}",
        routing_key=f"{queue}.{name}",
        body=b"{}",
        queue=queue,
        must_route=must_route,
    )


def ids(messages: Sequence[OutgoingMessage | Delivery]) -> list[str]:
    return [message.message_id for message in messages]


async def take(deliveries: AsyncIterator[Delivery], number: int) -> list[Delivery]:
    async with asyncio.timeout(_SECONDS_MAX):
        return [await anext(deliveries) for _ in range(number)]


async def test_message_arrives_as_it_was_published(broker: Broker, queue: str) -> None:
    message = ready(queue, band=Band.HIGH, body=b'{"specversion": "1.0"}')

    assert await broker.publish([message]) == 1

    async with broker.consume([queue], prefetch=10) as deliveries:
        [delivery] = await take(deliveries, 1)
        assert (delivery.queue, delivery.band) == (queue, Band.HIGH)
        assert (delivery.message_id, delivery.body) == (message.message_id, message.body)
        assert not delivery.redelivered


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 400_000])
async def test_body_of_any_size_arrives_whole(broker: Broker, queue: str, size: int) -> None:
    body = bytes(index % 251 for index in range(size))

    await broker.publish([ready(queue, body=body), ready(queue, body=b"after")])

    async with broker.consume([queue], prefetch=10) as deliveries:
        assert [delivery.body for delivery in await take(deliveries, 2)] == [body, b"after"]


async def test_messages_of_a_queue_arrive_in_order(broker: Broker, queue: str) -> None:
    messages = [ready(queue) for _ in range(2500)]

    assert await broker.publish(messages) == 2500

    async with broker.consume([queue], prefetch=100) as deliveries:
        received = []
        for _ in messages:
            [delivery] = await take(deliveries, 1)
            received.append(delivery.message_id)
            await delivery.ack()
    assert received == ids(messages)


async def test_publishing_nothing_confirms_nothing(broker: Broker) -> None:
    assert await broker.publish([]) == 0


async def test_event_that_makes_no_task_ready_is_confirmed_and_reaches_no_work_queue(
    broker: Broker, queue: str
) -> None:
    await broker.declare_queue(queue)
    message = ready(queue)

    assert await broker.publish([event(queue), event(queue, "ready"), message]) == 3

    async with broker.consume([queue], prefetch=10) as deliveries:
        assert ids(await take(deliveries, 1)) == [message.message_id]


async def test_message_that_must_route_makes_its_queue_exist(broker: Broker, queue: str) -> None:
    messages = [ready(queue, band=band) for band in (Band.LOW, Band.NORMAL, Band.HIGH)]

    assert await broker.publish([event(queue), *messages]) == 4

    async with broker.consume([queue], prefetch=10) as deliveries:
        assert sorted(ids(await take(deliveries, 3))) == sorted(ids(messages))


async def test_message_that_no_queue_takes_is_refused(broker: Broker, queue: str) -> None:
    with pytest.raises(BrokerRefusedError, match=r"ready\.urgent"):
        await broker.publish([event(queue, "ready.urgent.submitted", must_route=True)])


async def test_prefix_ends_before_a_message_that_no_queue_takes(broker: Broker, queue: str) -> None:
    unroutable = event(queue, "ready.urgent.submitted", must_route=True)

    assert await broker.publish([ready(queue), event(queue), unroutable, ready(queue)]) == 2


async def test_publishers_at_the_same_time_all_get_their_confirms(broker: Broker, queue: str) -> None:
    batches = [[ready(queue) for _ in range(50)] for _ in range(8)]

    assert await asyncio.gather(*(broker.publish(batch) for batch in batches)) == [50] * 8

    async with broker.consume([queue], prefetch=400) as deliveries:
        received = await take(deliveries, 400)
        assert sorted(ids(received)) == sorted(ids([message for batch in batches for message in batch]))


async def test_higher_band_is_handed_out_first_among_what_has_arrived(
    broker: Broker, probe: Probe, queue: str
) -> None:
    bands = [Band.LOW, Band.NORMAL, Band.HIGH, Band.LOW, Band.NORMAL, Band.HIGH]
    await broker.publish([ready(queue, band=band) for band in bands])

    async with broker.consume([queue], prefetch=10) as deliveries:
        await probe.arrived(deliveries, 6)
        received = [delivery.band for delivery in await take(deliveries, 6)]
    assert received == [Band.HIGH] * 2 + [Band.NORMAL] * 2 + [Band.LOW] * 2


async def test_queues_of_a_band_take_turns(broker: Broker, probe: Probe, queue: str) -> None:
    busy, quiet = f"{queue}-busy", f"{queue}-quiet"
    await broker.publish([ready(busy) for _ in range(20)] + [ready(quiet) for _ in range(5)])

    async with broker.consume([busy, quiet], prefetch=20) as deliveries:
        await probe.arrived(deliveries, 25)
        received = [delivery.queue for delivery in await take(deliveries, 10)]
    assert Counter(received) == {busy: 5, quiet: 5}


async def test_consumer_holds_no_more_than_its_prefetch(broker: Broker, queue: str) -> None:
    messages = [ready(queue) for _ in range(5)]
    await broker.publish(messages)

    async with broker.consume([queue], prefetch=2) as first:
        held = await take(first, 2)
        async with broker.consume([queue], prefetch=10) as second:
            others = await take(second, 3)
            assert ids([*held, *others]) == ids(messages)


async def test_ack_makes_room_for_the_next_delivery(broker: Broker, queue: str) -> None:
    messages = [ready(queue) for _ in range(3)]
    await broker.publish(messages)

    async with broker.consume([queue], prefetch=1) as deliveries:
        for message in messages:
            [delivery] = await take(deliveries, 1)
            assert delivery.message_id == message.message_id
            await delivery.ack()


async def test_what_was_not_settled_comes_again_and_says_so(broker: Broker, queue: str) -> None:
    messages = [ready(queue) for _ in range(4)]
    await broker.publish(messages)
    async with broker.consume([queue], prefetch=10) as deliveries:
        received = await take(deliveries, 4)
        await received[1].ack()
        await received[3].ack()

    async with broker.consume([queue], prefetch=10) as deliveries:
        again = await take(deliveries, 2)
        assert ids(again) == [messages[0].message_id, messages[2].message_id]
        assert all(delivery.redelivered for delivery in again)


async def test_acks_in_any_order_take_exactly_their_messages(broker: Broker, queue: str) -> None:
    messages = [ready(queue) for _ in range(60)]
    await broker.publish(messages)
    async with broker.consume([queue], prefetch=100) as deliveries:
        received = await take(deliveries, 60)
        kept = received[::3]
        for delivery in reversed([one for one in received if one not in kept]):
            await delivery.ack()
            await asyncio.sleep(0)  # each ack in a turn of its own

    async with broker.consume([queue], prefetch=100) as deliveries:
        assert ids(await take(deliveries, 20)) == ids(kept)


async def test_rejected_message_is_a_dead_letter_with_its_reason(broker: Broker, probe: Probe, queue: str) -> None:
    first, second = ready(queue), ready(queue)
    await broker.publish([first, second])

    async with broker.consume([queue], prefetch=1) as deliveries:
        [delivery] = await take(deliveries, 1)
        await delivery.reject("not one of ours")
        [following] = await take(deliveries, 1)

    assert following.message_id == second.message_id
    assert await probe.dead_letters(queue) == [(first.message_id, "not one of ours")]


async def test_dead_letters_are_handed_over_oldest_first_and_then_gone(broker: Broker, queue: str) -> None:
    messages = [ready(queue, body=b"%d" % number) for number in range(3)]
    await broker.publish(messages)
    await _reject_all(broker, queue, len(messages))
    kept: list[DeadLetter] = []

    counts = [await broker.move_dead_letters(queue, _keep_in(kept), letters_max=2) for _ in range(3)]

    assert counts == [2, 1, 0]
    assert [(letter.message_id, letter.body) for letter in kept] == [
        (one.message_id, one.body) for one in messages
    ]
    assert {(letter.queue, letter.reason, letter.cause) for letter in kept} == {(queue, "no good", "rejected")}


async def test_dead_letters_that_could_not_be_kept_are_handed_over_again(broker: Broker, queue: str) -> None:
    await broker.publish([ready(queue)])
    await _reject_all(broker, queue, 1)
    kept: list[DeadLetter] = []

    async def fail(_letters: Sequence[DeadLetter]) -> None:
        message = "the database is away"
        raise StoreUnavailableError(message)

    with pytest.raises(StoreUnavailableError):
        await broker.move_dead_letters(queue, fail, letters_max=10)

    async with asyncio.timeout(_SECONDS_MAX):
        while not kept:  # the server puts back what a lost connection held, but not at once
            await broker.move_dead_letters(queue, _keep_in(kept), letters_max=10)
    assert len(kept) == 1


async def test_queue_that_does_not_exist_has_no_dead_letters(broker: Broker, queue: str) -> None:
    kept: list[DeadLetter] = []

    assert await broker.move_dead_letters(queue, _keep_in(kept), letters_max=10) == 0
    assert kept == []


async def _reject_all(broker: Broker, queue: str, number: int) -> None:
    async with broker.consume([queue], prefetch=number) as deliveries:
        for delivery in await take(deliveries, number):
            await delivery.reject("no good")


def _keep_in(kept: list[DeadLetter]) -> KeepLetters:
    async def keep(letters: Sequence[DeadLetter]) -> None:
        kept.extend(letters)

    return keep


async def test_message_that_always_comes_back_ends_as_a_dead_letter(
    broker: Broker, probe: Probe, queue: str
) -> None:
    poison = ready(queue)
    await broker.publish([poison])

    for _ in range(DELIVERY_LIMIT + 1):
        async with broker.consume([queue], prefetch=1) as deliveries:
            assert ids(await take(deliveries, 1)) == [poison.message_id]

    async with asyncio.timeout(_SECONDS_MAX):
        letters: list[tuple[str, str]] = []
        while not letters:
            letters = await probe.dead_letters(queue)
    assert [message_id for message_id, _ in letters] == [poison.message_id]


async def test_settling_twice_is_the_same_as_once(broker: Broker, probe: Probe, queue: str) -> None:
    messages = [ready(queue) for _ in range(3)]
    await broker.publish(messages)

    async with broker.consume([queue], prefetch=1) as deliveries:
        for _ in range(2):
            [delivery] = await take(deliveries, 1)
            await delivery.ack()
            await delivery.ack()
            await asyncio.sleep(0)
            await delivery.ack()
            await delivery.reject("too late")
        [last] = await take(deliveries, 1)

    assert last.message_id == messages[2].message_id
    assert await probe.dead_letters(queue) == []


async def test_settling_after_the_consumer_left_does_nothing(broker: Broker, queue: str) -> None:
    message = ready(queue)
    await broker.publish([message])
    async with broker.consume([queue], prefetch=10) as deliveries:
        [delivery] = await take(deliveries, 1)

    await delivery.ack()
    await delivery.reject("too late")

    async with broker.consume([queue], prefetch=10) as deliveries:
        assert ids(await take(deliveries, 1)) == [message.message_id]


async def test_consumers_that_compete_receive_each_message_once(broker: Broker, queue: str) -> None:
    messages = [ready(queue) for _ in range(300)]
    received: list[str] = []
    everything = asyncio.Event()

    async def work() -> None:
        async with broker.consume([queue], prefetch=5) as deliveries:
            async for delivery in deliveries:
                received.append(delivery.message_id)
                await delivery.ack()
                if len(received) == len(messages):
                    everything.set()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await broker.publish(messages)
    async with asyncio.timeout(_SECONDS_MAX):
        await everything.wait()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)

    assert Counter(received) == Counter(ids(messages))


async def test_consumer_that_waits_is_woken_by_a_publish(broker: Broker, queue: str) -> None:
    async with broker.consume([queue], prefetch=10) as deliveries:
        waiting = asyncio.create_task(take(deliveries, 1))
        message = ready(queue)
        await broker.publish([message])

        assert ids(await waiting) == [message.message_id]


async def test_cancelled_wait_passes_through_and_loses_nothing(broker: Broker, queue: str) -> None:
    async with broker.consume([queue], prefetch=10) as deliveries:
        waiting = asyncio.create_task(take(deliveries, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        message = ready(queue)
        await broker.publish([message])
        assert ids(await take(deliveries, 1)) == [message.message_id]


async def test_leaving_a_consumer_and_closing_leave_no_task_behind(broker: Broker, queue: str) -> None:
    before = asyncio.all_tasks()
    await broker.publish([ready(queue) for _ in range(10)])
    async with broker.consume([queue], prefetch=3) as deliveries:
        [delivery, *_] = await take(deliveries, 3)
        await delivery.ack()

    await broker.close()

    assert asyncio.all_tasks() == before


async def test_declaring_a_queue_again_changes_nothing(broker: Broker, queue: str) -> None:
    message = ready(queue)
    await broker.declare_queue(queue)
    await broker.publish([message])

    await broker.declare_queue(queue)

    async with broker.consume([queue], prefetch=10) as deliveries:
        assert ids(await take(deliveries, 1)) == [message.message_id]


@pytest.mark.parametrize("name", ["", "a.ready", "UPPER", "q" * 65, "q\n", "#"])
async def test_name_that_could_not_stand_in_a_routing_key_is_refused(broker: Broker, name: str) -> None:
    with pytest.raises(InvalidValueError, match="queue must be 1 to 64"):
        await broker.declare_queue(name)
    with pytest.raises(InvalidValueError, match="queue must be 1 to 64"):
        async with broker.consume([name], prefetch=1):
            pass


async def test_closing_ends_the_iteration_of_a_consumer(broker: Broker, queue: str) -> None:
    async with broker.consume([queue], prefetch=1) as deliveries:
        waiting = asyncio.create_task(anext(deliveries, None))
        await asyncio.sleep(0)

        await broker.close()

        async with asyncio.timeout(_SECONDS_MAX):
            assert await waiting is None


async def test_closed_broker_is_not_available(broker: Broker, queue: str) -> None:
    await broker.ping()

    await broker.close()
    await broker.close()

    with pytest.raises(BrokerUnavailableError):
        await broker.publish([ready(queue)])
    with pytest.raises(BrokerUnavailableError):
        await broker.declare_queue(queue)
    with pytest.raises(BrokerUnavailableError):
        await broker.ping()
    with pytest.raises(BrokerUnavailableError):
        async with broker.consume([queue], prefetch=1):
            pass


async def test_depths_tell_what_waits_and_who_consumes_and_declare_nothing(broker: Broker, queue: str) -> None:
    missing = f"{queue}-missing"
    await broker.publish([ready(queue), ready(queue), ready(queue, band=Band.HIGH)])
    async with broker.consume([queue], prefetch=1) as deliveries:
        await (await take(deliveries, 1))[0].reject("no good")
        async with asyncio.timeout(_SECONDS_MAX):
            while not _is_settled(found := {one.band: one for one in await broker.depths([missing, queue])}):
                await asyncio.sleep(0.05)

    assert list(found) == [Band.HIGH, Band.NORMAL, Band.LOW, None]
    assert {one.queue for one in found.values()} == {queue}
    assert (found[None].name, found[None].messages, found[None].consumers) == (dead_queue(queue), 1, 0)
    assert [found[band].consumers for band in Band] == [1, 1, 1]
    assert (found[Band.HIGH].messages, found[Band.LOW].messages) == (0, 0)


def _is_settled(found: Mapping[Band | None, QueueDepth]) -> bool:
    return found[None].messages == 1 and all(found[band].consumers for band in Band)


async def test_a_broker_says_which_it_is(broker: Broker) -> None:
    facts = await broker.describe()

    assert (facts.kind, facts.version is None) in [("memory", True), ("rabbitmq", False)]
