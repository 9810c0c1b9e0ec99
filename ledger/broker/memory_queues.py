"""The queues of the memory broker, and the consumers that take messages out of them."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from ledger.broker.port import Band, DeadLetter, QueueDepth
from ledger.broker.topology import BANDS, DELIVERY_LIMIT, REASON_CHARS_MAX, REJECTED, dead_queue, work_queue

# How many deliveries a consumer may take without the event loop getting a turn.
_DELIVERIES_A_TURN = 64


@dataclass(slots=True)
class Entry:
    """A message in a queue, and how often it came back."""

    message_id: str
    body: bytes
    returns: int = 0


class TaskQueue:
    """The ready messages of one task queue by band, its dead letters, and who waits for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: dict[Band, deque[Entry]] = {band: deque() for band in BANDS}
        self.dead: list[DeadLetter] = []
        self.consumers: list[MemoryConsumer] = []

    def put(self, band: Band, entry: Entry) -> None:
        """Add a message at the end."""
        self.ready[band].append(entry)
        self._wake()

    def put_back(self, band: Band, entries: Sequence[Entry]) -> None:
        """Return unsettled messages to the head, in their order; a crash loop ends among the dead letters."""
        for entry in reversed(entries):
            entry.returns += 1
            if entry.returns > DELIVERY_LIMIT:
                self.bury(entry, reason="it came back too often", cause="delivery_limit")
            else:
                self.ready[band].appendleft(entry)
                self._wake()

    def bury(self, entry: Entry, *, reason: str, cause: str) -> None:
        """Add a message to the dead letters."""
        reason = reason[:REASON_CHARS_MAX]
        self.dead.append(
            DeadLetter(queue=self.name, message_id=entry.message_id, body=entry.body, reason=reason, cause=cause)
        )

    def close(self) -> None:
        """End every consumer."""
        for consumer in tuple(self.consumers):
            consumer.close()

    def _wake(self) -> None:
        # All of them: the first to look may be at its prefetch, or be cancelled before it runs.
        for consumer in self.consumers:
            consumer.wake()


def depths_of(queue: TaskQueue) -> list[QueueDepth]:
    """Return how much waits in each band of a task queue, and among its dead letters."""
    dead = QueueDepth(
        name=dead_queue(queue.name), queue=queue.name, band=None, messages=len(queue.dead), consumers=0
    )
    return [
        *(
            QueueDepth(
                name=work_queue(queue.name, band),
                queue=queue.name,
                band=band,
                messages=len(queue.ready[band]),
                consumers=len(queue.consumers),
            )
            for band in BANDS
        ),
        dead,
    ]


@dataclass(slots=True, eq=False)
class MemoryDelivery:
    """One message in the hands of a consumer."""

    queue: str
    band: Band
    entry: Entry
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

    def __init__(self, task_queue: TaskQueue, band: Band, *, consumer: "MemoryConsumer", prefetch: int) -> None:
        self.task_queue = task_queue
        self._band = band
        self._ready = task_queue.ready[band]
        self._consumer = consumer
        self._prefetch = prefetch
        self._unsettled: dict[MemoryDelivery, None] = {}

    def take(self) -> MemoryDelivery | None:
        if not self._ready or len(self._unsettled) >= self._prefetch:
            return None
        delivery = MemoryDelivery(self.task_queue.name, self._band, self._ready.popleft(), self)
        self._unsettled[delivery] = None
        return delivery

    def settle(self, delivery: MemoryDelivery) -> None:
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


class MemoryConsumer:
    """An iterator over task queues: the higher band first, the queues of a band in turn."""

    def __init__(self, task_queues: Sequence[TaskQueue], *, prefetch: int) -> None:
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

    async def __anext__(self) -> MemoryDelivery:
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
        """Give back what is not settled, and let nobody wait any more."""
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

    def _take(self) -> MemoryDelivery | None:
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
