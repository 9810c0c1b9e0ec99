"""The subscription: how every reader of the log reads it, so that none ever skips an event.

Listen first, then read, and poll as the fallback. A read takes two statements: the append horizon, then the
rows up to it. In one statement, or by `position > last`, late committers would be skipped.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ledger.store.memory import MemoryAppendSignal
from ledger.store.port import AppendSignal, EventStore
from ledger.store.records import RecordedEvent
from ledger.store.shard import LogShard


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was read of a stretch of the log that reaches up to a position."""

    events: Sequence[RecordedEvent]
    upto: int


class Subscription:
    """One reader's view of the log; made by `subscribe`."""

    def __init__(self, store: EventStore, signal: AppendSignal, *, poll_interval_seconds: float) -> None:
        self._store = store
        self._signal = signal
        self._poll_interval_seconds = poll_interval_seconds

    async def horizon(self) -> int:
        """Return the position up to which the log is complete."""
        return await self._store.safe_position()

    async def read(self, *, after: int, limit: int) -> list[RecordedEvent]:
        """Return the next events after a position, at most `limit`; empty where there are none yet."""
        horizon = await self._store.safe_position()
        if horizon <= after:
            return []
        return await self._store.read_log(after=after, upto=horizon, limit=limit)

    async def read_shard(self, shard: LogShard, *, after: int, limit: int) -> Stretch:
        """Return the next events of a shard after a position, and how far that is the whole of its events.

        What is looked at in one go is bounded as well: as many positions as all shards may have events.
        """
        if shard.count == 1:
            events = await self.read(after=after, limit=limit)
            return Stretch(events, events[-1].position if events else after)
        upto = min(await self._store.safe_position(), after + limit * shard.count)
        if upto <= after:
            return Stretch((), after)
        events = await self._store.read_log(after=after, upto=upto, limit=limit, shard=shard)
        return Stretch(events, events[-1].position if len(events) == limit else upto)

    async def wait(self) -> None:
        """Return when something may have been appended, or it is time to look anyway."""
        await self._signal.wait(self._poll_interval_seconds)


@asynccontextmanager
async def subscribe(store: EventStore, *, poll_interval_seconds: float) -> AsyncIterator[Subscription]:
    """Open a subscription; it listens from the moment that the context is entered."""
    async with store.appends() as signal:
        yield Subscription(store, signal, poll_interval_seconds=poll_interval_seconds)


@asynccontextmanager
async def subscribe_each(
    store: EventStore, count: int, *, poll_interval_seconds: float
) -> AsyncIterator[Sequence[Subscription]]:
    """Open so many subscriptions, which listen together on one connection."""
    signals = [MemoryAppendSignal() for _ in range(count)]
    async with store.appends() as heard:
        passing_on = asyncio.create_task(_pass_on(heard, signals, poll_interval_seconds))
        try:
            yield [Subscription(store, one, poll_interval_seconds=poll_interval_seconds) for one in signals]
        finally:
            passing_on.cancel()
            await asyncio.gather(passing_on, return_exceptions=True)


async def _pass_on(heard: AppendSignal, signals: Sequence[MemoryAppendSignal], seconds: float) -> None:
    while True:
        if await heard.wait(seconds):
            for signal in signals:
                signal.fire()
