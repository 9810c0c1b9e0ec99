"""Tasks as the subject of a bulk act: they are retried, or cancelled."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct
from ledger.bulk_acts.subject import act_on_tasks
from ledger.bulk_acts.task_choice import ChosenTask, TaskAct, TaskChoice
from ledger.commands import Decision
from ledger.dead_letters.letters import Place
from ledger.read_model import fetch_rows
from ledger.task import Task
from ledger.task_words import Status

# The moments that a task id can tell, with room for a day on either side.
_FIRST = datetime(1970, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)
_ABOVE_ALL = UUID(int=2**128 - 1)


class TaskSubject:
    """The tasks that a choice finds: the read model finds them, the stream of each has the last word."""

    def __init__(self, ledger: Ledger, choice: TaskChoice) -> None:
        self._ledger = ledger
        self._choice = choice

    async def count(self) -> int:
        """Return how many there are."""
        rows = await fetch_rows(self._ledger.database, "count_chosen_tasks", *self._asked(_LAST))
        return sum(row["count"] for row in rows)

    async def sample(self, *, limit: int) -> Sequence[ChosenTask]:
        """Return the newest of them."""
        return [_chosen(row) for row in await self._rows(_LAST, _ABOVE_ALL, limit)]

    async def page(self, bulk: BulkAct, *, limit: int) -> Sequence[Place]:
        """Return the next ones; what was submitted later is none of them."""
        below = _ABOVE_ALL if bulk.below is None else bulk.below.letter_id
        rows = await self._rows(bulk.upto, below, limit)
        return [Place(row["created_at"], row["task_id"]) for row in rows]

    async def act(self, bulk: BulkAct) -> int:
        """Act upon what is under way."""
        return await act_on_tasks(self._ledger, bulk, bulk.under_way, lambda task: self._decision(bulk, task))

    def _decision(self, bulk: BulkAct, task: Task) -> Decision | None:
        if task.status not in self._choice.status or task.discarded:
            return None
        intent, now = bulk.intent, self._ledger.clock.now
        if bulk.act is TaskAct.CANCELLED:
            if task.cancel_requested:
                return None
            return lambda task: task.request_cancel(actor=intent.origin.actor, reason=intent.reason, now=now())
        if task.finished_at is None or task.finished_at >= bulk.upto:  # it has run again since it was asked for
            return None
        return lambda task: task.retry(actor=intent.origin.actor, reason=intent.reason, now=now())

    def _asked(self, upto: datetime) -> tuple[object, ...]:
        choice = self._choice
        return (
            [str(one) for one in choice.status],
            choice.kind,
            choice.queue,
            choice.tags or None,
            choice.error_type,
            max(choice.created_after or _FIRST, _FIRST),
            max(min(choice.created_before or _LAST, upto), _FIRST),
        )

    async def _rows(self, upto: datetime, below: UUID, limit: int) -> Sequence[asyncpg.Record]:
        return await fetch_rows(self._ledger.database, "choose_tasks", *self._asked(upto), below, limit)


def _chosen(row: asyncpg.Record) -> ChosenTask:
    return ChosenTask(**{**dict(row), "status": Status(row["status"])})
