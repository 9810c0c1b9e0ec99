"""The relay of one shard: reads its events after its checkpoint and publishes each of them to the broker.

    log ── read ──▶ batch ── encode ──▶ publish ──▶ confirmed prefix ──▶ checkpoint (compare and set)
             ▲                                              │
             └──── the next batch is read meanwhile ◀───────┘

The checkpoint is written after the confirms and on the connection that holds the lead, so a crash repeats events
(consumers deduplicate by id) and never loses one, and a relay that lost its lead cannot move the checkpoint. It
moves past the events of other shards as well: it says how far the log was read. An event that can never be
published does not hold up all others (ledger.event_publisher).
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.checkpoint import Checkpoint
from ledger.event_publisher import EncodedBatch, EventPublisher
from ledger.leader import still_leads
from ledger.outage import Outage
from ledger.relay_layout import name_of
from ledger.store.records import RecordedEvent
from ledger.store.shard import LogShard
from ledger.subscription import Subscription
from ledger.telemetry import CONFIRM_SECONDS, EVENTS_PUBLISHED

log = structlog.get_logger()

_PROBE_SECONDS = 5.0
_FIRST_BATCH_SIZE = 100
_BATCH_GROWTH = 4
_BATCH_BYTES_MAX = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A batch that is ready to be published, and the position up to which that is everything."""

    batch: EncodedBatch
    upto: int


class ShardRelay:
    """Publishes every event of a shard at least once, in order within its task, while its session has the lead.

    Args:
        ledger: where the log is.
        broker: where it is published.
        shard: the whole log, or a share of it.
        outage: ends whenever all was published that there was.
    """

    def __init__(self, ledger: Ledger, broker: Broker, shard: LogShard, outage: Outage) -> None:
        self._settings = ledger.settings
        self._shard = shard
        self._batch_size = min(_FIRST_BATCH_SIZE, ledger.settings.relay_batch_size_max)
        self._publisher = EventPublisher(broker)
        self._measures = ledger.instruments.measures
        self._traces = ledger.instruments.traces
        self._outage = outage
        self.position = 0  # the last one known, for the log lines of an outage

    async def publish_all(self, connection: asyncpg.Connection, subscription: Subscription) -> None:
        """Publish for ever on the session that has the lead."""
        checkpoint = await Checkpoint.read(connection, name_of(self._shard))
        if not self._outage.is_on:
            log.info("relay.leading", position=checkpoint.position, shard=self._shard.index, of=self._shard.count)
        probe_at = time.monotonic() + _PROBE_SECONDS
        while True:
            await self._drain(subscription, checkpoint)
            self._outage.end()
            if time.monotonic() >= probe_at:
                await still_leads(connection)
                probe_at = time.monotonic() + _PROBE_SECONDS
            await subscription.wait()

    async def publish_now(self, connection: asyncpg.Connection, subscription: Subscription) -> int:
        """Publish what is in the log now, on the session that has the lead; return how many events that were."""
        return await self._drain(subscription, await Checkpoint.read(connection, name_of(self._shard)))

    async def _drain(self, subscription: Subscription, checkpoint: Checkpoint) -> int:
        published = 0
        self.position = checkpoint.position
        ahead = self._read_ahead(subscription, checkpoint.position)
        try:
            while (read := await ahead).upto > checkpoint.position:
                ahead = self._read_ahead(subscription, read.upto)
                positions = read.batch.positions
                taken = await self._publish(read.batch) if positions else 0
                is_whole = taken == len(positions)
                await checkpoint.advance(read.upto if is_whole else positions[taken - 1])
                self.position = checkpoint.position
                published += taken
                if not is_whole:
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

    def _read_ahead(self, subscription: Subscription, position: int) -> asyncio.Task[_Encoded]:
        return asyncio.create_task(self._read(subscription, position))

    async def _read(self, subscription: Subscription, position: int) -> _Encoded:
        # Encoded here and not where it is published: the broker confirms the batch before it meanwhile.
        read = await subscription.read_shard(self._shard, after=position, limit=self._batch_size)
        if read.events:
            self._batch_size = next_batch_size(
                read.events, size_max=self._settings.relay_batch_size_max, shards=self._shard.count
            )
        return _Encoded(await EncodedBatch.of(read.events), read.upto)


def next_batch_size(events: Sequence[RecordedEvent], *, size_max: int, shards: int = 1) -> int:
    """Return how many events to read next, when these were the last.

    An event may be a megabyte. So a relay begins with few, reads more while they are small, and a backlog of large
    ones cannot fill its memory, nor do so again each time that it is started again.
    """
    mean_bytes = sum(len(event.data) for event in events) // len(events) + 1
    grown = max(_FIRST_BATCH_SIZE, len(events) * _BATCH_GROWTH)
    return max(1, min(size_max, grown, _BATCH_BYTES_MAX // shards // mean_bytes))


async def _drop(reading: asyncio.Task[_Encoded]) -> None:
    reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled():
        reading.exception()  # of no interest any more
