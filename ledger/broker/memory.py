"""The memory broker: the port in one process, for `taskledger up` without a RabbitMQ and for tests.

A consumer takes a message out of a queue when it is asked for the next one, so nothing is ever buffered
for a consumer that is busy. What this broker forgets at a stop, the reconciler releases again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from ledger.broker.port import Band, DeadLetter, KeepLetters, OutgoingMessage
from ledger.broker.topology import BANDS, DELIVERY_LIMIT, REASON_CHARS_MAX, REJECTED, band_of
from ledger.errors import BrokerRefusedError, BrokerUnavailableError
from ledger.specification import check_queue_name

# How many deliveries a consumer may take without the event loop getting a turn.
_DELIVERIES_A_TURN = 64


class MemoryBroker:
    """A broker in memory; it bounds nothing but a message's returns."""

    def __init__(self) -> None:
        self._queues: dict[str, _TaskQueue] = {}
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
    async def consume(self, queues: Sequence[str], *, prefetch: int) -> AsyncIterator[AsyncIterator["_Delivery"]]:
        """Receive from task queues; see the port."""
        self._check_open()
        consumer = _Consumer([self._declared(queue) for queue in dict.fromkeys(queues)], prefetch=prefetch)
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

    def _declared(self, queue: str) -> "_TaskQueue":
        if queue not in self._queues:
            check_queue_name(queue)
            self._queues[queue] = _TaskQueue(queue)
        return self._queues[queue]

    def _route(self, message: OutgoingMessage) -> bool:
        band = band_of(queue=message.queue, routing_key=message.routing_key)
        if band is None:
            return not message.must_route
        queue = self._declared(message.queue) if message.must_route else self._queues.get(message.queue)
        if queue is not None:
            queue.put(band, _Entry(message.message_id, message.body))
        return True


@dataclass(slots=True)
class _Entry:
    """A message in a queue, and how often it came back."""

    message_id: str
    body: bytes
    returns: int = 0


class _TaskQueue:
    """The ready messages of one task queue by band, its dead letters, and who waits for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: dict[Band, deque[_Entry]] = {band: deque() for band in BANDS}
        self.dead: list[DeadLetter] = []
        self.consumers: list[_Consumer] = []

    def put(self, band: Band, entry: _Entry) -> None:
        self.ready[band].append(entry)
        self._wake()

    def put_back(self, band: Band, entries: Sequence[_Entry]) -> None:
        """Return unsettled messages to the head, in their order; a crash loop ends among the dead letters."""
        for entry in reversed(entries):
            entry.returns += 1
            if entry.returns > DELIVERY_LIMIT:
                self.bury(entry, reason="it came back too often", cause="delivery_limit")
            else:
                self.ready[band].appendleft(entry)
                self._wake()

    def bury(self, entry: _Entry, *, reason: str, cause: str) -> None:
        reason = reason[:REASON_CHARS_MAX]
        self.dead.append(
            DeadLetter(queue=self.name, message_id=entry.message_id, body=entry.body, reason=reason, cause=cause)
        )

    def close(self) -> None:
        for consumer in tuple(self.consumers):
            consumer.close()

    def _wake(self) -> None:
        # All of them: the first to look may be at its prefetch, or be cancelled before it runs.
        for consumer in self.consumers:
            consumer.wake()


@dataclass(slots=True, eq=False)
class _Delivery:
    """One message in the hands of a consumer."""

    queue: str
    band: Band
    entry: _Entry
    holder: "_Held | None" = field(repr=False)

    @property
    def message_id(self) -> str:
        """The publisher's id."""
        return self.entry.message_id

    @property
    def body(self) -> bytes:
        """The payload, as published."""
        return self.entry.body

    @property
    def redelivered(self) -> bool:
        """Whether it was handed out before."""
        return self.entry.returns > 0

    async def ack(self) -> None:
        """Take the message from the broker."""
        if self.holder is not None:
            self.holder.settle(self)

    async def reject(self, reason: str) -> None:
        """Move the message to the dead letters."""
        if self.holder is not None:
            self.holder.task_queue.bury(self.entry, reason=reason, cause=REJECTED)
            self.holder.settle(self)


class _Held:
    """What one consumer holds, unsettled, of one task queue and band."""

    def __init__(self, task_queue: _TaskQueue, band: Band, *, consumer: "_Consumer", prefetch: int) -> None:
        self.task_queue = task_queue
        self._band = band
        self._ready = task_queue.ready[band]
        self._consumer = consumer
        self._prefetch = prefetch
        self._unsettled: dict[_Delivery, None] = {}

    def take(self) -> _Delivery | None:
        if not self._ready or len(self._unsettled) >= self._prefetch:
            return None
        delivery = _Delivery(self.task_queue.name, self._band, self._ready.popleft(), self)
        self._unsettled[delivery] = None
        return delivery

    def settle(self, delivery: _Delivery) -> None:
        delivery.holder = None
        was_full = len(self._unsettled) >= self._prefetch
        del self._unsettled[delivery]
        if was_full:
            self._consumer.wake()

    def give_back(self) -> None:
        for delivery in self._unsettled:
            delivery.holder = None
        if self._unsettled:
            self.task_queue.put_back(self._band, [delivery.entry for delivery in self._unsettled])
        self._unsettled.clear()


class _Consumer:
    """An iterator over task queues: the higher band first, the queues of a band in turn."""

    def __init__(self, task_queues: Sequence[_TaskQueue], *, prefetch: int) -> None:
        self._task_queues = task_queues
        self._bands = [
            deque(_Held(task_queue, band, consumer=self, prefetch=prefetch) for task_queue in task_queues)
            for band in BANDS
        ]
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._taken_in_turn = 0
        self._is_closed = False
        for task_queue in task_queues:
            task_queue.consumers.append(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Delivery:
        self._taken_in_turn += 1
        if self._taken_in_turn >= _DELIVERIES_A_TURN:
            self._taken_in_turn = 0
            await asyncio.sleep(0)
        while not self._is_closed:
            delivery = self._take()
            if delivery is not None:
                return delivery
            await self._wait()
        raise StopAsyncIteration

    def wake(self) -> None:
        """Let one who waits look again."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for task_queue in self._task_queues:
            task_queue.consumers.remove(self)
        for band in self._bands:
            for held in band:
                held.give_back()
        while self._waiters:
            self.wake()

    def _take(self) -> _Delivery | None:
        for band in self._bands:
            for _ in range(len(band)):
                held = band[0]
                band.rotate(-1)
                delivery = held.take()
                if delivery is not None:
                    return delivery
        return None

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._taken_in_turn = 0
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):
                    self._waiters.remove(waiter)
            else:
                # Woken and cancelled at once: somebody else has to look instead.
                self.wake()
            raise
