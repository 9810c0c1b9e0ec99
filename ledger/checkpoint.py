"""The checkpoint of a leader: compared and set on the connection that holds its lead."""

from typing import Self

import asyncpg

from ledger.errors import LeadershipLostError
from ledger.queries import query
from ledger.store.connection import translated


class Checkpoint:
    """A position in the log under a name; made by `read`."""

    def __init__(self, connection: asyncpg.Connection, name: str, *, position: int) -> None:
        self._connection = connection
        self._name = name
        self.position = position

    @classmethod
    async def read(cls, connection: asyncpg.Connection, name: str) -> Self:
        """Return the checkpoint of this name; one that is new stands before the first event."""
        with translated():
            await connection.execute(query("ensure_checkpoint"), name)
            position = await connection.fetchval(query("read_checkpoint"), name)
        return cls(connection, name, position=int(position))

    async def advance(self, position: int) -> None:
        """Move on to a position.

        Raises:
            LeadershipLostError: somebody else has moved the checkpoint.
            StoreUnavailableError: the connection, and the lead with it, is lost.
        """
        with translated():
            advanced = await self._connection.fetchval(
                query("advance_checkpoint"), self._name, self.position, position
            )
        if advanced is None:
            raise LeadershipLostError(self._name)
        self.position = position
