"""The verification: folds the ledger again and compares the outcome with the live read model, row by row."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from ledger.bootstrap import Ledger
from ledger.leader import leading
from ledger.queries import query
from projections.batch import next_batch
from projections.errors import NotVerifiableError, ReadModelMissingError, RebuildInProgressError
from projections.generation import LIVE, read_version
from projections.progress import Phase, Progress, ProgressMeter
from projections.projection import Projection, SqlProjection
from projections.rebuild import STEP_SECONDS_MAX, Effort, rebuild_role
from projections.slices import Slices

DIFFERENCES_MAX = 1000
_SCRATCH = "pg_temp"
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the live read model is not what the ledger says; None stands for SQL's NULL.

    `column` is `row` where one side has no row at all.
    """

    key: str
    column: str
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        return f"{self.key} {self.column}: expected {self.expected!r}, found {self.found!r}"


async def verify(
    ledger: Ledger, projection: Projection, progress: Callable[[Progress], None] = lambda _progress: None
) -> list[Difference]:
    """Return where the live read model differs from the fold of the ledger up to its checkpoint.

    Both are read in one snapshot, so writers and projectors may go on meanwhile. At most DIFFERENCES_MAX are
    returned, in the order of their keys. Tasks of archived months are compared while their tables are kept beside
    the log, and passed over after that. `progress` is called after each step.

    Raises:
        ReadModelMissingError: there is none.
        NotVerifiableError: the projection does not say how to compare.
        RebuildInProgressError: another process rebuilds or verifies this read model.
        StoreUnavailableError: the database is out of reach.
    """
    if not projection.difference_statement:
        raise NotVerifiableError(projection.name)
    async with leading(ledger.database, rebuild_role(projection)) as connection:
        if connection is None:
            raise RebuildInProgressError(projection.name)
        # Under REPEATABLE READ the checkpoint, its rows and its events are of one moment. Every event up to the
        # checkpoint is in it: the projector has seen them all, and each was committed before.
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            return await _differences(connection, projection, ProgressMeter(progress))
        finally:
            await transaction.rollback()  # the temporary tables go with it


async def _differences(
    connection: asyncpg.Connection, projection: Projection, meter: ProgressMeter
) -> list[Difference]:
    await connection.execute(query("hold_log"))
    await connection.execute(query("allow_long_statements"))
    position = await connection.fetchval(query("read_checkpoint"), LIVE.checkpoint_of(projection))
    if position is None or await read_version(connection, projection, LIVE) is None:
        raise ReadModelMissingError(projection.name)
    await connection.execute(query("enter_generation"), _SCRATCH)
    await connection.execute(projection.table_statements)
    rows = await connection.fetch(query("count_events_by_type"), position, timeout=STEP_SECONDS_MAX)
    meter.expect(sum(row["events"] for row in rows))
    await _fold_all(connection, projection, upto=position, meter=meter)
    meter.enter(Phase.DONE)
    await connection.execute(query("allow_any_plan"))
    rows = await connection.fetch(projection.difference_statement, DIFFERENCES_MAX, timeout=STEP_SECONDS_MAX)
    return [Difference(*row) for row in rows]


async def _fold_all(
    connection: asyncpg.Connection, projection: Projection, *, upto: int, meter: ProgressMeter
) -> None:
    if not isinstance(projection, SqlProjection):
        await _fold_batches(connection, projection, upto=upto, meter=meter)
        return
    slices = Slices(events_per_slice=Effort().events_per_slice)
    while (portion := await slices.next(connection, timeout_seconds=STEP_SECONDS_MAX)) is not None:
        await projection.fold_tasks(
            connection,
            first=portion.first,
            last=portion.last,
            upto=upto,
            timeout_seconds=STEP_SECONDS_MAX,
        )
        meter.add(slices.events_per_slice)


async def _fold_batches(
    connection: asyncpg.Connection, projection: Projection, *, upto: int, meter: ProgressMeter
) -> None:
    after = 0
    while (batch := await next_batch(connection, projection, after=after, horizon=upto, events_max=_BATCH)).events:
        await projection.fold(connection, after=after, upto=batch.position, timeout_seconds=STEP_SECONDS_MAX)
        after = batch.position
        meter.add(batch.events)
