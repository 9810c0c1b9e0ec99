"""The depths: asks RabbitMQ how much lies in each queue, by declarations that declare nothing."""

import asyncio
from collections.abc import Sequence

from aiormq import ChannelNotFoundEntity

from ledger.broker.port import Band, QueueDepth
from ledger.broker.rabbitmq.channel import Channel
from ledger.broker.rabbitmq.connection import Connection
from ledger.broker.topology import BANDS, dead_queue, work_queue


async def depths_of(
    connection: Connection, queues: Sequence[str], *, timeout_seconds: float
) -> Sequence[QueueDepth]:
    """Return the depth of every queue there is of these task queues; see the port.

    A queue that is missing closes the channel that asked for it, so each task queue has one of its own, one after
    the other: a look must not keep those who publish on the same connection waiting.
    """
    depths: list[QueueDepth] = []
    async with connection.bounded("looking at its queues", seconds=timeout_seconds):
        for queue in queues:
            depths += await _depths_of(connection, queue)
            await asyncio.sleep(0)
    return depths


async def _depths_of(connection: Connection, queue: str) -> list[QueueDepth]:
    found: list[QueueDepth] = []
    channel: Channel | None = None
    for band in (*BANDS, None):
        name = dead_queue(queue) if band is None else work_queue(queue, band)
        if channel is None or not channel.is_open:
            channel = await connection.channel()
        depth = await _depth(channel, queue, band, name)
        found += [] if depth is None else [depth]
    if channel is not None and channel.is_open:
        await channel.close()
    return found


async def _depth(channel: Channel, queue: str, band: Band | None, name: str) -> QueueDepth | None:
    try:
        messages, consumers = await channel.depth(name)
    except ChannelNotFoundEntity:
        return None
    return QueueDepth(name=name, queue=queue, band=band, messages=messages, consumers=consumers)
