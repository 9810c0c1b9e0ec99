"""The whole ledger as it was: the read model, corrected by what was recorded since.

Theory of operation. An event counts at a moment when its `recorded_at`, by the database's clock, is that moment or
before. A task without an event recorded since is what its row in the read model says; only the others, and those
that the read model has not folded to their end, are looked up in their streams. So a question costs what happened
since the moment; where a settled moment was counted before, counts cost what happened between the two.

Everything is read in one snapshot: in it, the read model, its checkpoint and the log are of one and the same time.
Positions are only a way to find the events, never what decides: they follow the order of the times but for the
instant between the drawing of a position and the taking of its time.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from api.as_of import DiffQuery, Interval, LedgerQuery, past_interval, past_moment
from api.errors import LedgerArchivedError, PastOutOfReachError
from api.json_response import timestamp
from api.kept_counts import CountsKeeper, KeptCounts
from api.ledger_counts import Count, Move, count_body, counts_after, counts_before, move_body
from api.read_model import (
    ABOVE_ALL,
    FIRST,
    LAST,
    TaskFilter,
    TaskSummary,
    opened_tasks,
    summary_of,
    summary_of_row,
    view_of,
)
from api.task_past import recorded_until
from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError, StoreUnavailableError
from ledger.payloads.opening import Opening
from ledger.queries import query
from ledger.store.records import RecordedEvent
from projections.errors import ReadModelMissingError
from projections.generation import LIVE
from projections.task_status import TASK_STATUS

_UNDEFINED_TABLE = "42P01"
_QUERY_CANCELED = "57014"
_AT_ONCE_MAX = 2
_MOMENTS_KEPT_MAX = 32
# More than ever lies between the drawing of a position and the taking of its event's time.
_SLACK = timedelta(minutes=1)
# A task's id tells when it was submitted, by the clock of whoever submitted it.
_CLOCKS_DIFFER_MAX = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a transaction sees of the ledger, and how far the read model was then."""

    connection: asyncpg.Connection
    checkpoint: int

    async def position_of(self, moment: datetime) -> int:
        """Return the position that parts the log at a moment, as far as positions can tell."""
        return int(await self.connection.fetchval(query("position_of_moment"), moment))

    async def rows(self, tail: str, moment: datetime, below: UUID, *arguments: object) -> list[asyncpg.Record]:
        """Return the rows of a question about a moment, among tasks with ids below one."""
        after = min(self.checkpoint, await self.position_of(moment - _SLACK))
        statement = "\n".join((query("as_it_was"), tail))
        rows: list[asyncpg.Record] = await self.connection.fetch(
            statement, after, moment, self.checkpoint, below, *arguments
        )
        return rows

    async def refuse_archived(self, moment: datetime, *, until: datetime | None = None) -> None:
        """Raise LedgerArchivedError where archived events were recorded after a moment, by tasks that were there.

        A month that was recorded as a whole before it, or after it, changes nothing of what was then. With `until`
        no archived event may lie between the two.
        """
        rows = await self.connection.fetch(query("archived_across"), moment, until or moment)
        if rows:
            asked = f"as of {timestamp(moment)}" if until is None else f"since {timestamp(moment)}"
            raise LedgerArchivedError(asked=asked, months=[row["month"] for row in rows])

    async def counts(self, moment: datetime) -> list[Count]:
        """Return how many tasks there were, from the read model and what was recorded since."""
        return [Count(*row) for row in await self.rows(query("count_tasks_as_it_was"), moment, ABOVE_ALL)]

    async def moves(self, interval: Interval) -> list[Move]:
        """Return how tasks moved between two moments."""
        rows = await self.connection.fetch(
            query("moves_between"),
            await self.position_of(interval.since - _SLACK),
            await self.position_of(interval.until + _SLACK),
            interval.since,
            interval.until,
        )
        return [Move(*row) for row in rows]


