"""Projections of a user's own, as the tests define them."""

from collections.abc import Sequence
from pathlib import Path

import asyncpg

from ledger.store.records import RecordedEvent
from projections.projection import PythonProjection, SqlProjection
from projections.sql_file import sql_projection

KINDS_FILE = """-- projection: kinds
-- version: 1
-- tables: kinds
-- events: task.submitted 2

-- part: table
CREATE TABLE kinds (kind text PRIMARY KEY, tasks bigint NOT NULL);

-- part: indexes
CREATE INDEX kinds_by_tasks ON kinds (tasks);

-- part: fold
INSERT INTO kinds
SELECT data ->> 'kind', count(*) FROM batch WHERE type = 'task.submitted' GROUP BY 1 ORDER BY 1
ON CONFLICT (kind) DO UPDATE SET tasks = kinds.tasks + excluded.tasks;

-- part: differences
SELECT coalesce(expected.kind, found.kind), 'tasks', expected.tasks::text, found.tasks::text
  FROM pg_temp.kinds AS expected
  FULL JOIN projections.kinds AS found ON found.kind = expected.kind
 WHERE expected.tasks IS DISTINCT FROM found.tasks
 ORDER BY 1
 LIMIT $1;
"""


def kinds_in(folder: Path) -> SqlProjection:
    """Write a projection to a file, and read it from there."""
    path = folder / "kinds.sql"
    path.write_text(KINDS_FILE, "utf-8")
    return sql_projection(path)


async def _note(connection: asyncpg.Connection, events: Sequence[RecordedEvent]) -> None:
    await connection.executemany("INSERT INTO seen (id) VALUES ($1)", [(event.event_id,) for event in events])


SEEN = PythonProjection(
    name="seen", version=1, tables=("seen",), table_statements="CREATE TABLE seen (id text PRIMARY KEY)",
    apply=_note,
    difference_statement="""SELECT coalesce(expected.id, found.id), 'row', expected.id, found.id
                              FROM pg_temp.seen AS expected
                              FULL JOIN projections.seen AS found ON found.id = expected.id
                             WHERE expected.id IS NULL OR found.id IS NULL
                             ORDER BY 1
                             LIMIT $1""",
)  # fmt: skip
