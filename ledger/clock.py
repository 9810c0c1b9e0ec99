"""The ledger's clock: the database's time, kept as an offset to this machine's monotonic clock.

A worker's own clock may be wrong by hours; delays and deadlines that other processes act upon must not be.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ledger.store.port import EventStore


class Clock(Protocol):
    """Tells the time that goes into events."""

    def now(self) -> datetime:
        """Return the time, with its offset."""


class LedgerClock:
    """The database's time, as of the last `set`, carried on by the monotonic clock.

    Until the first `set` it is this machine's own time.
    """

    def __init__(self) -> None:
        self._anchor = datetime.now(UTC)
        self._anchored_at = time.monotonic()

    def now(self) -> datetime:
        """Return the database's time, as well as it is known."""
        return self._anchor + timedelta(seconds=time.monotonic() - self._anchored_at)

    def set(self, database_time: datetime, *, round_trip_seconds: float) -> None:
        """Adopt a time read from the database; half of the round trip is added to it."""
        self._anchor = database_time + timedelta(seconds=round_trip_seconds / 2)
        self._anchored_at = time.monotonic()


async def synchronise(clock: LedgerClock, store: EventStore) -> None:
    """Set the clock by the database's."""
    asked_at = time.monotonic()
    database_time = await store.database_time()
    clock.set(database_time, round_trip_seconds=time.monotonic() - asked_at)
