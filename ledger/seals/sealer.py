"""The sealer: reads the log up to the append horizon, and puts a seal on what has come since the last one.

A chore of the scheduler, in pages, so that whatever else runs in its process gets its turn; an append costs
nothing. Its checkpoint is the chain itself: the next seal goes in by its number and its predecessor's hash, or
not at all. So two sealers cannot seal a range twice, and one that is killed leaves nothing half done.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.queries import query
from ledger.seals.leaf import leaves_of
from ledger.seals.merkle import tree_root
from ledger.seals.seal import Leaf, Seal, newest_seal, pack_leaves
from ledger.settings import Settings

log = structlog.get_logger()

ROWS_MAX = 500
_INTERVAL_SECONDS_MIN = 0.05
_INTERVAL_SECONDS_MAX = 2.0


def seal_interval_seconds(settings: Settings) -> float:
    """Return how long the sealer waits before it looks again."""
    return min(max(settings.seal_seconds / 2, _INTERVAL_SECONDS_MIN), _INTERVAL_SECONDS_MAX)


class Sealer:
    """Seals the log; any number of them may run."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._events_max = ledger.settings.seal_events_max
        self._age_max = timedelta(seconds=ledger.settings.seal_seconds)

    async def run_once(self) -> int:
        """Seal whatever is due; return how many events were sealed.

        Due are LEDGER_SEAL_EVENTS_MAX events, or fewer where the last seal is LEDGER_SEAL_SECONDS old.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        sealed = 0
        while events := await self._seal_next():
            sealed += events
        return sealed

    async def _seal_next(self) -> int:
        began_at = time.monotonic()
        horizon = await self._ledger.store.safe_position()
        async with self._ledger.database.connection() as connection:
            previous = await newest_seal(connection)
            after = previous.upto if previous else 0
            if horizon <= after:
                return 0
            now = await connection.fetchval(query("database_time"))
            is_overdue = previous is None or now - previous.sealed_at >= self._age_max
            if horizon - after < self._events_max and not is_overdue:
                return 0
            leaves = await _read_leaves(connection, after=after, upto=horizon, limit=self._events_max)
            if not leaves or (len(leaves) < self._events_max and not is_overdue):
                return 0
            root = tree_root([leaf.hash for leaf in leaves])
            seal = Seal.following(previous, upto=leaves[-1].position, events=len(leaves), root=root, sealed_at=now)
            if not await _insert(connection, seal, leaves):
                return 0
        log.info("ledger.sealed", seal=seal.number, upto=seal.upto, events=seal.events, seconds=_since(began_at))
        return seal.events


async def read_pages(
    connection: asyncpg.Connection, *, after: int, upto: int, limit: int | None = None
) -> AsyncGenerator[list[asyncpg.Record], None]:
    """Yield the log between two positions as ledger.seals.leaf wants it, a page at a time, through a cursor.

    A cursor sees one state and stumbles over nothing, whatever somebody did to the positions.
    """
    async with connection.transaction():
        cursor = await connection.cursor(query("read_leaf_rows"), after, upto, limit)
        while page := await cursor.fetch(ROWS_MAX):
            yield page


async def _read_leaves(connection: asyncpg.Connection, *, after: int, upto: int, limit: int) -> list[Leaf]:
    leaves: list[Leaf] = []
    async with aclosing(read_pages(connection, after=after, upto=upto, limit=limit)) as pages:
        async for rows in pages:
            leaves += [Leaf(row[0], one) for row, one in zip(rows, leaves_of(rows), strict=True)]
    return leaves


async def _insert(connection: asyncpg.Connection, seal: Seal, leaves: list[Leaf]) -> bool:
    facts = [getattr(seal, name) for name in Seal.__dataclass_fields__]
    return await connection.fetchval(query("insert_seal"), *facts, pack_leaves(leaves)) is not None


def _since(moment: float) -> float:
    return round(time.monotonic() - moment, 3)
