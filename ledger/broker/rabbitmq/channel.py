"""The channel: the slow calls through the library, the hot frames straight to the socket and from it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiormq.abc import AbstractChannel, DeliveredMessage

# Is offered every frame that arrives for a channel, before the library sees it; returns whether it took it.
FrameSink = Callable[[object], bool]

# Is called once when a channel is closed, whoever closes it, with the reason.
LossHandler = Callable[[Exception], None]

_FRAME_BYTES_MAX = 131_072


class Channel:
    """An open channel; every wait on it happens inside the connection's `bounded`."""

    def __init__(
        self,
        raw: AbstractChannel,
        *,
        writer: asyncio.StreamWriter,
        sink: FrameSink | None,
        on_lost: LossHandler | None,
    ) -> None:
        self._raw = raw
        self._writer = writer
        self.number = raw.number
        # 0 means without a limit; a frame is kept to the usual size all the same, so that heartbeats get between.
        self.frame_bytes_max = raw.connection.connection_tune.frame_max or _FRAME_BYTES_MAX
        if sink is not None:
            raw.frames = _Tap(raw.frames, sink)
        if on_lost is not None:
            raw.closing.add_done_callback(lambda closing: on_lost(_reason(closing)))

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return not (self._raw.is_closed or self._raw.connection.is_closed or self._writer.is_closing())

    def write(self, frames: bytes) -> None:
        """Send whole frames of this channel; nothing where it is closed."""
        if self.is_open:
            self._writer.write(frames)

    async def drain(self) -> None:
        """Wait until the broker has taken most of what was written, and let others run."""
        await self._writer.drain()
        await asyncio.sleep(0)

    async def declare_exchange(self, exchange: str, kind: str) -> None:
        """Make a durable exchange exist."""
        await self._raw.exchange_declare(exchange, exchange_type=kind, durable=True)

    async def declare_queue(self, queue: str, arguments: Mapping[str, str | int]) -> None:
        """Make a durable queue exist."""
        await self._raw.queue_declare(queue, durable=True, arguments=dict(arguments))

    async def depth(self, queue: str) -> tuple[int, int]:
        """Return how many messages wait in a queue that exists, and how many consumers it has."""
        declared = await self._raw.queue_declare(queue, passive=True)
        return declared.message_count or 0, declared.consumer_count or 0

    async def bind(self, queue: str, exchange: str, binding_key: str) -> None:
        """Bind a queue to an exchange."""
        await self._raw.queue_bind(queue, exchange, binding_key)

    async def limit_unsettled(self, prefetch: int) -> None:
        """Bound the unsettled deliveries of each consumer that is started on this channel."""
        await self._raw.basic_qos(prefetch_count=prefetch)

    async def start_consumer(self, queue: str, tag: str) -> None:
        """Start a consumer; its deliveries arrive at the sink."""
        await self._raw.basic_consume(queue, _never_called, consumer_tag=tag)

    async def stop_consumer(self, tag: str) -> None:
        """Stop a consumer; what it has unsettled stays with the channel."""
        await self._raw.basic_cancel(tag)

    async def get(self, queue: str) -> DeliveredMessage | None:
        """Return one message of a queue, unsettled, or None where there is none."""
        message = await self._raw.basic_get(queue)
        return None if message.delivery_tag is None else message

    async def ack_upto(self, tag: int) -> None:
        """Ack every delivery up to this one."""
        await self._raw.basic_ack(tag, multiple=True)

    async def close(self) -> None:
        """Close the channel and wait for the broker's word."""
        await self._raw.close()


class _Tap(asyncio.Queue[Any]):
    """The queue through which the library hands frames to a channel, with the sink before it.

    The library would start a task for every delivery and search a dictionary for every confirm.
    """

    def __init__(self, queue: asyncio.Queue[Any], sink: FrameSink) -> None:
        super().__init__()
        self._untapped = queue
        self._sink = sink

    async def put(self, item: tuple[int, object]) -> None:
        if not self._sink(item[1]):
            await self._untapped.put(item)

    async def get(self) -> tuple[int, object]:
        item: tuple[int, object] = await self._untapped.get()
        return item

    def task_done(self) -> None:
        self._untapped.task_done()


def _reason(closing: asyncio.Future[Any]) -> Exception:
    error = None if closing.cancelled() else closing.exception()
    return error if isinstance(error, Exception) else ConnectionResetError("the connection was lost")


async def _never_called(message: DeliveredMessage) -> None:
    """Stand in for the library's callback; the sink takes every delivery before it."""
