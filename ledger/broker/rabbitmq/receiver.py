"""The receiver: one channel that consumes the work queues of one task queue."""

from collections.abc import Callable
from itertools import count

from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from ledger.broker.port import Band
from ledger.broker.rabbitmq.channel import Channel
from ledger.broker.rabbitmq.connection import Connection
from ledger.broker.rabbitmq.delivery import RabbitmqDelivery
from ledger.broker.rabbitmq.publisher import Publisher
from ledger.broker.rabbitmq.settlement import Settlement
from ledger.broker.topology import BANDS, work_queue


class QueueReceiver:
    """Receives from the three work queues of a task queue over one channel; for another channel, make another.

    The channel carries a consumer for each band, each with the whole prefetch. Delivery tags count all of them
    together, so acks of different bands still merge into one frame.
    """

    def __init__(
        self,
        queue: str,
        *,
        dead_letters: Publisher,
        on_delivery: Callable[[RabbitmqDelivery], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self.queue = queue
        self._dead_letters = dead_letters
        self._on_delivery = on_delivery
        self._on_trouble = on_trouble
        self._channel: Channel | None = None
        self._settlement: Settlement | None = None
        self._numbers = count(1)
        self._bands_by_tag: dict[str, Band] = {}
        self._method = commands.Basic.Deliver()
        self._header = ContentHeader()
        self._body: list[bytes] = []
        self._body_bytes_left = 0

    @property
    def is_open(self) -> bool:
        """Whether the channel is up, as far as is known."""
        return self._channel is not None and self._channel.is_open

    @property
    def missing_bands(self) -> list[Band]:
        """The bands without a consumer, because their work queues were deleted."""
        return [band for band in BANDS if band not in self._bands_by_tag.values()]

    async def open(self, connection: Connection, *, prefetch: int) -> None:
        """Open the channel and start the consumers; inside the connection's `bounded`."""
        self._channel = await connection.channel(
            sink=self._take, on_lost=lambda error: self._on_trouble(str(error))
        )
        self._settlement = Settlement(self._channel)
        await self._channel.limit_unsettled(prefetch)
        await self.resume()

    async def resume(self) -> None:
        """Start the consumers that are missing; inside the connection's `bounded`."""
        if self._channel is None:
            raise ConnectionResetError("the channel is closed")
        for band in self.missing_bands:
            # Never the same tag twice: a server may keep it until we answered its cancel.
            tag = f"{self.queue}.{band.value}.{next(self._numbers)}"
            self._bands_by_tag[tag] = band
            await self._channel.start_consumer(work_queue(self.queue, band), tag)

    async def leave(self) -> None:
        """Send the acks that wait and stop the consumers; inside the connection's `bounded`.

        The server holds acks back while many are under way to a queue, and forgets them with the channel. Stopping
        a consumer is a command to the same queue whose answer we wait for; what was acked before it has arrived.
        """
        if self._channel is None or self._settlement is None or not self._channel.is_open:
            return
        self._settlement.flush()
        for tag in tuple(self._bands_by_tag):
            await self._channel.stop_consumer(tag)
        self._settlement.flush()

    async def abandon(self) -> None:
        """Close the channel after a call on it failed; inside the connection's `bounded`."""
        if self._channel is not None:
            await self._channel.close()

    def _take(self, frame: object) -> bool:
        match frame:
            case commands.Basic.Deliver():
                self._method = frame
            case ContentHeader():
                self._header = frame
                self._body.clear()
                self._body_bytes_left = frame.body_size
                self._hand_over_when_complete()
            case ContentBody():
                self._body.append(frame.value)
                self._body_bytes_left -= len(frame.value)
                self._hand_over_when_complete()
            case commands.Basic.Cancel():
                # The queue was deleted. The library has to see this frame too: newer servers want an answer.
                band = self._bands_by_tag.pop(frame.consumer_tag or "", None)
                self._on_trouble(f"the {band} queue of {self.queue!r} was deleted")
                return False
            case _:
                return False
        return True

    def _hand_over_when_complete(self) -> None:
        if self._body_bytes_left > 0 or self._settlement is None:
            return
        band = self._bands_by_tag.get(self._method.consumer_tag or "")
        if band is None:
            return  # the last words of a queue that was deleted
        self._settlement.arrived(self._method.delivery_tag or 0)
        delivery = RabbitmqDelivery(
            self._settlement,
            queue=self.queue,
            band=band,
            method=self._method,
            header=self._header,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            dead_letters=self._dead_letters,
        )
        self._on_delivery(delivery)
