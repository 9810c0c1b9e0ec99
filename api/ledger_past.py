"""The whole ledger as it was.

Theory of operation. An event counts at a moment when its `recorded_at`, by the database's clock, is that moment or
before. How many tasks there were is the sum of what `status_counts` has added up along the log, and of what the
few events add that lie between there and the moment; so it costs the same for any moment. How tasks moved between
two is told by all events in between. A page of tasks is the read model `task_status`, corrected by what was
recorded since.

Everything is read in one snapshot: in it, a read model, its checkpoint and the log are of one and the same time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from api.as_of import DiffQuery, LedgerQuery, past_interval, past_moment
from api.errors import PastOutOfReachError
from api.ledger_counts import count_body, counts_before, move_body
from api.past_pages import ListedTasks, PastPages
from api.past_snapshot import Snapshot
from api.read_model import TaskFilter, opened_tasks
from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError, StoreUnavailableError
from ledger.payloads.opening import Opening
from ledger.queries import query
from projections.errors import ReadModelMissingError
from projections.generation import LIVE
from projections.projection import Projection
from projections.status_counts import STATUS_COUNTS
from projections.task_status import TASK_STATUS

_UNDEFINED_TABLE = "42P01"
_QUERY_CANCELED = "57014"
_AT_ONCE_MAX = 2
_HOLDS = {TASK_STATUS.name: "hold_read_model", STATUS_COUNTS.name: "hold_status_counts"}


class LedgerPast:
    """Reads the past of all tasks together.

    Every method may raise PastOutOfReachError (more has to be gone through than can be in time),
    ReadModelMissingError and StoreUnavailableError; InvalidValueError says that a moment is still to come.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._store = ledger.store
        self._opening = Opening(ledger.vault)
        self._seconds_max = ledger.settings.as_of_seconds_max
        self._looked_at_max = ledger.settings.as_of_looked_at_max
        self._at_once = asyncio.Semaphore(_AT_ONCE_MAX)

    async def list(
        self, task_filter: TaskFilter, *, as_of: datetime, below: UUID | None, limit: int
    ) -> ListedTasks:
        """Return a page of the tasks as they were, newest first, of those older than `below`."""
        moment = past_moment(as_of, now=await self._store.database_time(), field="as_of")
        async with self._snapshot(moment, TASK_STATUS) as snapshot:
            await snapshot.refuse_archived(moment)
            pages = PastPages(snapshot, moment, self._looked_at_max)
            page = await pages.read(task_filter, below=below, limit=limit)
        return replace(page, tasks=await opened_tasks(self._opening, page.tasks))

    async def counts(self, asked: LedgerQuery) -> dict[str, object]:
        """Return how many tasks there were, by status, queue and kind, as the API answers it."""
        moment = past_moment(asked.as_of, now=await self._store.database_time(), field="as_of")
        is_settled = await self._is_settled(moment)
        async with self._snapshot(moment, STATUS_COUNTS) as snapshot:
            await snapshot.refuse_archived(moment)
            counts = await snapshot.counts(moment)
        return {"as_of": moment, "settled": is_settled, **count_body(counts)}

    async def diff(self, asked: DiffQuery) -> dict[str, object]:
        """Return how many tasks there were at two moments, and how they moved, as the API answers it."""
        interval = past_interval(asked, now=await self._store.database_time())
        is_settled = await self._is_settled(interval.until)
        async with self._snapshot(interval.since, STATUS_COUNTS) as snapshot:
            await snapshot.refuse_archived(interval.since, until=interval.until)
            moves = await snapshot.moves(interval)
            after = await snapshot.counts(interval.until)
        return {
            "from": {"as_of": interval.since, **count_body(counts_before(after, moves))},
            "to": {"as_of": interval.until, **count_body(after)},
            "settled": is_settled,
            **move_body(moves),
        }

    async def _is_settled(self, moment: datetime) -> bool:
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(query("is_settled"), moment))

    @asynccontextmanager
    async def _snapshot(self, moment: datetime, projection: Projection) -> AsyncIterator[Snapshot]:
        try:
            async with (
                self._at_once,
                self._database.connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(query(_HOLDS[projection.name]))
                # The bound of the next line would take the snapshot, and a month could leave between the two.
                try:
                    await connection.execute(query("hold_log"), timeout=self._seconds_max)
                except TimeoutError as error:
                    raise PastOutOfReachError(moment=moment, seconds_max=self._seconds_max) from error
                await connection.execute(query("bound_past"), f"{self._seconds_max * 1000:.0f}")
                name = LIVE.checkpoint_of(projection)
                checkpoint = await connection.fetchval(query("read_checkpoint"), name)
                yield Snapshot(connection, checkpoint or 0)
        except StoreRefusedError as error:
            if getattr(error.__cause__, "sqlstate", None) == _UNDEFINED_TABLE:
                raise ReadModelMissingError(projection.name) from error
            raise
        except StoreUnavailableError as error:
            if getattr(error.__cause__, "sqlstate", None) == _QUERY_CANCELED:
                raise PastOutOfReachError(moment=moment, seconds_max=self._seconds_max) from error
            raise
