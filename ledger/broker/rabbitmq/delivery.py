"""The delivery: one message handed to a consumer, and the buffer in which deliveries wait for it."""

import asyncio
from collections import deque
from collections.abc import Sequence

from pamqp import commands
from pamqp.header import ContentHeader

from ledger.broker.port import Band
from ledger.broker.rabbitmq.frames import PERSISTENT, Publication
from ledger.broker.rabbitmq.publisher import Publisher
from ledger.broker.rabbitmq.settlement import Settlement
from ledger.broker.topology import BANDS, DEAD_EXCHANGE, REASON_CHARS_MAX, REASON_HEADER
from ledger.errors import BrokerRefusedError, BrokerUnavailableError

# How many deliveries a consumer may take without the event loop getting a turn.
_DELIVERIES_A_TURN = 64


class RabbitmqDelivery:
    """One message from a work queue."""

    __slots__ = ("_dead_letters", "_header", "_settlement", "_tag", "band", "body", "queue", "redelivered")

    def __init__(  # noqa: PLR0913 - what came in three frames
        self,
        settlement: Settlement,
        *,
        queue: str,
        band: Band,
        method: commands.Basic.Deliver,
        header: ContentHeader,
        body: bytes,
        dead_letters: Publisher,
    ) -> None:
        self.queue = queue
        self.band = band
        self.body = body
        self.redelivered = method.redelivered
        self._settlement = settlement
        self._dead_letters = dead_letters
        self._tag = method.delivery_tag or 0
        self._header = header

    @property
    def message_id(self) -> str:
        """The publisher's id; empty where a foreign message carries none."""
        return self._header.properties.message_id or ""

    @property
    def is_held(self) -> bool:
        """Whether it can still be settled."""
        return self._settlement.holds(self._tag)

    async def ack(self) -> None:
        """Take the message from the broker, with the other acks of this turn of the event loop."""
        self._settlement.ack(self._tag)

    async def reject(self, reason: str) -> None:
        """Publish the message to the dead letters with the reason, then ack it: at worst it is there twice.

        Where that fails the broker dead-letters it by itself, without our reason: at worst the reason is lost.
        """
        if not self.is_held:
            return
        try:
            await self._dead_letters.publish([self._dead_letter(reason)])
        except (BrokerUnavailableError, BrokerRefusedError):
            self._settlement.dead_letter(self._tag)
        else:
            self._settlement.ack(self._tag)

    def _dead_letter(self, reason: str) -> Publication:
        came_with = self._header.properties
        # The server's own headers (x-death, x-delivery-count) would mean something to it if they came back.
        headers = {name: value for name, value in (came_with.headers or {}).items() if not name.startswith("x-")}
        headers[REASON_HEADER] = reason[:REASON_CHARS_MAX]
        properties = commands.Basic.Properties(
            content_type=came_with.content_type,
            content_encoding=came_with.content_encoding,
            headers=headers,
            delivery_mode=PERSISTENT,
            correlation_id=came_with.correlation_id,
            message_id=came_with.message_id,
            timestamp=came_with.timestamp,
            message_type=came_with.message_type,
            app_id=came_with.app_id,
        )
        return Publication(
            exchange=DEAD_EXCHANGE,
            routing_key=self.queue,
            message_id=self.message_id,
            properties=properties.marshal(),
            body=self.body,
            queue=self.queue,
            mandatory=True,
        )


class DeliveryBuffer:
    """What has arrived and was not handed out: the higher band first, the queues of a band in turn.

    It is as large as the prefetch of its work queues together.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        self._waiting = {band: {queue: deque[RabbitmqDelivery]() for queue in queues} for band in BANDS}
        self._turns: dict[Band, deque[str]] = {band: deque() for band in BANDS}
        self._arrived = asyncio.Event()
        self._taken_in_turn = 0
        self._failure: Exception | None = None
        self._is_closed = False

    def put(self, delivery: RabbitmqDelivery) -> None:
        """Add a delivery."""
        waiting = self._waiting[delivery.band][delivery.queue]
        if not waiting:
            self._turns[delivery.band].append(delivery.queue)
        waiting.append(delivery)
        self._arrived.set()

    def __len__(self) -> int:
        return sum(len(waiting) for band in self._waiting.values() for waiting in band.values())

    async def take(self) -> RabbitmqDelivery:
        """Return the next delivery, as soon as there is one.

        Raises:
            StopAsyncIteration: the buffer was closed.
        """
        self._taken_in_turn += 1
        if self._taken_in_turn >= _DELIVERIES_A_TURN:
            self._taken_in_turn = 0
            await asyncio.sleep(0)
        while True:
            if self._is_closed:
                raise StopAsyncIteration
            if self._failure is not None:
                raise self._failure
            delivery = self._next()
            if delivery is not None:
                return delivery
            self._arrived.clear()
            await self._arrived.wait()

    def drop_lost(self) -> None:
        """Drop what came over a channel that is gone: it will come again, and again after the next loss."""
        for band, by_queue in self._waiting.items():
            for queue, waiting in by_queue.items():
                by_queue[queue] = deque(delivery for delivery in waiting if delivery.is_held)
            self._turns[band] = deque(queue for queue in self._turns[band] if by_queue[queue])

    def fail(self, failure: Exception) -> None:
        """Raise an error in whoever takes."""
        self._failure = failure
        self._arrived.set()

    def close(self) -> None:
        """End the iteration of whoever takes."""
        self._is_closed = True
        self._arrived.set()

    def _next(self) -> RabbitmqDelivery | None:
        for band in BANDS:
            turns = self._turns[band]
            while turns:
                queue = turns.popleft()
                waiting = self._waiting[band][queue]
                delivery = waiting.popleft()
                if waiting:
                    turns.append(queue)
                if delivery.is_held:
                    return delivery
        return None
