"""The transactions that handlers write in, on connections that the worker itself never needs.

A handler may hold its connection for as long as it runs. The pool opens with the first one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import asyncpg

from ledger.store.connection import Database, translated


class Transactions:
    """Lends connections to handlers, no more than a bound at once; whoever comes later waits."""

    def __init__(self, database: Database, *, connections_max: int) -> None:
        self._database = database
        self._connections_max = connections_max
        self._opening = asyncio.Lock()
        self._opened = AsyncExitStack()
        self._pool: asyncpg.Pool | None = None

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection; whatever its user leaves on it is reset, and errors in its use stay asyncpg's own.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        pool = await self._open()
        with translated():
            connection = await pool.acquire()
        try:
            # The pool lends a proxy that has every method of a connection, but is none by type.
            yield cast("asyncpg.Connection", connection)
        finally:
            await pool.release(connection)

    async def close(self) -> None:
        """Close the connections."""
        await self._opened.aclose()

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                lending = self._database.lending(connections_max=self._connections_max)
                self._pool = await self._opened.enter_async_context(lending)
            return self._pool
