"""The store's outage as a worker lives through it: everybody waits, one asks whether the store is back."""

import asyncio
from contextlib import suppress

from ledger.errors import LedgerError, StoreUnavailableError
from ledger.outage import Outage
from ledger.store.port import EventStore


class StoreOutage:
    """Whether the store answers, and a place to wait until it does."""

    def __init__(self, store: EventStore, *, retry_seconds_max: float) -> None:
        self._store = store
        self._outage = Outage("worker", retry_seconds_max=retry_seconds_max)
        self._over = asyncio.Event()
        self._over.set()
        self._probe: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the store answers, as far as is known."""
        return self._over.is_set()

    async def wait_until_over(self) -> None:
        """Return as soon as the store answers, as far as is known."""
        await self._over.wait()

    async def sit_out(self, error: LedgerError) -> None:
        """Note that the store failed, and return when it answers again."""
        if self._probe is None or self._probe.done():
            self._over.clear()
            self._probe = asyncio.create_task(self._ask(error))
        await self._over.wait()

    def end(self) -> None:
        """Note that the store took an append; costs nothing where there was no outage."""
        self._outage.end()

    async def close(self) -> None:
        """Stop asking."""
        if self._probe is not None:
            self._probe.cancel()
            with suppress(asyncio.CancelledError):
                await self._probe

    async def _ask(self, error: LedgerError) -> None:
        # Whoever failed waited for nothing, so the first wait comes before the first question. A store that
        # answers and refuses appends (full, read-only) is asked less and less often, until it takes one.
        while True:
            await self._outage.wait(error)
            try:
                await self._store.database_time()
            except LedgerError as failure:
                error = failure
                continue
            if isinstance(error, StoreUnavailableError):
                self._outage.end()
            self._over.set()
            return
