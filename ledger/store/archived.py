"""The tasks whose month left the log: an empty stream of theirs is no sign that there is no such task."""

from uuid import UUID

import asyncpg

from ledger.errors import TaskArchivedError
from ledger.queries import query


async def refuse_archived(connection: asyncpg.Connection, task_id: UUID) -> None:
    """Raise TaskArchivedError where the events of a task would be in an archive."""
    row = await connection.fetchrow(query("archive_of_task"), task_id)
    if row is not None:
        raise TaskArchivedError(task_id, month=f"{row['month']:%Y-%m}", file=row["file"])
