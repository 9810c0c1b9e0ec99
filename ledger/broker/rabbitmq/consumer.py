"""The consumer: an iterator over task queues that outlives connections, servers and queues."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import structlog

from ledger.broker.rabbitmq.connection import Connection
from ledger.broker.rabbitmq.declarations import QUEUE_LOSS_SECONDS, Declarations
from ledger.broker.rabbitmq.delivery import DeliveryBuffer, RabbitmqDelivery
from ledger.broker.rabbitmq.publisher import Publisher
from ledger.broker.rabbitmq.receiver import QueueReceiver
from ledger.errors import BrokerRefusedError, BrokerUnavailableError

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_RETRY_SECONDS_MIN = 0.05
_TRIES_COUNTED_MAX = 16
_LEAVE_SECONDS_MAX = 5.0


class Consumer:
    """Hands out the deliveries of its task queues; a task in the background keeps its channels open.

    It has a connection of its own: a server short of memory blocks those that publish, and acks must go on.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        queues: Sequence[str],
        prefetch: int,
        dead_letters: Publisher,
        timeout_seconds: float,
        retry_seconds_max: float,
    ) -> None:
        self._connection = connection
        self._prefetch = prefetch
        self._timeout_seconds = timeout_seconds
        self._leave_seconds = min(timeout_seconds, _LEAVE_SECONDS_MAX)
        self._declarations = Declarations(connection, timeout_seconds=timeout_seconds)
        self._retry = _Retry(seconds_max=retry_seconds_max)
        self._restoring = asyncio.Lock()
        self._trouble = asyncio.Event()
        self._reason = ""
        self._buffer = DeliveryBuffer(queues)
        self._queues = queues
        self._dead_letters = dead_letters
        self._receivers: dict[str, QueueReceiver] = {}
        self._lost_at: float | None = None
        self._supervisor = asyncio.create_task(self._run(), name="broker consumer")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RabbitmqDelivery:
        return await self._buffer.take()

    @property
    def waiting(self) -> int:
        """How many deliveries have arrived and were not handed out yet."""
        return len(self._buffer)

    async def close(self) -> None:
        """Stop consuming, send the acks that wait, and leave the rest to the broker; idempotent."""
        self._buffer.close()
        try:
            await self._stop_supervisor()
            with suppress(BrokerUnavailableError, BrokerRefusedError):
                async with self._connection.bounded("leaving", seconds=self._leave_seconds):
                    for receiver in self._receivers.values():
                        await receiver.leave()
        finally:
            await self._connection.close()

    async def _stop_supervisor(self) -> None:
        if self._connection.is_open:
            # A call that is cancelled takes its channel with it, and the acks on the way.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._leave_seconds), self._restoring:
                    pass
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])

    async def _run(self) -> None:
        try:
            while True:
                await self._run_once()
        except BrokerRefusedError as error:
            self._buffer.fail(error)
        except Exception as error:  # noqa: BLE001 - the edge of the loop: whoever iterates gets it
            _log.exception("broker.consumer_failed")
            self._buffer.fail(error)

    async def _run_once(self) -> None:
        """Bring back what is missing, then wait until something is."""
        self._buffer.drop_lost()
        try:
            async with self._restoring:
                await self._restore()
        except BrokerUnavailableError as error:
            self._note_lost(str(error))
        else:
            self._note_restored()
            await self._wait_for_trouble()
        # After a loss as well as after a failure: a server may take a channel and close it again for ever.
        await asyncio.sleep(self._retry.seconds())

    async def _wait_for_trouble(self) -> None:
        while all(self._receives(queue) for queue in self._queues):
            self._trouble.clear()
            await self._trouble.wait()
        self._note_lost(self._reason)
        if any(receiver.is_open for receiver in self._receivers.values()):
            # Perhaps a queue was deleted, and not the connection lost.
            await asyncio.sleep(QUEUE_LOSS_SECONDS)

    async def _restore(self) -> None:
        failure: BrokerUnavailableError | None = None
        for queue in self._queues:
            try:
                await self._restore_queue(queue)
            except BrokerUnavailableError as error:
                # One task queue without a leader must not keep the others from being served.
                failure = error
                if not self._connection.is_open:
                    break
        if failure is not None:
            raise failure

    async def _restore_queue(self, queue: str) -> None:
        if self._receives(queue):
            return
        await self._declarations.ensure_queue(queue)
        receiver = self._receivers.get(queue)
        is_new = receiver is None or not receiver.is_open
        if receiver is None or is_new:
            receiver = self._receivers[queue] = QueueReceiver(
                queue,
                dead_letters=self._dead_letters,
                on_delivery=self._buffer.put,
                on_trouble=self._note_trouble,
            )
        try:
            async with self._connection.bounded(f"consuming {queue!r}", seconds=self._timeout_seconds):
                await (receiver.open(self._connection, prefetch=self._prefetch) if is_new else receiver.resume())
        except BrokerUnavailableError:
            await self._abandon(queue)
            raise

    async def _abandon(self, queue: str) -> None:
        receiver = self._receivers.pop(queue)
        with suppress(BrokerUnavailableError, BrokerRefusedError):
            async with self._connection.bounded("closing a channel", seconds=self._leave_seconds):
                await receiver.abandon()

    def _receives(self, queue: str) -> bool:
        receiver = self._receivers.get(queue)
        return receiver is not None and receiver.is_open and not receiver.missing_bands

    def _note_trouble(self, reason: str) -> None:
        self._reason = reason
        self._trouble.set()

    def _note_lost(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            _log.warning("broker.consuming_interrupted", url=self._connection.shown_url, reason=reason)

    def _note_restored(self) -> None:
        if self._lost_at is not None:
            outage_seconds = round(time.monotonic() - self._lost_at, 3)
            self._lost_at = None
            _log.info("broker.consuming_restored", url=self._connection.shown_url, outage_seconds=outage_seconds)


class _Retry:
    """The wait before the next try: none after a quiet time, then full jitter under a growing ceiling."""

    def __init__(self, *, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._tries = 0
        self._tried_at = -math.inf

    def seconds(self) -> float:
        now = time.monotonic()
        if now - self._tried_at > 2 * self._seconds_max:
            self._tries = 0
        self._tried_at = now
        self._tries = min(self._tries + 1, _TRIES_COUNTED_MAX)
        if self._tries == 1:
            return 0.0
        ceiling = min(self._seconds_max, _RETRY_SECONDS_MIN * 2.0**self._tries)
        return random.uniform(0.0, ceiling)  # noqa: S311 - jitter is no secret
