"""How readers learn of appends: one coalesced NOTIFY after commits, and a LISTEN that survives its connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from ledger.errors import LedgerError, StoreUnavailableError
from ledger.outage import Outage
from ledger.store.connection import Database
from ledger.store.memory import MemoryAppendSignal

CHANNEL = "ledger_events"
_RECONNECT_SECONDS_MAX = 1.0


class Doorbell:
    """Rings for all appends since the last ring; at most one ring is under way and one waits behind it.

    NOTIFY takes a lock on the whole database at commit, so it never rides in an append's transaction. A ring
    that fails is dropped: readers poll as well.
    """

    def __init__(self, ring: Callable[[], Awaitable[None]]) -> None:
        self._ring = ring
        self._asked = False
        self._ringing: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Ask for a ring soon."""
        self._asked = True
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Wait until what was asked for has rung."""
        if self._ringing is not None:
            await self._ringing

    async def _run(self) -> None:
        while self._asked:
            self._asked = False
            with suppress(LedgerError):
                await self._ring()


@asynccontextmanager
async def listening(database: Database) -> AsyncIterator[MemoryAppendSignal]:
    """Listen on a connection of its own; while that is lost, the signal stays silent and readers poll."""
    signal = MemoryAppendSignal()
    ready = asyncio.Event()
    listener = asyncio.create_task(_listen(database, signal, ready))
    try:
        await ready.wait()
        yield signal
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)  # unlike `await listener`, tells its end from ours


async def _listen(database: Database, signal: MemoryAppendSignal, ready: asyncio.Event) -> None:
    outage = Outage("listener", retry_seconds_max=_RECONNECT_SECONDS_MAX)
    while True:
        try:
            async with database.dedicated() as connection:
                await _relay_notifications(connection, signal)
                outage.end()
                ready.set()
                await _until_lost(connection)
        except Exception as error:  # noqa: BLE001 - without its listener a reader would only poll from here on
            ready.set()  # without a connection the reader starts all the same, and polls
            await outage.wait(error)


async def _relay_notifications(connection: asyncpg.Connection, signal: MemoryAppendSignal) -> None:
    await connection.add_listener(CHANNEL, lambda *_notification: signal.fire())
    signal.fire()  # whatever was appended before LISTEN took hold


async def _until_lost(connection: asyncpg.Connection) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _connection: lost.set())
    if connection.is_closed():
        lost.set()
    await lost.wait()
    raise StoreUnavailableError("the listening connection was lost")
