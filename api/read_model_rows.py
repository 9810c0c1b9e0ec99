"""Rows of a read model that has no stream to fall back to: they are there, or it says what is missing."""

from collections.abc import Sequence

import asyncpg

from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError
from ledger.queries import query
from projections.errors import ReadModelMissingError
from projections.projection import Projection

_UNDEFINED_TABLE = "42P01"


async def read_rows(
    ledger: Ledger, projection: Projection, name: str, *arguments: object
) -> Sequence[asyncpg.Record]:
    """Return the rows of a named query.

    Raises:
        ReadModelMissingError: the read model does not exist.
        StoreUnavailableError: the database is out of reach.
    """
    try:
        async with ledger.database.connection() as connection:
            rows: Sequence[asyncpg.Record] = await connection.fetch(query(name), *arguments)
    except StoreRefusedError as error:
        if getattr(error.__cause__, "sqlstate", None) == _UNDEFINED_TABLE:
            raise ReadModelMissingError(projection.name) from error
        raise
    return rows
