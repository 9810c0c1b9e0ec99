"""The reset: empties the live read model and folds the whole log into it again, under the eyes of its readers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from secrets import SystemRandom

import asyncpg

from ledger.bootstrap import Ledger
from ledger.leader import leading
from ledger.queries import query
from projections.batch import fold_next_batch
from projections.errors import ReadModelBusyError, RebuildInProgressError
from projections.generation import LIVE, lock_checkpoint, make_tables
from projections.progress import Phase, Progress, ProgressMeter
from projections.projection import Projection
from projections.rebuild import STEP_SECONDS_MAX, rebuild_role

_TRIES_MAX = 60
_PAUSE_SECONDS_MAX = 1.0
_BATCH_SIZE_MAX = 20_000
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Emptied:
    """What a reset did: the position that the read model is at again, and how long it took."""

    position: int
    seconds: float


async def reset(
    ledger: Ledger, projection: Projection, progress: Callable[[Progress], None] = lambda _progress: None
) -> Emptied:
    """Empty the live read model and fold it up to the horizon; projectors help where they run.

    Until then its readers see an incomplete read model. Ended early, it is folded on by the projectors.

    Raises:
        RebuildInProgressError: another process rebuilds, verifies or resets this read model.
        ReadModelBusyError: readers held on to the read model all the time.
        StoreUnavailableError: the database is out of reach.
    """
    meter = ProgressMeter(progress)
    async with leading(ledger.database, rebuild_role(projection)) as connection:
        if connection is None:
            raise RebuildInProgressError(projection.name)
        horizon = await ledger.store.safe_position()
        async with connection.transaction(isolation="read_committed"):
            await connection.execute(query("allow_long_statements"))
            rows = await connection.fetch(query("count_events_by_type"), horizon, timeout=STEP_SECONDS_MAX)
        meter.expect(sum(row["events"] for row in rows))
        await _empty(connection, projection)
        position = await _fold(connection, projection, meter, horizon=horizon)
    meter.enter(Phase.DONE)
    return Emptied(position, meter.seconds)


async def _empty(connection: asyncpg.Connection, projection: Projection) -> None:
    name = LIVE.checkpoint_of(projection)
    for _ in range(_TRIES_MAX):
        try:
            async with connection.transaction(isolation="read_committed"):
                await connection.execute(query("ensure_checkpoint"), name)
                await lock_checkpoint(connection, projection, LIVE)  # from here on every projector waits
                await connection.execute(query("bound_lock_wait"))
                await make_tables(connection, projection, LIVE)
                for statement in projection.index_statements:
                    await connection.execute(statement)
                await connection.execute(query("set_checkpoint"), name, 0)
                return
        except asyncpg.LockNotAvailableError:  # a reader holds on to the tables, and others queue behind this
            await asyncio.sleep(_random.uniform(0, _PAUSE_SECONDS_MAX))
    raise ReadModelBusyError(name=projection.name, tries=_TRIES_MAX)


async def _fold(
    connection: asyncpg.Connection, projection: Projection, meter: ProgressMeter, *, horizon: int
) -> int:
    while True:
        async with connection.transaction(isolation="read_committed"):
            batch = await fold_next_batch(
                connection,
                projection,
                LIVE,
                horizon=horizon,
                events_max=_BATCH_SIZE_MAX,
                timeout_seconds=STEP_SECONDS_MAX,
            )
        if batch.events == 0:
            return batch.position
        meter.add(batch.events)
