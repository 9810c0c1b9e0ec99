"""The mover: takes dead letters out of the queues in which RabbitMQ keeps them, one queue at a time.

They are asked for one by one and not consumed: there are few, nobody waits for them, and what is not acked goes
back with the channel, whatever happens to us. An empty queue costs one question.
"""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from aiormq import ChannelNotFoundEntity
from aiormq.abc import DeliveredMessage
from pydantic import JsonValue

from ledger.broker.port import DeadLetter, KeepLetters
from ledger.broker.rabbitmq.channel import Channel
from ledger.broker.rabbitmq.connection import Connection
from ledger.broker.topology import REASON_HEADER, REJECTED, dead_queue
from ledger.errors import BrokerRefusedError

# The server's word for why it buried a message itself.
_BROKER_CAUSE_HEADER = "x-first-death-reason"
_BATCH_BYTES_MAX = 16 * 1024 * 1024
_DEPTH_MAX = 16
_NOT_SHOWN = ("headers", "message_id")


class DeadLetterMover:
    """Moves dead letters over a connection of its own, so that what it waits for holds up nobody who publishes."""

    def __init__(self, connection: Connection, *, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._turn = asyncio.Lock()
        self._channel: Channel | None = None

    async def move(self, queue: str, keep: KeepLetters, *, letters_max: int) -> int:
        """Hand the oldest dead letters of a task queue to `keep`, and ack them when it returns; see the port."""
        async with self._turn:
            try:
                return await self._move(queue, keep, letters_max)
            except BrokerRefusedError:
                raise  # the server has closed the channel, and has put back what was not acked
            except BaseException:
                # Whatever went wrong, and cancelled too: the server puts back what was not acked.
                await self._connection.drop()
                raise

    async def close(self) -> None:
        """Close the connection; what is not acked goes back."""
        await self._connection.close()

    async def _move(self, queue: str, keep: KeepLetters, letters_max: int) -> int:
        channel = await self._opened(queue)
        messages = await self._get(channel, queue, letters_max)
        if messages:
            await keep([_letter(queue, message) for message in messages])
            async with self._bounded(queue):
                await channel.ack_upto(messages[-1].delivery_tag or 0)
        return len(messages)

    async def _get(self, channel: Channel, queue: str, letters_max: int) -> list[DeliveredMessage]:
        messages: list[DeliveredMessage] = []
        size = 0
        while len(messages) < letters_max and size < _BATCH_BYTES_MAX:
            async with self._bounded(queue):
                try:
                    message = await channel.get(dead_queue(queue))
                except ChannelNotFoundEntity:
                    break  # and the server has closed the channel
            if message is None:
                break
            messages.append(message)
            size += len(message.body)
        return messages

    async def _opened(self, queue: str) -> Channel:
        if self._channel is None or not self._channel.is_open:
            async with self._bounded(queue):
                self._channel = await self._connection.channel()
        return self._channel

    def _bounded(self, queue: str) -> AbstractAsyncContextManager[None]:
        return self._connection.bounded(f"reading {dead_queue(queue)!r}", seconds=self._timeout_seconds)


def _letter(queue: str, message: DeliveredMessage) -> DeadLetter:
    properties = message.header.properties
    headers: Mapping[str, object] = properties.headers or {}
    reason = headers.get(REASON_HEADER)
    cause = REJECTED if reason is not None else str(headers.get(_BROKER_CAUSE_HEADER, REJECTED))
    return DeadLetter(
        queue=queue,
        message_id=properties.message_id or "",
        body=message.body,
        reason=str(reason) if reason is not None else f"the broker buried it: {cause}",
        cause=cause,
        headers={name: _json(value) for name, value in headers.items()},
        properties={
            name: _json(value) for name, value in properties if value not in (None, "") and name not in _NOT_SHOWN
        },
    )


def _json(value: object, depth: int = 0) -> JsonValue:
    """Return a value of an AMQP table as JSON: times as text, bytes as text or, where they are none, as base64."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth >= _DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return {str(name): _json(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_json(member, depth + 1) for member in value]
    if isinstance(value, bytes | bytearray):
        return _text(bytes(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return b64encode(raw).decode("ascii")
