"""The declarations: makes the topology exist on the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from ledger.broker import topology
from ledger.broker.rabbitmq.channel import Channel
from ledger.broker.rabbitmq.connection import Connection
from ledger.errors import BrokerRefusedError
from ledger.specification import check_queue_name

# How long to wait before a queue that was deleted is declared again. Where a quorum queue is back before the
# server has told the consumers of the old one, it moves them over without a word and then delivers nothing to them
# (seen on 3.10 with a queue that was back within 50 ms: delivered, it says, but no frame ever came).
QUEUE_LOSS_SECONDS = 0.5

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Declarations:
    """Declares exchanges and queues, each on a channel of its own: a refusal closes the channel that it hit."""

    def __init__(self, connection: Connection, *, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._refused: set[str] = set()

    async def declare_queue(self, queue: str) -> None:
        """Make the exchanges and the queues of a task queue exist, as the topology wants them.

        Raises:
            BrokerRefusedError: one exists with other arguments, or we may not declare it.
        """
        check_queue_name(queue)
        async with self._channel(f"declaring the task queue {queue!r}") as channel:
            await _declare_exchanges(channel)
            dead = topology.dead_queue(queue)
            await channel.declare_queue(dead, topology.dead_queue_arguments())
            await channel.bind(dead, topology.DEAD_EXCHANGE, queue)
            for band in topology.BANDS:
                name = topology.work_queue(queue, band)
                await channel.declare_queue(name, topology.work_queue_arguments(queue))
                await channel.bind(name, topology.EVENTS_EXCHANGE, topology.work_binding(queue, band))

    async def ensure_queue(self, queue: str) -> None:
        """Declare a task queue, and go on with what is there where the broker refuses.

        A queue that an operator made with other arguments, or made because we may not, still takes and gives
        messages. Refusing to work with it would stop every task for the sake of an argument.
        """
        try:
            await self.declare_queue(queue)
        except BrokerRefusedError as error:
            self._warn(queue, error)

    async def ensure_exchanges(self) -> None:
        """Declare the exchanges, and go on with what is there where the broker refuses."""
        try:
            async with self._channel("declaring the exchanges") as channel:
                await _declare_exchanges(channel)
        except BrokerRefusedError as error:
            self._warn("", error)

    def _warn(self, queue: str, error: BrokerRefusedError) -> None:
        if queue not in self._refused:
            self._refused.add(queue)
            _log.warning("broker.declaration_refused", queue=queue, error=str(error))

    @asynccontextmanager
    async def _channel(self, action: str) -> AsyncIterator[Channel]:
        async with self._connection.bounded(action, seconds=self._timeout_seconds):
            channel = await self._connection.channel()
            yield channel
            await channel.close()


async def _declare_exchanges(channel: Channel) -> None:
    await channel.declare_exchange(topology.EVENTS_EXCHANGE, "topic")
    await channel.declare_exchange(topology.DEAD_EXCHANGE, "direct")
