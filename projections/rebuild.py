"""The rebuild: makes the next generation of a read model beside the live one, catches up, and swaps them.

Meanwhile writers append, the projector folds into the live generation and readers read it. Only the swap makes
them wait, for one short transaction. Whatever ends a rebuild before that leaves the live generation as it was.
The next rebuild goes on where a killed one, or one that lost the database, left off; after any other error it
begins anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import asyncpg

from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError, UnknownEventTypeError
from ledger.leader import leading, together
from ledger.queries import query
from projections.batch import fold_next_batch
from projections.errors import (
    ArchivedMonthsError,
    FoldFailedError,
    ReadModelOutOfStepError,
    RebuildInProgressError,
)
from projections.generation import NEXT, analyze_tables, drop_past, enter
from projections.progress import Phase, Progress, ProgressMeter
from projections.projection import Projection, SqlProjection
from projections.slices import Slices
from projections.steps import forget_steps, note_index, note_slice, take_up
from projections.swap import swap

# Nothing may run for ever, but what takes long on a large ledger must not be cut short either.
STEP_SECONDS_MAX = 6 * 3600.0
_CATCH_UP_EVENTS_MAX = 20_000
_HOPELESS = (
    FoldFailedError,
    UnknownEventTypeError,
    ReadModelOutOfStepError,
    StoreRefusedError,
    asyncpg.IntegrityConstraintViolationError,
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How many connections fold side by side, and about how many events one of them folds in one transaction."""

    sessions: int = 2
    events_per_slice: int = 50_000


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: events folded, position reached, how long it took, and how long readers waited."""

    events: int
    position: int
    seconds: float
    swap_seconds: float


def rebuild_role(projection: Projection) -> str:
    """Return the name under which one process at a time makes or compares generations of a projection."""
    return f"rebuild:{projection.name}"


async def rebuild(
    ledger: Ledger,
    projection: Projection,
    progress: Callable[[Progress], None] = lambda _progress: None,
    *,
    effort: Effort | None = None,
    without_archived: bool = False,
) -> Rebuilt:
    """Fold the whole ledger into a new generation, and make that the live one.

    `progress` is called after each step. Months that are kept beside the log are folded too; of those whose tables
    were dropped the tasks would get lost, so that has to be asked for (`without_archived`).

    Raises:
        ArchivedMonthsError: there are archived months that it cannot fold.
        RebuildInProgressError: another process rebuilds or verifies this read model.
        ReadModelBusyError: readers held on to the old generation all the time.
        UnknownEventTypeError: the ledger has an event that the projection does not know.
        StoreUnavailableError: the database is out of reach; the live generation is as it was.
    """
    meter = ProgressMeter(progress)
    async with leading(ledger.database, rebuild_role(projection)) as connection:
        if connection is None:
            raise RebuildInProgressError(projection.name)
        if not without_archived:
            await _refuse_out_of_reach(connection, projection)
        await drop_past(connection)  # of a rebuild that ended between its swap and this
        try:
            await _make(ledger, connection, projection, meter=meter, effort=effort or Effort())
            await _catch_up(ledger, connection, projection, meter)
            meter.enter(Phase.SWAPPING)
            if not without_archived:
                await _refuse_out_of_reach(connection, projection)  # a month may have been dropped meanwhile
            swapped = await swap(connection, projection)
        except _HOPELESS:
            await forget_steps(connection, projection)
            raise
        meter.add(swapped.events)
        await drop_past(connection)
    meter.enter(Phase.DONE)
    return Rebuilt(meter.events_done, swapped.position, meter.seconds, swapped.seconds)


async def _refuse_out_of_reach(connection: asyncpg.Connection, projection: Projection) -> None:
    reads_kept_months = isinstance(projection, SqlProjection)
    rows = await connection.fetch(query("months_out_of_reach"), not reads_kept_months)
    if rows:
        raise ArchivedMonthsError(name=projection.name, months=[row[0] for row in rows])


async def _make(
    ledger: Ledger, connection: asyncpg.Connection, projection: Projection, *, meter: ProgressMeter, effort: Effort
) -> None:
    done = await take_up(connection, projection)
    horizon = done.horizon or await ledger.store.safe_position()
    meter.expect(await _count_events(connection, projection, horizon=horizon))
    if isinstance(projection, SqlProjection):
        if done.position == 0:
            slices = Slices(events_per_slice=effort.events_per_slice, done=done.slices)
            folds = (
                _fold_slices(ledger, projection, slices, horizon=horizon, meter=meter)
                for _ in range(effort.sessions)
            )
            await together(*folds)
            await connection.execute(query("set_checkpoint"), NEXT.checkpoint_of(projection), horizon)
        meter.enter(Phase.INDEXING)
    statements = enumerate(projection.index_statements)
    left = iter([(number, statement) for number, statement in statements if number not in done.indexes])
    await together(*(_make_indexes(ledger, projection, left) for _ in range(effort.sessions)))
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(query("allow_long_statements"))
        await analyze_tables(connection, projection, NEXT, timeout_seconds=STEP_SECONDS_MAX)


async def _count_events(connection: asyncpg.Connection, projection: Projection, *, horizon: int) -> int:
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(query("allow_long_statements"))
        rows = await connection.fetch(query("count_events_by_type"), horizon, timeout=STEP_SECONDS_MAX)
    for event_type, schema_version, _ in rows:
        if projection.schema_versions.get(event_type, 0) < schema_version:
            raise UnknownEventTypeError(event_type=event_type, schema_version=schema_version)
    return sum(row["events"] for row in rows)


async def _fold_slices(
    ledger: Ledger, projection: SqlProjection, slices: Slices, *, horizon: int, meter: ProgressMeter
) -> None:
    async with ledger.database.dedicated() as connection:
        while (portion := await slices.next(connection, timeout_seconds=STEP_SECONDS_MAX)) is not None:
            async with connection.transaction(isolation="read_committed"):
                await connection.execute(query("allow_long_statements"))
                await enter(connection, projection, NEXT)
                await projection.fold_tasks(
                    connection,
                    first=portion.first,
                    last=portion.last,
                    upto=horizon,
                    timeout_seconds=STEP_SECONDS_MAX,
                )
                await note_slice(connection, projection, portion, horizon=horizon)
            meter.add(slices.events_per_slice)


async def _make_indexes(ledger: Ledger, projection: Projection, statements: Iterator[tuple[int, str]]) -> None:
    async with ledger.database.dedicated() as connection:
        for number, statement in statements:  # each session takes the next one
            async with connection.transaction(isolation="read_committed"):
                await connection.execute(query("allow_long_statements"))
                await enter(connection, projection, NEXT)
                await connection.execute(statement, timeout=STEP_SECONDS_MAX)
                await note_index(connection, projection, number)


async def _catch_up(
    ledger: Ledger, connection: asyncpg.Connection, projection: Projection, meter: ProgressMeter
) -> None:
    meter.enter(Phase.CATCHING_UP)
    events = _CATCH_UP_EVENTS_MAX
    while events >= _CATCH_UP_EVENTS_MAX:
        horizon = await ledger.store.safe_position()
        async with connection.transaction(isolation="read_committed"):
            batch = await fold_next_batch(
                connection,
                projection,
                NEXT,
                horizon=horizon,
                events_max=_CATCH_UP_EVENTS_MAX,
                timeout_seconds=STEP_SECONDS_MAX,
            )
        events = batch.events
        meter.add(events)
