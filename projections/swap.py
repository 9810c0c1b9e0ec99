"""The swap: the next generation becomes the live one, in one short transaction."""

import asyncio
import time
from secrets import SystemRandom

import asyncpg

from ledger.queries import query
from projections.batch import fold_next_batch
from projections.errors import ReadModelBusyError
from projections.generation import LIVE, NEXT, drop_tables, lock_checkpoint, move_tables
from projections.projection import Projection

_TRIES_MAX = 60
_PAUSE_SECONDS_MAX = 1.0
_BATCH_SIZE_MAX = 20_000
_random = SystemRandom()


async def swap(connection: asyncpg.Connection, projection: Projection) -> tuple[int, float]:
    """Put the next generation in the place of the live one; return its position and the seconds that took.

    A reader who holds on to the old tables makes it give up and try again: while it queued for the lock, every
    other reader would queue behind it.

    Raises:
        ReadModelBusyError: it gave up each time.
    """
    for _ in range(_TRIES_MAX):
        began_at = time.monotonic()
        try:
            async with connection.transaction(isolation="read_committed"):
                position = await _swap(connection, projection)
            return position, time.monotonic() - began_at
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(_random.uniform(0, _PAUSE_SECONDS_MAX))
    raise ReadModelBusyError(name=projection.name, tries=_TRIES_MAX)


async def _swap(connection: asyncpg.Connection, projection: Projection) -> int:
    live = LIVE.checkpoint_of(projection)
    await connection.execute(query("ensure_checkpoint"), live)
    live_position = await lock_checkpoint(connection, projection, LIVE)  # from here on every projector waits
    # What the live generation has folded is complete, even where the horizon of this moment lies before it.
    horizon = max(live_position, int(await connection.fetchval(query("safe_position"))))
    position = await _fold_the_rest(connection, projection, horizon=horizon)
    await connection.execute(query("bound_lock_wait"))
    await drop_tables(connection, projection, LIVE)  # from here on every reader waits
    await move_tables(connection, projection, to=LIVE)
    await connection.execute(query("set_checkpoint"), live, position)
    await connection.execute(query("drop_checkpoint"), NEXT.checkpoint_of(projection))
    return position


async def _fold_the_rest(connection: asyncpg.Connection, projection: Projection, *, horizon: int) -> int:
    while True:
        batch = await fold_next_batch(connection, projection, NEXT, horizon=horizon, events_max=_BATCH_SIZE_MAX)
        if batch.events == 0:
            return batch.position
