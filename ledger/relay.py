"""The relay: reads the log after its checkpoint and publishes each event to the broker.

    log ── read ──▶ batch ── encode ──▶ publish ──▶ confirmed prefix ──▶ checkpoint (compare and set)
             ▲                                              │
             └──── the next batch is read meanwhile ◀───────┘

One relay leads. The checkpoint is written after the confirms and on the connection that holds the lead, so a
crash repeats events (consumers deduplicate by id) and never loses one, and a relay that lost its lead cannot
move the checkpoint. An event that can never be published does not hold up all others (ledger.event_publisher).
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.checkpoint import Checkpoint
from ledger.errors import ConfigurationError, LedgerError
from ledger.event_publisher import EncodedBatch, EventPublisher
from ledger.leader import leading, still_leads, while_leading
from ledger.outage import Outage
from ledger.store.records import RecordedEvent
from ledger.subscription import Subscription, subscribe
from ledger.telemetry import CONFIRM_SECONDS, EVENTS_PUBLISHED, LEADER

log = structlog.get_logger()

ROLE = "relay"
_PROBE_SECONDS = 5.0
_FIRST_BATCH_SIZE = 100
_BATCH_GROWTH = 4
_BATCH_BYTES_MAX = 32 * 1024 * 1024


class Relay:
    """Publishes every event of the ledger at least once, in order within its task."""

    def __init__(self, ledger: Ledger, broker: Broker) -> None:
        self._ledger = ledger
        self._batch_size = min(_FIRST_BATCH_SIZE, ledger.settings.relay_batch_size_max)
        self._publisher = EventPublisher(broker)
        self._measures = ledger.instruments.measures
        self._measures.set(LEADER, 0, ROLE)
        self._traces = ledger.instruments.traces
        self._position = 0  # the last one known, for the log lines of an outage
        self._outage = Outage(ROLE, retry_seconds_max=ledger.settings.broker_retry_seconds_max)

    async def run_once(self) -> int:
        """Publish what is in the log now and return how many events that were; 0 while another relay leads."""
        async with leading(self._ledger.database, ROLE) as connection, self._subscription() as subscription:
            if connection is None:
                return 0
            return await self._drain(subscription, await Checkpoint.read(connection, ROLE))

    async def run(self) -> None:
        """Publish for ever while this process leads, stand by while another does; outlives every outage."""
        while True:
            try:
                await while_leading(self._ledger.database, ROLE, self._lead)
            except ConfigurationError:
                raise
            except LedgerError as error:
                # Whatever went wrong, the lead is given up: a relay that stands by may fare better.
                await self._outage.wait(error, position=self._position)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        with self._measures.leading(ROLE):
            await self._publish_all(connection)

    async def _publish_all(self, connection: asyncpg.Connection) -> None:
        async with self._subscription() as subscription:
            checkpoint = await Checkpoint.read(connection, ROLE)
            if not self._outage.is_on:
                log.info("relay.leading", position=checkpoint.position)
            probe_at = time.monotonic() + _PROBE_SECONDS
            while True:
                await self._drain(subscription, checkpoint)
                self._outage.end()
                if time.monotonic() >= probe_at:
                    await still_leads(connection)
                    probe_at = time.monotonic() + _PROBE_SECONDS
                await subscription.wait()

    async def _drain(self, subscription: Subscription, checkpoint: Checkpoint) -> int:
        published = 0
        self._position = checkpoint.position
        ahead = self._read_ahead(subscription, checkpoint.position)
        try:
            while (batch := await ahead).positions:
                ahead = self._read_ahead(subscription, batch.positions[-1])
                taken = await self._publish(batch)
                await checkpoint.advance(batch.positions[taken - 1])
                self._position = checkpoint.position
                published += taken
                if taken < len(batch.positions):
                    await _drop(ahead)
                    ahead = self._read_ahead(subscription, checkpoint.position)
        finally:
            await _drop(ahead)
        return published

    async def _publish(self, batch: EncodedBatch) -> int:
        began, began_ns = time.monotonic(), time.time_ns()
        taken = await self._publisher.publish(batch)
        self._measures.observe(CONFIRM_SECONDS, time.monotonic() - began)
        self._measures.count(EVENTS_PUBLISHED, by=taken)
        if self._traces is not None:
            messages = bisect_left(batch.owners, taken)
            self._traces.published(batch.messages[:messages], batch.traceparents[:messages], began_ns=began_ns)
        return taken

    def _read_ahead(self, subscription: Subscription, position: int) -> "asyncio.Task[EncodedBatch]":
        return asyncio.create_task(self._read(subscription, position))

    async def _read(self, subscription: Subscription, position: int) -> EncodedBatch:
        # Encoded here and not where it is published: the broker confirms the batch before it meanwhile.
        events = await subscription.read(after=position, limit=self._batch_size)
        if events:
            self._batch_size = next_batch_size(events, size_max=self._ledger.settings.relay_batch_size_max)
        return await EncodedBatch.of(events)

    def _subscription(self) -> AbstractAsyncContextManager[Subscription]:
        seconds = self._ledger.settings.poll_interval_seconds
        return subscribe(self._ledger.store, poll_interval_seconds=seconds)


def next_batch_size(events: Sequence[RecordedEvent], *, size_max: int) -> int:
    """Return how many events to read next, when these were the last.

    An event may be a megabyte. So a relay begins with few, reads more while they are small, and a backlog of large
    ones cannot fill its memory, nor do so again each time that it is started again.
    """
    mean_bytes = sum(len(event.data) for event in events) // len(events) + 1
    grown = max(_FIRST_BATCH_SIZE, len(events) * _BATCH_GROWTH)
    return max(1, min(size_max, grown, _BATCH_BYTES_MAX // mean_bytes))


async def _drop(reading: "asyncio.Task[EncodedBatch]") -> None:
    reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled():
        reading.exception()  # of no interest any more
