"""What one transaction sees of the ledger, a read model among it: all of one and the same time.

Positions are only a way to find the events, never what decides: they follow the order of the times but for the
instant between the drawing of a position and the taking of its time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from api.as_of import Interval
from api.errors import LedgerArchivedError
from api.json_response import timestamp
from api.ledger_counts import Count, Move
from ledger.queries import query
from projections.status_counts import CHANGES

# More than ever lies between the drawing of a position and the taking of its event's time.
_SLACK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a transaction sees of the ledger, and how far the read model was then that the question is about."""

    connection: asyncpg.Connection
    checkpoint: int

    async def position_before(self, moment: datetime) -> int:
        """Return a position up to which nothing was recorded after a moment."""
        return await self._position_of(moment - _SLACK)

    async def position_beyond(self, moment: datetime) -> int:
        """Return a position after which nothing was recorded by a moment."""
        return await self._position_of(moment + _SLACK)

    async def _position_of(self, moment: datetime) -> int:
        return int(await self.connection.fetchval(query("position_of_moment"), moment))

    async def refuse_archived(self, moment: datetime, *, until: datetime | None = None) -> None:
        """Raise LedgerArchivedError where archived events were recorded after a moment, by tasks that were there.

        A month that was recorded as a whole before it, or after it, changes nothing of what was then. With `until`
        no archived event may lie between the two.
        """
        rows = await self.connection.fetch(query("archived_across"), moment, until or moment)
        if rows:
            asked = f"as of {timestamp(moment)}" if until is None else f"since {timestamp(moment)}"
            raise LedgerArchivedError(asked=asked, months=[row["month"] for row in rows])

    async def counts(self, moment: datetime) -> Sequence[Count]:
        """Return how many tasks there were: the sum of `status_counts`, and what the events after that added."""
        whole_upto = min(self.checkpoint, await self.position_before(moment))
        counted_upto = await self.connection.fetchval(query("counted_upto"), whole_upto)
        statement = "\n".join((query("batch_until"), CHANGES, query("count_tasks_as_it_was")))
        rows = await self.connection.fetch(statement, counted_upto, await self.position_beyond(moment), moment)
        return [Count(*row) for row in rows]

    async def moves(self, interval: Interval) -> Sequence[Move]:
        """Return how tasks moved between two moments."""
        rows = await self.connection.fetch(
            query("moves_between"),
            await self.position_before(interval.since),
            await self.position_beyond(interval.until),
            interval.since,
            interval.until,
        )
        return [Move(*row) for row in rows]
