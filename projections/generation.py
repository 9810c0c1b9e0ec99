"""A generation of a read model: the live one in the schema `projections`, or the next one that a rebuild makes.

A generation is its tables in one schema, and its checkpoint. Whoever holds the lock on the checkpoint's row is the
only one who folds into it, swaps it or makes it anew.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import asyncpg

from ledger.queries import query
from projections.errors import ReadModelMissingError, ReadModelVersionError
from projections.projection import Projection, SqlProjection


@dataclass(frozen=True, slots=True)
class Generation:
    """Where a generation lives."""

    schema: str
    checkpoint_suffix: str

    def checkpoint_of(self, projection: Projection) -> str:
        """Return the name of the generation's checkpoint."""
        return f"projection:{projection.name}{self.checkpoint_suffix}"


LIVE = Generation(schema="projections", checkpoint_suffix="")
NEXT = Generation(schema="projections_next", checkpoint_suffix=":next")


_READERS_WAIT = 3  # the step of set_aside_statements from which on they do
_MARK = re.compile(r"version (\d+)")


async def lock_checkpoint(connection: asyncpg.Connection, projection: Projection, generation: Generation) -> int:
    """Wait until nobody else folds into the generation, and return its position.

    Raises:
        ReadModelMissingError: it has no checkpoint.
    """
    position = await connection.fetchval(query("lock_checkpoint"), generation.checkpoint_of(projection))
    if position is None:
        raise ReadModelMissingError(projection.name)
    return int(position)


async def enter(connection: asyncpg.Connection, projection: Projection, generation: Generation) -> None:
    """Make the tables' names mean this generation for the rest of the transaction.

    Raises:
        ReadModelMissingError: it has no tables.
        ReadModelVersionError: another version of the projection made them.
    """
    await connection.execute(query("enter_generation"), generation.schema)
    version = await read_version(connection, projection, generation)
    if version is None:
        raise ReadModelMissingError(projection.name)
    if version != projection.version:
        raise ReadModelVersionError(name=projection.name, made_by=version, expected=projection.version)


async def read_version(
    connection: asyncpg.Connection, projection: Projection, generation: Generation
) -> int | None:
    """Return which version of the projection made the generation: 0 is not known, None is no generation."""
    mark = await connection.fetchval(query("generation_mark"), generation.schema, projection.tables[0])
    if mark is None:
        return None
    match = _MARK.fullmatch(mark)
    return int(match[1]) if match else 0


async def make_missing_live(
    connection: asyncpg.Connection, projection: Projection, *, timeout_seconds: float | None = None
) -> bool:
    """Make a live generation where its tables or its checkpoint are missing; return whether they were.

    It is empty but for the tasks of months that are kept beside the log: only these will not be met again in it.
    """
    name = LIVE.checkpoint_of(projection)
    async with connection.transaction(isolation="read_committed"):
        is_new = (await connection.execute(query("ensure_checkpoint"), name)).endswith(" 1")
        await lock_checkpoint(connection, projection, LIVE)
        if not is_new and await read_version(connection, projection, LIVE) is not None:
            return False
        await make_tables(connection, projection, LIVE)
        if isinstance(projection, SqlProjection):
            await connection.execute(query("hold_log"))  # no month moves until the projector may begin
            await enter(connection, projection, LIVE)
            await projection.fold_kept_months(connection, timeout_seconds=timeout_seconds)
        for statement in projection.index_statements:
            await connection.execute(statement)
        await connection.execute(query("set_checkpoint"), name, 0)
    return True


async def make_tables(connection: asyncpg.Connection, projection: Projection, generation: Generation) -> None:
    """Make the generation's tables, empty; what was left of an earlier try is dropped."""
    await drop_tables(connection, projection, generation)
    await connection.execute(query("enter_generation"), generation.schema)
    await connection.execute(projection.table_statements)
    tables = list(projection.tables)
    sharing = (generation.schema, tables, f"version {projection.version}")
    await _execute_all(connection, await _texts(connection, "share_table_statements", *sharing))


async def analyze_tables(
    connection: asyncpg.Connection,
    projection: Projection,
    generation: Generation,
    *,
    timeout_seconds: float | None = None,
) -> None:
    """Tell the planner what is in the generation's tables."""
    analyses = await _texts(connection, "analyze_statements", generation.schema, list(projection.tables))
    await _execute_all(connection, analyses, timeout_seconds=timeout_seconds)


async def drop_tables(connection: asyncpg.Connection, projection: Projection, generation: Generation) -> None:
    """Drop the generation's tables, as far as they exist."""
    tables = list(projection.tables)
    await _execute_all(connection, await _texts(connection, "drop_table_statements", generation.schema, tables))


async def prepare_replacement(connection: asyncpg.Connection, projection: Projection) -> str:
    """Free the names of what belongs to the live tables, and return the statements that replace the tables.

    A vacuum gives way only after deadlock_timeout: that is waited for here, where readers do not wait as well.

    They are all known beforehand and sent at once, because readers wait while they run. The old tables are set
    aside, because the files of a large one take long to remove: drop_past does that.
    """
    tables = list(projection.tables)
    aside = await connection.fetch(query("set_aside_statements"), LIVE.schema, tables, NEXT.schema)
    moves = await _texts(connection, "move_table_statements", NEXT.schema, LIVE.schema, tables)
    await _execute_all(connection, [row["statement"] for row in aside if row["step"] < _READERS_WAIT])
    return "; ".join([*(row["statement"] for row in aside if row["step"] == _READERS_WAIT), *moves])


async def drop_past(connection: asyncpg.Connection) -> None:
    """Drop the tables that swaps have set aside."""
    await _execute_all(connection, await _texts(connection, "drop_past_statements", NEXT.schema))


async def _texts(connection: asyncpg.Connection, name: str, *arguments: object) -> list[str]:
    return [str(row[0]) for row in await connection.fetch(query(name), *arguments)]


async def _execute_all(
    connection: asyncpg.Connection, statements: Iterable[str], *, timeout_seconds: float | None = None
) -> None:
    for statement in statements:
        await connection.execute(statement, timeout=timeout_seconds)
