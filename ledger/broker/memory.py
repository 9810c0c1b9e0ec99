"""The memory broker: the port in one process, for `taskledger up` without a RabbitMQ and for tests.

A consumer takes a message out of a queue when it is asked for the next one, so nothing is ever buffered
for a consumer that is busy. What this broker forgets at a stop, the reconciler releases again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ledger.broker.memory_queues import Entry, MemoryConsumer, MemoryDelivery, TaskQueue, depths_of
from ledger.broker.port import BrokerFacts, DeadLetter, KeepLetters, OutgoingMessage, QueueDepth
from ledger.broker.topology import band_of
from ledger.errors import BrokerRefusedError, BrokerUnavailableError
from ledger.specification import check_queue_name


class MemoryBroker:
    """A broker in memory; it bounds nothing but a message's returns."""

    def __init__(self) -> None:
        self._queues: dict[str, TaskQueue] = {}
        self._is_closed = False

    async def declare_queue(self, queue: str) -> None:
        """Make the queues of a task queue exist."""
        self._check_open()
        self._declared(queue)

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Put each message into the queue that its routing key names; see the port."""
        self._check_open()
        for position, message in enumerate(messages):
            if not self._route(message):
                if position:
                    return position
                raise BrokerRefusedError(f"no queue takes the routing key {message.routing_key!r}")
        await asyncio.sleep(0)
        return len(messages)

    @asynccontextmanager
    async def consume(
        self, queues: Sequence[str], *, prefetch: int
    ) -> AsyncIterator[AsyncIterator["MemoryDelivery"]]:
        """Receive from task queues; see the port."""
        self._check_open()
        consumer = MemoryConsumer([self._declared(queue) for queue in dict.fromkeys(queues)], prefetch=prefetch)
        try:
            yield consumer
        finally:
            consumer.close()

    async def move_dead_letters(self, queue: str, keep: KeepLetters, *, letters_max: int) -> int:
        """Hand dead letters to `keep`; see the port."""
        self._check_open()
        if not (letters := self.dead_letters(queue)[:letters_max]):
            return 0
        dead = self._queues[queue].dead
        del dead[: len(letters)]
        try:
            await keep(letters)
        except BaseException:
            dead[:0] = letters
            raise
        return len(letters)

    async def depths(self, queues: Sequence[str]) -> Sequence[QueueDepth]:
        """Return how much lies in the queues that there are."""
        self._check_open()
        return [one for name in queues if name in self._queues for one in depths_of(self._queues[name])]

    async def describe(self) -> BrokerFacts:
        """Return that it is in memory."""
        self._check_open()
        return BrokerFacts("memory", None)

    async def ping(self) -> None:
        """Return while the broker is open."""
        self._check_open()

    async def close(self) -> None:
        """End every consumer; what is left is forgotten with the broker."""
        self._is_closed = True
        for queue in self._queues.values():
            queue.close()

    def depth(self, queue: str) -> int:
        """Return how many messages of a task queue wait for a consumer."""
        found = self._queues.get(queue)
        return sum(len(ready) for ready in found.ready.values()) if found else 0

    def dead_letters(self, queue: str) -> tuple[DeadLetter, ...]:
        """Return the dead letters of a task queue, oldest first."""
        found = self._queues.get(queue)
        return tuple(found.dead) if found else ()

    def _check_open(self) -> None:
        if self._is_closed:
            raise BrokerUnavailableError("the memory broker is closed")

    def _declared(self, queue: str) -> "TaskQueue":
        if queue not in self._queues:
            check_queue_name(queue)
            self._queues[queue] = TaskQueue(queue)
        return self._queues[queue]

    def _route(self, message: OutgoingMessage) -> bool:
        band = band_of(queue=message.queue, routing_key=message.routing_key)
        if band is None:
            return not message.must_route
        queue = self._declared(message.queue) if message.must_route else self._queues.get(message.queue)
        if queue is not None:
            queue.put(band, Entry(message.message_id, message.body))
        return True