class LedgerPast:
    """Reads the past of all tasks together.

    Every method may raise PastOutOfReachError (too much was recorded since the moment to go through it in time),
    ReadModelMissingError and StoreUnavailableError; InvalidValueError says that a moment is still to come.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._store = ledger.store
        self._opening = Opening(ledger.vault)
        self._seconds_max = ledger.settings.as_of_seconds_max
        self._kept = CountsKeeper(moments_max=_MOMENTS_KEPT_MAX)
        self._at_once = asyncio.Semaphore(_AT_ONCE_MAX)

    async def list(
        self, task_filter: TaskFilter, *, as_of: datetime, below: UUID | None, limit: int
    ) -> Sequence[TaskSummary]:
        """Return a page of the tasks as they were, newest first, of those older than `below`."""
        moment = past_moment(as_of, now=await self._store.database_time(), field="as_of")
        newest = _least_id(min(moment + _CLOCKS_DIFFER_MAX, LAST))
        async with self._snapshot(moment) as snapshot:
            await snapshot.refuse_archived(moment)
            rows = await snapshot.rows(
                query("list_tasks_as_it_was"),
                moment,
                min(below or ABOVE_ALL, newest),
                task_filter.statuses,
                task_filter.kind,
                task_filter.queue,
                task_filter.tags,
                max(task_filter.created_after or FIRST, FIRST),
                max(task_filter.created_before or LAST, FIRST),
                limit,
            )
            changed = [row["task_id"] for row in rows if row["is_changed"]]
            found = await snapshot.connection.fetch(query("read_streams"), changed) if changed else []
        streams: dict[UUID, list[RecordedEvent]] = {task_id: [] for task_id in changed}
        for row in found:
            streams[row["task_id"]].append(RecordedEvent(*row))
        tasks = [
            summary_of(view_of(recorded_until(streams[row["task_id"]], moment)))
            if row["is_changed"]
            else summary_of_row(dict(row))
            for row in rows
        ]
        return await opened_tasks(self._opening, tasks)

    async def counts(self, asked: LedgerQuery) -> dict[str, object]:
        """Return how many tasks there were, by status, queue and kind, as the API answers it."""
        moment = past_moment(asked.as_of, now=await self._store.database_time(), field="as_of")
        is_settled = await self._is_settled(moment)
        async with self._snapshot(moment) as snapshot:
            await snapshot.refuse_archived(moment)
            counts = await self._counts(snapshot, moment, is_settled=is_settled)
        return {"as_of": moment, "settled": is_settled, **count_body(counts)}

    async def diff(self, asked: DiffQuery) -> dict[str, object]:
        """Return how many tasks there were at two moments, and how they moved, as the API answers it."""
        interval = past_interval(asked, now=await self._store.database_time())
        is_settled = await self._is_settled(interval.until)
        async with self._snapshot(interval.since) as snapshot:
            await snapshot.refuse_archived(interval.since, until=interval.until)
            moves = await snapshot.moves(interval)
            after = await self._counts(snapshot, interval.until, is_settled=is_settled)
        return {
            "from": {"as_of": interval.since, **count_body(counts_before(after, moves))},
            "to": {"as_of": interval.until, **count_body(after)},
            "settled": is_settled,
            **move_body(moves),
        }

    async def _counts(self, snapshot: Snapshot, moment: datetime, *, is_settled: bool) -> Sequence[Count]:
        position = await snapshot.position_of(moment)
        kept = self._kept.nearest(position)
        if kept is None or abs(kept.position - position) > snapshot.checkpoint - position + kept.total:
            counts: Sequence[Count] = await snapshot.counts(moment)
        elif moment < kept.moment:
            counts = counts_before(kept.counts, await snapshot.moves(Interval(moment, kept.moment)))
        else:
            counts = counts_after(kept.counts, await snapshot.moves(Interval(kept.moment, moment)))
        if is_settled:
            self._kept.keep(KeptCounts(moment, position, counts))
        return counts

    async def _is_settled(self, moment: datetime) -> bool:
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(query("is_settled"), moment))

    @asynccontextmanager
    async def _snapshot(self, moment: datetime) -> AsyncIterator[Snapshot]:
        try:
            async with (
                self._at_once,
                self._database.connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(query("hold_read_model"))
                # The bound of the next line would take the snapshot, and a month could leave between the two.
                try:
                    await connection.execute(query("hold_log"), timeout=self._seconds_max)
                except TimeoutError as error:
                    raise PastOutOfReachError(moment=moment, seconds_max=self._seconds_max) from error
                await connection.execute(query("bound_past"), f"{self._seconds_max * 1000:.0f}")
                name = LIVE.checkpoint_of(TASK_STATUS)
                checkpoint = await connection.fetchval(query("read_checkpoint"), name)
                yield Snapshot(connection, checkpoint or 0)
        except StoreRefusedError as error:
            if getattr(error.__cause__, "sqlstate", None) == _UNDEFINED_TABLE:
                raise ReadModelMissingError(TASK_STATUS.name) from error
            raise
        except StoreUnavailableError as error:
            if getattr(error.__cause__, "sqlstate", None) == _QUERY_CANCELED:
                raise PastOutOfReachError(moment=moment, seconds_max=self._seconds_max) from error
            raise


def _least_id(moment: datetime) -> UUID:
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80)
