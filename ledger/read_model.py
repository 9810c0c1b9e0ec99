"""The read model as the scheduler sees it: a place to find tasks, never a place to decide about them.

What a query of `projections.task_status` finds may be out of date, or the table may not exist yet; the stream
of each task has the last word (ledger.batch_decisions).
"""

import asyncpg

from ledger.errors import StoreRefusedError
from ledger.queries import query
from ledger.store.connection import Database


async def fetch_rows(database: Database, name: str, *arguments: object) -> list[asyncpg.Record]:
    """Return the rows of a named query that reads the read model; none while its table does not exist.

    Raises:
        StoreUnavailableError: the database is out of reach.
        StoreRefusedError: it refused the query for any other reason.
    """
    try:
        async with database.connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query(name), *arguments)
    except StoreRefusedError as error:
        if isinstance(error.__cause__, asyncpg.UndefinedTableError):
            return []
        raise
    return rows
