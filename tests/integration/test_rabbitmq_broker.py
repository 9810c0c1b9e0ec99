"""What only RabbitMQ can do to us: go away, come back, lose queues, refuse, stall."""

import asyncio
import gc
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import pytest
import structlog
from pamqp.common import FieldTable

from ledger.broker.port import Band, Delivery, OutgoingMessage
from ledger.broker.rabbitmq import RabbitmqBroker
from ledger.broker.topology import (
    EVENTS_EXCHANGE,
    REASON_HEADER,
    dead_queue,
    work_binding,
    work_queue,
    work_queue_arguments,
)
from ledger.errors import BrokerRefusedError, BrokerUnavailableError, ConfigurationError
from ledger.settings import Settings
from tests.services.private_rabbitmq import PrivateRabbitmq
from tests.services.processes import stable_port

_SECONDS_MAX = 30
_numbers = count(1)


@pytest.fixture
def queue() -> str:
    return f"integration-{uuid4().hex}"


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncIterator[RabbitmqBroker]:
    broker = RabbitmqBroker(rabbitmq_url, retry_seconds_max=0.5)
    yield broker
    await broker.close()


@pytest.fixture
async def server(rabbitmq_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """The server as an operator sees it, on a connection of its own."""
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        yield channel


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator["Proxy"]:
    async with Proxy.before(rabbitmq_url) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """Fail a test that leaves a task, or an exception that nobody took."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


class Proxy:
    """A network between us and the server that can be cut, and that can go silent."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self._bytes_up_left = math.inf
        self._bytes_down_left = math.inf
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[Self]:
        """Listen on a free port and forward to the server of a URL."""
        proxy = cls(url)
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        parts = proxy._target
        proxy.url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        yield proxy
        server.close()
        proxy.cut()
        proxy.flow()
        await asyncio.gather(*proxy._pumps, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def cut_after(self, bytes_up: int) -> None:
        """Reset every connection when so much more has gone to the server."""
        self._bytes_up_left = bytes_up

    def stall(self) -> None:
        """Let nothing through any more, in either direction."""
        self._flows.clear()

    def stall_after(self, bytes_down: int) -> None:
        """Let nothing through any more when so much more has come from the server."""
        self._bytes_down_left = bytes_down

    def flow(self) -> None:
        """Let everything through again."""
        self._bytes_down_left = math.inf
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers += [writer, there[1]]
        for source, sink, is_up in ((reader, there[1], True), (there[0], writer, False)):
            self._pumps.append(asyncio.create_task(self._pump(source, sink, is_up=is_up)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_up: bool) -> None:
        try:
            while piece := await source.read(64 if math.isfinite(self._bytes_down_left) else 4096):
                await self._flows.wait()
                sink.write(piece)
                await sink.drain()
                self._account(len(piece), is_up=is_up)
        except ConnectionError:
            pass
        finally:
            sink.transport.abort()

    def _account(self, size: int, *, is_up: bool) -> None:
        if is_up:
            self._bytes_up_left -= size
        else:
            self._bytes_down_left -= size
        if self._bytes_up_left <= 0:
            self._bytes_up_left = math.inf
            self.cut()
        if self._bytes_down_left <= 0:
            self.stall()


def ready(queue: str, *, band: Band = Band.NORMAL, body: bytes = b"{}") -> OutgoingMessage:
    return OutgoingMessage(
        message_id=f"message:{next(_numbers)}",
        routing_key=f"{queue}.ready.{band.value}.submitted",
        body=body,
        queue=queue,
        must_route=True,
    )


def ids(messages: Sequence[OutgoingMessage | Delivery]) -> list[str]:
    return [message.message_id for message in messages]


async def take(deliveries: AsyncIterator[Delivery], number: int) -> list[Delivery]:
    async with asyncio.timeout(_SECONDS_MAX):
        return [await anext(deliveries) for _ in range(number)]


async def take_all(deliveries: AsyncIterator[Delivery], expected: set[str]) -> None:
    """Take and ack until each of the expected messages has come at least once."""
    async with asyncio.timeout(_SECONDS_MAX):
        while expected:
            delivery = await anext(deliveries)
            await delivery.ack()
            expected.discard(delivery.message_id)


async def publish_all(broker: RabbitmqBroker, messages: Sequence[OutgoingMessage]) -> None:
    """Publish as the relay does: again from behind the confirmed prefix, until all are confirmed."""
    async with asyncio.timeout(_SECONDS_MAX):
        while messages:
            try:
                messages = messages[await broker.publish(messages) :]
            except BrokerUnavailableError:
                await asyncio.sleep(0.05)


async def outlive_declaration() -> None:
    """Let a second pass: a node that is killed sooner after declaring a quorum queue breaks it for good."""
    await asyncio.sleep(1.2)


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_consumer_and_messages_outlive_the_server(
    private_rabbitmq: PrivateRabbitmq, queue: str, how: str
) -> None:
    broker = RabbitmqBroker(private_rabbitmq.url, retry_seconds_max=0.5)
    messages = [ready(queue) for _ in range(30)]
    async with broker.consume([queue], prefetch=5) as deliveries:
        await publish_all(broker, messages[:20])
        first = await take(deliveries, 5)
        await outlive_declaration()

        await asyncio.to_thread(_bring_back, private_rabbitmq, how)

        await publish_all(broker, messages[20:])
        for delivery in first:
            await delivery.ack()  # its channel is gone: nothing happens
        await take_all(deliveries, set(ids(messages)))
    await broker.close()


def _bring_back(node: PrivateRabbitmq, how: str) -> None:
    if how == "restart":
        node.restart()
    else:
        node.kill()
        node.start()


async def test_server_that_lost_everything_is_furnished_again(
    private_rabbitmq: PrivateRabbitmq, queue: str
) -> None:
    broker = RabbitmqBroker(private_rabbitmq.url, retry_seconds_max=0.5)
    async with broker.consume([queue], prefetch=5) as deliveries:
        await publish_all(broker, [ready(queue)])
        await take(deliveries, 1)

        await asyncio.to_thread(private_rabbitmq.wipe)
        with pytest.raises(BrokerUnavailableError):
            await broker.publish([ready(queue)])
        await asyncio.to_thread(private_rabbitmq.start)

        message = ready(queue)
        await publish_all(broker, [message])
        await take_all(deliveries, {message.message_id})
    await broker.close()


async def test_consumer_goes_on_after_its_connection_was_cut(proxy: Proxy, queue: str) -> None:
    broker = RabbitmqBroker(proxy.url, retry_seconds_max=0.5)
    messages = [ready(queue) for _ in range(6)]
    async with broker.consume([queue], prefetch=2) as deliveries:
        await broker.publish(messages)
        held = await take(deliveries, 2)

        proxy.cut()

        again = await take(deliveries, 2)
        assert ids(again) == ids(held)
        assert all(delivery.redelivered for delivery in again)
        for delivery in [*held, *again]:
            await delivery.ack()
        await take_all(deliveries, set(ids(messages[2:])))
    await broker.close()


async def test_publish_that_is_cut_can_be_completed(proxy: Proxy, queue: str) -> None:
    broker = RabbitmqBroker(proxy.url)
    messages = [ready(queue, body=b"x" * 400) for _ in range(5000)]
    await broker.publish([ready(queue)])
    proxy.cut_after(bytes_up=1_000_000)

    await publish_all(broker, messages)

    async with broker.consume([queue], prefetch=1000) as deliveries:
        await take_all(deliveries, set(ids(messages)))
    await broker.close()


async def test_publish_whose_confirms_end_midway_returns_the_prefix(proxy: Proxy, queue: str) -> None:
    broker = RabbitmqBroker(proxy.url, publish_timeout_seconds=1)
    messages = [ready(queue, body=b"x" * 400) for _ in range(3000)]
    await broker.publish([ready(queue)])
    proxy.stall_after(bytes_down=64)

    confirmed = await broker.publish(messages)

    assert 0 < confirmed < 3000
    proxy.flow()
    await publish_all(broker, messages[confirmed:])
    async with broker.consume([queue], prefetch=1000) as deliveries:
        await take_all(deliveries, set(ids(messages)))
    await broker.close()


async def test_publish_on_a_connection_that_was_cut_meanwhile_is_not_available_once(
    proxy: Proxy, queue: str
) -> None:
    broker = RabbitmqBroker(proxy.url)
    await broker.publish([ready(queue)])
    proxy.stall()
    publishing = asyncio.create_task(broker.publish([ready(queue)]))
    await asyncio.sleep(0)

    proxy.cut()

    with pytest.raises(BrokerUnavailableError, match="connection"):
        await publishing
    proxy.flow()
    assert await broker.publish([ready(queue)]) == 1
    await broker.close()


async def test_server_that_does_not_answer_is_not_available_in_time(proxy: Proxy, queue: str) -> None:
    broker = RabbitmqBroker(proxy.url, publish_timeout_seconds=0.3)
    await broker.publish([ready(queue)])
    proxy.stall()

    async with asyncio.timeout(5):
        with pytest.raises(BrokerUnavailableError, match=r"no answer within 0\.3 s"):
            await broker.publish([ready(queue)])
        with pytest.raises(BrokerUnavailableError, match=r"no answer within 0\.3 s"):
            await broker.ping()

    proxy.flow()
    assert await broker.publish([ready(queue)]) == 1
    await broker.close()


async def test_consumer_of_a_server_that_does_not_answer_can_be_left(proxy: Proxy, queue: str) -> None:
    broker = RabbitmqBroker(proxy.url, publish_timeout_seconds=0.3)
    await broker.publish([ready(queue)])
    before = asyncio.all_tasks()
    async with asyncio.timeout(15):
        async with broker.consume([queue], prefetch=5) as deliveries:
            await take(deliveries, 1)
            proxy.stall()
        await broker.close()
    assert {task for task in asyncio.all_tasks() - before if "Proxy" not in repr(task)} == set()


async def test_cancelled_publish_spoils_nothing(proxy: Proxy, queue: str) -> None:
    broker = RabbitmqBroker(proxy.url)
    await broker.publish([ready(queue)])
    proxy.stall()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await broker.publish([ready(queue) for _ in range(10)])

    proxy.flow()
    assert await broker.publish([ready(queue) for _ in range(10)]) == 10
    await broker.close()


async def test_queue_deleted_under_a_consumer_is_declared_and_consumed_again(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    async with broker.consume([queue], prefetch=5) as deliveries:
        await broker.publish([ready(queue), ready(queue, band=Band.LOW)])
        held = await take(deliveries, 2)

        await server.queue_delete(work_queue(queue, Band.NORMAL))

        message = ready(queue)
        assert await broker.publish([message]) == 1
        await take_all(deliveries, {message.message_id})
        for delivery in held:
            await delivery.ack()  # one of a queue that is gone, one that is still there: both are well
        another = ready(queue, band=Band.LOW)
        await broker.publish([another])
        await take_all(deliveries, {another.message_id})


async def test_queue_deleted_under_a_publisher_is_declared_again(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    await broker.publish([ready(queue)])
    for band in Band:
        await server.queue_delete(work_queue(queue, band))
    messages = [ready(queue, band=band) for band in Band for _ in range(20)]

    assert await broker.publish(messages) == 60

    async with broker.consume([queue], prefetch=60) as deliveries:
        await take_all(deliveries, set(ids(messages)))


async def test_somebody_elses_binding_does_not_count_as_a_work_queue(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    exchange = await server.declare_exchange(EVENTS_EXCHANGE, "topic", durable=True)
    watcher = await server.declare_queue(exclusive=True)
    await watcher.bind(exchange, f"{queue}.#")
    message = ready(queue)

    assert await broker.publish([message]) == 1

    async with broker.consume([queue], prefetch=1) as deliveries:
        assert ids(await take(deliveries, 1)) == [message.message_id]


async def test_queue_with_other_arguments_is_refused_when_declared(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    await server.declare_queue(work_queue(queue, Band.NORMAL), durable=True)

    with pytest.raises(BrokerRefusedError, match="PRECONDITION_FAILED - inequivalent arg"):
        await broker.declare_queue(queue)
    await broker.ping()


async def test_queue_with_other_arguments_is_used_all_the_same_and_reported(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    own = await server.declare_queue(work_queue(queue, Band.NORMAL), durable=True)
    await own.bind(EVENTS_EXCHANGE, work_binding(queue, Band.NORMAL))
    message = ready(queue)

    with structlog.testing.capture_logs() as logs:
        assert await broker.publish([message]) == 1

    assert [(log["event"], log["queue"]) for log in logs] == [("broker.declaration_refused", queue)]
    received = await own.get(timeout=_SECONDS_MAX)
    assert received is not None
    assert received.message_id == message.message_id
    await received.ack()
    await own.delete(if_empty=False)


async def test_prefix_ends_before_a_message_that_the_server_refuses(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    arguments: FieldTable = {"x-max-length": 2, "x-overflow": "reject-publish"}
    full = await server.declare_queue(work_queue(queue, Band.NORMAL), durable=True, arguments=arguments)
    await full.bind(EVENTS_EXCHANGE, work_binding(queue, Band.NORMAL))

    assert await broker.publish([ready(queue) for _ in range(5)]) == 2
    with pytest.raises(BrokerUnavailableError, match="did not take the message"):
        await broker.publish([ready(queue)])
    await full.delete(if_empty=False)


async def test_events_are_persistent_cloud_events(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    message = ready(queue)
    await broker.publish([message])

    received = await (await server.get_queue(work_queue(queue, Band.NORMAL))).get(timeout=_SECONDS_MAX)

    assert received is not None
    assert received.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert received.content_type == "application/cloudevents+json"
    assert (received.message_id, received.routing_key) == (message.message_id, message.routing_key)
    await received.ack()


async def test_foreign_message_keeps_what_it_came_with_as_a_dead_letter(
    broker: RabbitmqBroker, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    await broker.declare_queue(queue)
    foreign = aio_pika.Message(b"<xml/>", content_type="text/xml", headers={"tenant": 7}, correlation_id="c")
    await server.default_exchange.publish(foreign, work_queue(queue, Band.LOW))

    async with broker.consume([queue], prefetch=1) as deliveries:
        [delivery] = await take(deliveries, 1)
        assert (delivery.body, delivery.band) == (b"<xml/>", Band.LOW)
        await delivery.reject("not a CloudEvent")

    letter = await (await server.get_queue(dead_queue(queue))).get(no_ack=True)
    assert letter is not None
    assert (letter.body, letter.content_type, letter.correlation_id) == (b"<xml/>", "text/xml", "c")
    assert (letter.headers["tenant"], letter.headers[REASON_HEADER]) == (7, "not a CloudEvent")
    assert letter.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_rejected_message_is_not_lost_where_nothing_can_be_published(
    rabbitmq_url: str, server: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    broker = RabbitmqBroker(rabbitmq_url)
    message = ready(queue)
    await broker.publish([message])
    async with broker.consume([queue], prefetch=1) as deliveries:
        [delivery] = await take(deliveries, 1)
        await broker._connection.close()  # noqa: SLF001 - only the publishing half goes

        await delivery.reject("nobody hears this")

        letters = await server.get_queue(dead_queue(queue))
        letter = None
        async with asyncio.timeout(_SECONDS_MAX):
            while letter is None:
                letter = await letters.get(no_ack=True, fail=False)
    assert letter.message_id == message.message_id
    await broker.close()


async def test_consumer_waits_for_a_server_that_is_not_there_yet(
    private_rabbitmq: PrivateRabbitmq, queue: str
) -> None:
    await asyncio.to_thread(private_rabbitmq.stop)
    broker = RabbitmqBroker(private_rabbitmq.url, retry_seconds_max=0.5)
    with structlog.testing.capture_logs() as logs:
        async with broker.consume([queue], prefetch=1) as deliveries:
            waiting = asyncio.create_task(take(deliveries, 1))
            await asyncio.to_thread(private_rabbitmq.start)
            message = ready(queue)
            await publish_all(broker, [message])
            assert ids(await waiting) == [message.message_id]
    await broker.close()

    assert [log["event"] for log in logs] == ["broker.consuming_interrupted", "broker.consuming_restored"]


async def test_what_the_server_does_not_permit_is_refused(private_rabbitmq: PrivateRabbitmq, queue: str) -> None:
    await asyncio.to_thread(_add_user, private_rabbitmq, "writer", write=".*", read="")
    await asyncio.to_thread(_add_user, private_rabbitmq, "reader", write="", read=".*")
    owner = RabbitmqBroker(private_rabbitmq.url)
    await owner.declare_queue(queue)
    writer = RabbitmqBroker(private_rabbitmq.url.replace("guest:guest", "writer:secret"))
    reader = RabbitmqBroker(private_rabbitmq.url.replace("guest:guest", "reader:secret"))

    assert await writer.publish([ready(queue)]) == 1
    with pytest.raises(BrokerRefusedError, match="ACCESS_REFUSED"):
        await reader.publish([ready(queue)])
    async with reader.consume([queue], prefetch=1) as deliveries:
        await take(deliveries, 1)
    async with writer.consume([queue], prefetch=1) as deliveries:
        with pytest.raises(BrokerRefusedError, match="ACCESS_REFUSED"):
            await take(deliveries, 1)
    for broker in (writer, reader, owner):
        await broker.close()


def _add_user(node: PrivateRabbitmq, name: str, *, write: str, read: str) -> None:
    node.control("add_user", name, "secret")
    node.control("set_permissions", name, "", write, read)


async def test_password_is_in_no_error_and_no_log(rabbitmq_url: str, caplog: pytest.LogCaptureFixture) -> None:
    place = urlsplit(rabbitmq_url).netloc.rpartition("@")[2]
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with structlog.testing.capture_logs() as logs:
        for url in (f"amqp://guest:hunter2@{place}/", f"amqp://guest:hunter2@127.0.0.1:{stable_port()}/"):
            broker = RabbitmqBroker(url)
            for call in (broker.ping(), broker.declare_queue("q"), broker.publish([ready("q")])):
                with pytest.raises(BrokerUnavailableError) as caught:
                    await call
                said += [str(caught.value), repr(caught.value.__cause__)]
            async with broker.consume(["q"], prefetch=1):
                await _until(lambda: bool(logs))
            await broker.close()
    said += [str(logs), caplog.text]

    assert "***" in said[0]
    assert "hunter2" not in "".join(said)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0)


async def test_open_takes_the_settings_and_fails_at_once_where_no_server_is(rabbitmq_url: str) -> None:
    broker = await RabbitmqBroker.open(_settings(rabbitmq_url))
    await broker.close()

    with pytest.raises(BrokerUnavailableError, match=r"guest:\*\*\*@127\.0\.0\.1"):
        await RabbitmqBroker.open(_settings(f"amqp://guest:guest@127.0.0.1:{stable_port()}/"))
    with pytest.raises(ConfigurationError, match="RABBITMQ_URL must be set"):
        await RabbitmqBroker.open(_settings(""))


def _settings(url: str) -> Settings:
    values: dict[str, Any] = {"rabbitmq_url": url}
    return Settings(**values)


def test_work_queues_dead_letter_at_least_once() -> None:
    arguments = work_queue_arguments("q")

    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert arguments["x-overflow"] == "reject-publish"  # without it the strategy is silently at-most-once
