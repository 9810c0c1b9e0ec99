"""The move: a month's table leaves the log or comes back, in one short transaction that waits for nobody long."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from secrets import SystemRandom

import asyncpg

from ledger.archive.month import Month
from ledger.errors import ArchiveRefusedError
from ledger.queries import query

LOG = "ledger"
KEPT = "archive"
_TRIES_MAX = 60
_PAUSE_SECONDS_MAX = 1.0
_random = SystemRandom()

Work = Callable[[], Awaitable[None]]


async def move(connection: asyncpg.Connection, month: Month, *, source: str, target: str, work: Work) -> float:
    """Move a month between `ledger` and `archive`; return for how many seconds readers and writers waited.

    `work` is done in the same transaction, under the lock.

    Raises:
        ArchiveRefusedError: others held on to the log each time that it was tried, or `work` refuses.
    """

    async def locked() -> float:
        await connection.execute(query("hold_month"), source, month.first)
        await connection.execute(query("lock_log"))
        began_at = time.monotonic()  # from here on everybody waits
        await work()
        await connection.execute(query("move_month"), month.first, source, target, *month.ids)
        return began_at

    began_at = await briefly(connection, month, locked, act="detach" if source == LOG else "attach")
    return time.monotonic() - began_at


async def bound(connection: asyncpg.Connection, month: Month) -> None:
    """Let the month's table in the log say what its bounds are, so that a move need not read it."""

    async def said() -> float:
        await connection.execute(query("bound_month"), LOG, month.first, *month.ids)
        return 0.0

    await briefly(connection, month, said, act="detach")
    await connection.execute(query("check_bound_of_month"), LOG, month.first, timeout=6 * 3600.0)


async def briefly(
    connection: asyncpg.Connection, month: Month, work: Callable[[], Awaitable[float]], *, act: str
) -> float:
    """Do something in a transaction that gives up a lock that it does not get at once, and tries again."""
    for _ in range(_TRIES_MAX):
        try:
            async with connection.transaction(isolation="read_committed"):
                await connection.execute(query("bound_move_wait"))
                return await work()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(_random.uniform(0, _PAUSE_SECONDS_MAX))
    reason = f"the log was in use each of {_TRIES_MAX} times that it was tried"
    raise ArchiveRefusedError(month=str(month), act=act, reason=reason)
