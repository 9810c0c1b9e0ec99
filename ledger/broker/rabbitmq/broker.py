"""The RabbitMQ broker: the port's verbs, over one connection to publish, one a consumer, one for dead letters."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from ledger.broker.port import BrokerFacts, KeepLetters, OutgoingMessage, QueueDepth
from ledger.broker.rabbitmq.connection import Connection
from ledger.broker.rabbitmq.consumer import Consumer
from ledger.broker.rabbitmq.dead_letters import DeadLetterMover
from ledger.broker.rabbitmq.declarations import Declarations
from ledger.broker.rabbitmq.delivery import RabbitmqDelivery
from ledger.broker.rabbitmq.depths import depths_of
from ledger.broker.rabbitmq.frames import event_publication
from ledger.broker.rabbitmq.publisher import Publisher
from ledger.errors import BrokerUnavailableError, ConfigurationError
from ledger.settings import Settings
from ledger.specification import check_queue_name


class RabbitmqBroker:
    """A broker on a RabbitMQ server, 3.10 to 4.x; it connects when it is first needed.

    Args:
        url: `amqp://` or `amqps://`, with the password; it is masked wherever it is shown.
        publish_timeout_seconds: bounds every wait for the server's answer.
        retry_seconds_max: bounds the wait between two tries of a consumer to reach the server.
    """

    def __init__(self, url: str, *, publish_timeout_seconds: float = 10.0, retry_seconds_max: float = 5.0) -> None:
        self._url = url
        self._timeout_seconds = publish_timeout_seconds
        self._retry_seconds_max = retry_seconds_max
        self._connection = Connection(url, name="task-ledger publisher")
        self._declarations = Declarations(self._connection, timeout_seconds=publish_timeout_seconds)
        self._publisher = Publisher(self._connection, self._declarations, timeout_seconds=publish_timeout_seconds)
        self._mover = DeadLetterMover(
            Connection(url, name="task-ledger dead letters"), timeout_seconds=publish_timeout_seconds
        )
        self._consumers: set[Consumer] = set()
        self._is_closed = False

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Return a broker on the RABBITMQ_URL of the settings, after the server has answered.

        Raises:
            ConfigurationError: RABBITMQ_URL is not set.
            BrokerUnavailableError: the server does not answer, or refuses the login.
        """
        if settings.rabbitmq_url is None:
            raise ConfigurationError("RABBITMQ_URL must be set to work with RabbitMQ")
        broker = cls(
            settings.rabbitmq_url.get_secret_value(),
            publish_timeout_seconds=settings.publish_timeout_seconds,
            retry_seconds_max=settings.broker_retry_seconds_max,
        )
        try:
            await broker.ping()
        except BaseException:
            await broker.close()
            raise
        return broker

    async def declare_queue(self, queue: str) -> None:
        """Make the queues of a task queue exist; see the port."""
        await self._declarations.declare_queue(queue)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish in order and return the confirmed prefix's length; see the port.

        Raises:
            BrokerUnavailableError: not even the first message was confirmed in time.
            BrokerRefusedError: the first message must route, and no work queue is bound to its routing key.
        """
        return await self._publisher.publish([event_publication(message) for message in messages])

    @asynccontextmanager
    async def consume(
        self, queues: Sequence[str], *, prefetch: int
    ) -> AsyncIterator[AsyncIterator[RabbitmqDelivery]]:
        """Receive from task queues; see the port. Entering does not wait for the server."""
        if self._is_closed:
            raise BrokerUnavailableError("the broker is closed")
        for queue in queues:
            check_queue_name(queue)
        consumer = Consumer(
            Connection(self._url, name="task-ledger consumer"),
            queues=list(dict.fromkeys(queues)),
            prefetch=prefetch,
            dead_letters=self._publisher,
            timeout_seconds=self._timeout_seconds,
            retry_seconds_max=self._retry_seconds_max,
        )
        self._consumers.add(consumer)
        try:
            yield consumer
        finally:
            self._consumers.discard(consumer)
            await consumer.close()

    async def move_dead_letters(self, queue: str, keep: KeepLetters, *, letters_max: int) -> int:
        """Hand dead letters to `keep`, and ack them when it returns; see the port."""
        return await self._mover.move(queue, keep, letters_max=letters_max)

    async def depths(self, queues: Sequence[str]) -> Sequence[QueueDepth]:
        """Ask for the depth of each queue; see the port."""
        for queue in queues:
            check_queue_name(queue)
        return await depths_of(self._connection, queues, timeout_seconds=self._timeout_seconds)

    async def describe(self) -> BrokerFacts:
        """Return the version that the server told at the start of the connection; see the port."""
        async with self._connection.bounded("asking for its version", seconds=self._timeout_seconds):
            return BrokerFacts("rabbitmq", await self._connection.server_version())

    async def ping(self) -> None:
        """Return when the server has opened a channel and closed it; see the port."""
        async with self._connection.bounded("a ping", seconds=self._timeout_seconds):
            channel = await self._connection.channel()
            await channel.close()

    async def close(self) -> None:
        """End every consumer and release every connection; idempotent."""
        self._is_closed = True
        for consumer in tuple(self._consumers):
            await consumer.close()
        await self._mover.close()
        await self._connection.close()
