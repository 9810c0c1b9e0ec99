"""The next batch of the log, folded into a generation of a read model together with its checkpoint."""

from dataclasses import dataclass

import asyncpg
import orjson

from ledger.errors import UnknownEventTypeError
from ledger.queries import query
from projections.errors import CheckpointMovedError, ReadModelOutOfStepError
from projections.generation import Generation, enter, lock_checkpoint
from projections.projection import Projection

_STEP_CONSTRAINT = "folds_each_event_once"


@dataclass(frozen=True, slots=True)
class FoldedBatch:
    """How far the generation now is, and how many events that took."""

    position: int
    events: int


async def fold_next_batch(
    connection: asyncpg.Connection,
    projection: Projection,
    generation: Generation,
    *,
    horizon: int,
    events_max: int,
    timeout_seconds: float | None = None,
) -> FoldedBatch:
    """Fold the next events after the checkpoint up to the horizon, in the READ COMMITTED transaction that is open.

    The horizon was asked in an earlier statement. The lock on the checkpoint makes every other projector wait, and
    go on from what this one leaves behind.

    Raises:
        ReadModelMissingError: the generation does not exist.
        ReadModelVersionError: another version of the projection made it.
        ReadModelOutOfStepError: a row is not at the checkpoint.
        UnknownEventTypeError: the next event is one that the fold does not know; it is never skipped.
    """
    position = await lock_checkpoint(connection, projection, generation)
    await enter(connection, projection, generation)
    batch = await next_batch(connection, projection, after=position, horizon=horizon, events_max=events_max)
    if batch.events == 0:
        return FoldedBatch(position, 0)
    try:
        await projection.fold(connection, after=position, upto=batch.position, timeout_seconds=timeout_seconds)
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != _STEP_CONSTRAINT:
            raise
        raise ReadModelOutOfStepError(projection.name) from error
    name = generation.checkpoint_of(projection)
    if await connection.fetchval(query("advance_checkpoint"), name, position, batch.position) is None:
        raise CheckpointMovedError(name=name, position=position)
    return batch


async def next_batch(
    connection: asyncpg.Connection, projection: Projection, *, after: int, horizon: int, events_max: int
) -> FoldedBatch:
    """Return the end and the size of the next batch after a position; raises UnknownEventTypeError as above."""
    if horizon <= after:
        return FoldedBatch(after, 0)
    known = orjson.dumps(dict(projection.schema_versions)).decode()
    [row] = await connection.fetch(query("next_batch"), after, horizon, events_max, known)
    upto, events, unknown = row
    if unknown is None:
        return FoldedBatch(after if upto is None else upto, events)
    before = await next_batch(connection, projection, after=after, horizon=unknown - 1, events_max=events_max)
    if before.events == 0:
        [(event_type, schema_version)] = await connection.fetch(query("event_at"), unknown)
        raise UnknownEventTypeError(event_type=event_type, schema_version=schema_version)
    return before
