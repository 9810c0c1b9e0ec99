"""The steps that a rebuild has done: a rebuild that was killed is taken up after the last of them.

Each step is a row beside the checkpoint of the next generation and commits together with its work. So a slice of
tasks is folded and noted, or neither; what was in the middle is done again.
"""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ledger.queries import query
from projections.generation import NEXT, make_tables, read_version
from projections.projection import Projection
from projections.slices import Slice


@dataclass(frozen=True, slots=True)
class StepsDone:
    """Where a rebuild begins.

    Attributes:
        position: of the next generation; 0 while its slices are not all folded.
        horizon: up to which they are folded; None where there is none yet.
        slices: those that are folded.
        indexes: the numbers of the index statements that are done.
    """

    position: int = 0
    horizon: int | None = None
    slices: tuple[Slice, ...] = ()
    indexes: frozenset[int] = frozenset()


async def take_up(connection: asyncpg.Connection, projection: Projection) -> StepsDone:
    """Return what an earlier rebuild of the same version has done; without one make the next generation, empty."""
    position = await connection.fetchval(query("read_checkpoint"), NEXT.checkpoint_of(projection))
    made_by = await read_version(connection, projection, NEXT)
    if position is None or made_by != projection.version:
        await _begin(connection, projection)
        return StepsDone()
    rows = await connection.fetch(query("steps_done"), _prefix(projection))
    steps = [(name.removeprefix(_prefix(projection)).split(":"), horizon) for name, horizon in rows]
    slices = [Slice(UUID(first), UUID(last)) for (first, last), _ in steps if first != "index"]
    return StepsDone(
        position=position,
        horizon=position or max((horizon for _, horizon in steps), default=0) or None,
        slices=tuple(sorted(slices, key=lambda portion: portion.first)),
        indexes=frozenset(int(number) for (first, number), _ in steps if first == "index"),
    )


async def note_slice(
    connection: asyncpg.Connection, projection: Projection, portion: Slice, *, horizon: int
) -> None:
    """Note that a slice is folded, in the transaction that folds it."""
    step = f"{_prefix(projection)}{portion.first}:{portion.last}"
    await connection.execute(query("set_checkpoint"), step, horizon)


async def note_index(connection: asyncpg.Connection, projection: Projection, number: int) -> None:
    """Note that an index statement is done, in the transaction that does it."""
    await connection.execute(query("set_checkpoint"), f"{_prefix(projection)}index:{number}", 0)


async def forget_steps(connection: asyncpg.Connection, projection: Projection) -> None:
    """Let the next rebuild begin anew, or find that this one is done."""
    await connection.execute(query("drop_checkpoint"), NEXT.checkpoint_of(projection))
    await connection.execute(query("forget_steps"), _prefix(projection))


async def _begin(connection: asyncpg.Connection, projection: Projection) -> None:
    async with connection.transaction(isolation="read_committed"):
        await forget_steps(connection, projection)
        await make_tables(connection, projection, NEXT)
        await connection.execute(query("set_checkpoint"), NEXT.checkpoint_of(projection), 0)


def _prefix(projection: Projection) -> str:
    return f"{NEXT.checkpoint_of(projection)}:"
