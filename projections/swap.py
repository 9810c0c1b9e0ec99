"""The swap: the next generation becomes the live one, in one short transaction."""

import asyncio
import time
from dataclasses import dataclass
from secrets import SystemRandom

import asyncpg

from ledger.queries import query
from projections.batch import fold_next_batch
from projections.errors import ReadModelBusyError
from projections.generation import LIVE, NEXT, lock_checkpoint, prepare_replacement
from projections.projection import Projection
from projections.steps import forget_steps

_TRIES_MAX = 60
_PAUSE_SECONDS_MAX = 1.0
_BATCH_SIZE_MAX = 20_000
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Swapped:
    """The position of what is live now, the events that the swap itself folded, and how long readers waited."""

    position: int
    events: int
    seconds: float


async def swap(connection: asyncpg.Connection, projection: Projection) -> Swapped:
    """Put the next generation in the place of the live one.

    A reader who holds on to the old tables makes it give up and try again: while it queued for the lock, every
    other reader would queue behind it.

    Raises:
        ReadModelBusyError: it gave up each time.
    """
    for _ in range(_TRIES_MAX):
        try:
            async with connection.transaction(isolation="read_committed"):
                position, events = await _fold_the_rest(connection, projection)
                await connection.execute(query("bound_lock_wait"))
                await connection.execute(query("set_checkpoint"), LIVE.checkpoint_of(projection), position)
                await forget_steps(connection, projection)
                replacement = await prepare_replacement(connection, projection)
                began_at = time.monotonic()
                await connection.execute(replacement)  # from here on every reader waits
            return Swapped(position, events, time.monotonic() - began_at)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(_random.uniform(0, _PAUSE_SECONDS_MAX))
    raise ReadModelBusyError(name=projection.name, tries=_TRIES_MAX)


async def _fold_the_rest(connection: asyncpg.Connection, projection: Projection) -> tuple[int, int]:
    await connection.execute(query("ensure_checkpoint"), LIVE.checkpoint_of(projection))
    live_position = await lock_checkpoint(connection, projection, LIVE)  # from here on every projector waits
    # What the live generation has folded is complete, even where the horizon of this moment lies before it.
    horizon = max(live_position, int(await connection.fetchval(query("safe_position"))))
    events = 0
    while True:
        batch = await fold_next_batch(connection, projection, NEXT, horizon=horizon, events_max=_BATCH_SIZE_MAX)
        if batch.events == 0:
            return batch.position, events
        events += batch.events
