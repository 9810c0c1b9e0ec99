"""A page of the tasks as they were at a moment.

Theory of operation. Kind, queue, tags and the time of the submission never change, so the read model finds the
tasks that were there. One that nothing was recorded of since is what its row says; the others, and those that the
read model has not folded to their end, are looked up in their streams.

The walk goes down the ids from the newest task of the moment, as far as the page takes. Where few tasks had the
status that is asked for, that could be all the way down: so it looks at so many tasks at most, and the next page
goes on there. Where little was recorded since the moment, the page is whole instead: the read model's own index
has the tasks that have not changed since, and all the others are looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from api.past_snapshot import Snapshot
from api.read_model import ABOVE_ALL, FIRST, LAST, TaskFilter, TaskSummary, summary_of, summary_of_row, view_of
from api.task_past import recorded_until
from ledger.queries import query
from ledger.store.records import RecordedEvent

_BELOW_ALL = UUID(int=0)
# A task's id tells when it was submitted, by the clock of whoever submitted it.
_CLOCKS_DIFFER_MAX = timedelta(days=1)
# What was recorded since a moment is gone through rather than walked past, up to so many events.
_EVENTS_SINCE_MAX = 20_000


@dataclass(frozen=True, slots=True)
class ListedTasks:
    """Some tasks, newest first, and below which id the next page begins: None where there is none."""

    tasks: Sequence[TaskSummary]
    below: UUID | None


@dataclass(frozen=True, slots=True)
class PastPages:
    """Reads pages of the tasks as they were, looking at so many of them for one page at most."""

    snapshot: Snapshot
    moment: datetime
    looked_at_max: int

    async def read(self, task_filter: TaskFilter, *, below: UUID | None, limit: int) -> ListedTasks:
        """Return the page of those older than `below`; one that is not the last may have fewer than `limit`."""
        beyond = min(below or ABOVE_ALL, _least_id(min(self.moment + _CLOCKS_DIFFER_MAX, LAST)))
        after = min(self.snapshot.checkpoint, await self.snapshot.position_before(self.moment))
        floor: UUID | None = None
        if task_filter.statuses is None:
            rows = await self._walk(task_filter, beyond, floor, limit + 1)
        elif await self._events_after(after) <= _EVENTS_SINCE_MAX:
            rows = await self._look_up(task_filter, beyond, after, limit + 1)
        else:
            floor = await self._floor(task_filter, beyond)
            rows = await self._walk(task_filter, beyond, floor, limit + 1)
        tasks = await self._tasks(rows[:limit])
        return ListedTasks(tasks, tasks[-1].task_id if len(rows) > limit else floor)

    async def _events_after(self, position: int) -> int:
        last: int = await self.snapshot.connection.fetchval(query("last_position"))
        return last - position

    async def _look_up(
        self, task_filter: TaskFilter, beyond: UUID, after: int, limit: int
    ) -> Sequence[asyncpg.Record]:
        statement = "\n".join((query("as_it_was"), query("list_tasks_as_they_were")))
        rows: Sequence[asyncpg.Record] = await self.snapshot.connection.fetch(
            statement,
            after,
            self.moment,
            self.snapshot.checkpoint,
            beyond,
            task_filter.statuses,
            *_identity(task_filter),
            limit,
        )
        return rows

    async def _floor(self, task_filter: TaskFilter, beyond: UUID) -> UUID | None:
        floor: UUID | None = await self.snapshot.connection.fetchval(
            query("floor_of_walk"), self.moment, beyond, *_identity(task_filter), self.looked_at_max
        )
        return floor

    async def _walk(
        self, task_filter: TaskFilter, beyond: UUID, floor: UUID | None, limit: int
    ) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await self.snapshot.connection.fetch(
            query("walk_tasks_as_they_were"),
            self.snapshot.checkpoint,
            self.moment,
            beyond,
            floor or _BELOW_ALL,
            task_filter.statuses,
            *_identity(task_filter),
            limit,
        )
        return rows

    async def _tasks(self, rows: Sequence[asyncpg.Record]) -> Sequence[TaskSummary]:
        changed = [row["task_id"] for row in rows if row["is_changed"]]
        found = await self.snapshot.connection.fetch(query("read_streams"), changed) if changed else []
        streams: dict[UUID, list[RecordedEvent]] = {task_id: [] for task_id in changed}
        for row in found:
            streams[row["task_id"]].append(RecordedEvent(*row))
        return [
            summary_of(view_of(recorded_until(streams[row["task_id"]], self.moment)))
            if row["is_changed"]
            else summary_of_row(dict(row))
            for row in rows
        ]


def _identity(task_filter: TaskFilter) -> tuple[object, ...]:
    return (
        task_filter.kind,
        task_filter.queue,
        task_filter.tags,
        max(task_filter.created_after or FIRST, FIRST),
        max(task_filter.created_before or LAST, FIRST),
    )


def _least_id(moment: datetime) -> UUID:
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=max(milliseconds, 0) << 80)
