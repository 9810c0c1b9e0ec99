"""The leader: of all processes that could do a role's work, the one whose session holds the role's lock does it.

The lock belongs to a database session, so a leader that dies, or is cut off, loses it without anybody's help.
Nobody remembers that it leads: whatever needs a single leader is written on the connection that holds the lock.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import asyncpg

from ledger.errors import LeadershipLostError
from ledger.queries import query
from ledger.store.connection import Database, translated

STANDBY_SECONDS = 0.5
_SESSION_NAME_CHARS_MAX = 63  # the database keeps no more

Work = Callable[[asyncpg.Connection], Coroutine[None, None, None]]


async def while_leading(database: Database, role: str, work: Work) -> None:
    """Wait for the lead of a role, then do its endless work until the connection that holds the lead is lost.

    Raises:
        LeadershipLostError: the connection is gone; the work was cancelled.
        StoreUnavailableError: the database is out of reach.
    """
    async with database.dedicated() as connection:
        await prepare_session(connection, role)
        await stand_for(connection, role)
        while not await try_lead(connection, role):  # noqa: ASYNC110 - the lock is the database's
            await asyncio.sleep(STANDBY_SECONDS)
        await together(work(connection), until_lost(connection, role))


@asynccontextmanager
async def leading(database: Database, role: str) -> AsyncIterator[asyncpg.Connection | None]:
    """Take the lead of a role for the body, if it is free: yields the connection that holds it, else None."""
    async with database.dedicated() as connection:
        await prepare_session(connection, role)
        await stand_for(connection, role)
        yield connection if await try_lead(connection, role) else None


async def together(*loops: Awaitable[None]) -> None:
    """Run endless loops side by side until one fails; then cancel the others and raise its error as it is."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def prepare_session(connection: asyncpg.Connection, role: str) -> None:
    """Name the session of a leader, or of one that would be it, and have the database notice when it vanishes."""
    session = f"task-ledger {role} {socket.gethostname()}:{os.getpid()}"
    await connection.execute(query("prepare_leader_session"), session[:_SESSION_NAME_CHARS_MAX])


async def stand_for(connection: asyncpg.Connection, role: str) -> None:
    """Say, for as long as the session lasts, that it leads a role or would."""
    await connection.execute(query("stand_for_lead"), role)


async def try_lead(connection: asyncpg.Connection, role: str) -> bool:
    """Take the lead of a role for the session, if it is free; return whether it was."""
    return bool(await connection.fetchval(query("try_lead"), role))


async def until_lost(connection: asyncpg.Connection, role: str) -> None:
    """Wait for the session to end, then raise LeadershipLostError."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _connection: lost.set())
    if connection.is_closed():
        lost.set()
    await lost.wait()
    raise LeadershipLostError(role)


async def still_leads(connection: asyncpg.Connection) -> None:
    """Return when the session that holds the lead answers; raises StoreUnavailableError where it does not."""
    with translated():
        await connection.fetchval(query("database_time"))
