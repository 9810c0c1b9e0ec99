"""The subscription: how every reader of the log reads it, so that none ever skips an event.

Listen first, then read, and poll as the fallback. A read takes two statements: the append horizon, then the
rows up to it. In one statement, or by `position > last`, late committers would be skipped.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ledger.store.port import AppendSignal, EventStore
from ledger.store.records import RecordedEvent


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

    async def wait(self) -> None:
        """Return when something may have been appended, or it is time to look anyway."""
        await self._signal.wait(self._poll_interval_seconds)


@asynccontextmanager
async def subscribe(store: EventStore, *, poll_interval_seconds: float) -> AsyncIterator[Subscription]:
    """Open a subscription; it listens from the moment that the context is entered."""
    async with store.appends() as signal:
        yield Subscription(store, signal, poll_interval_seconds=poll_interval_seconds)
