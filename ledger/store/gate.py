"""The gate before work that holds a connection for a whole transaction: so many at once, so many in line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ledger.errors import StoreUnavailableError


class Gate:
    """Lets keyed appends in, first come first served, so that they never take the whole pool."""

    def __init__(self, *, at_once_max: int, waiting_max: int, waiting_bytes_max: int) -> None:
        self._at_once_max = at_once_max
        self._waiting_max = waiting_max
        self._waiting_bytes_max = waiting_bytes_max
        self._room = asyncio.Semaphore(at_once_max)
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_closed = False

    @asynccontextmanager
    async def passed(self, size: int) -> AsyncIterator[None]:
        """Stand inside while the body runs; `size` is what the waiting keeps in memory, in bytes.

        Raises:
            StoreUnavailableError: too many wait already, or the gate is closed.
        """
        self._check_open()
        if self._room.locked():
            self._check_line(size)
        self._waiting += 1
        self._waiting_bytes += size
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
            self._waiting_bytes -= size
        try:
            self._check_open()
            yield
        finally:
            self._room.release()

    async def close(self) -> None:
        """Send away who waits, and return when nobody is inside."""
        self._is_closed = True
        for _ in range(self._at_once_max):
            await self._room.acquire()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailableError("the store is closed")

    def _check_line(self, size: int) -> None:
        if self._waiting >= self._waiting_max:
            raise StoreUnavailableError(
                f"{self._waiting} keyed appends are waiting already (LEDGER_KEYED_APPEND_QUEUE_MAX)"
            )
        if self._waiting and self._waiting_bytes + size > self._waiting_bytes_max:
            raise StoreUnavailableError(
                f"{self._waiting_bytes} bytes of keyed appends are waiting already (LEDGER_APPEND_QUEUE_BYTES_MAX)"
            )
