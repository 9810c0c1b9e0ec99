"""The releaser: makes pending tasks ready when their time has come, or lets their queue hold them."""

from datetime import UTC, datetime
from uuid import UUID

from ledger.batch_decisions import BatchDecider
from ledger.bootstrap import Ledger
from ledger.read_model import fetch_rows
from ledger.task import Task
from ledger.task_words import ReleaseReason, Status

_FIRST_PAGE = (datetime.fromtimestamp(0, UTC), UUID(int=0))


class Releaser:
    """Releases due tasks; any number of them may run, a task is released once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._batch_size_max = ledger.settings.scheduler_batch_size_max
        self._decider = BatchDecider(ledger, actor="scheduler")

    async def run_once(self) -> int:
        """Release everything that is due, the longest due first; return how many tasks that were."""
        await self._ledger.policies.freshen()
        released = 0
        after = _FIRST_PAGE
        while True:
            rows = await fetch_rows(self._ledger.database, "due_tasks", *after, self._batch_size_max)
            released += await self._decider.decide({row["task_id"]: row["version"] for row in rows}, self._release)
            if len(rows) < self._batch_size_max:
                return released
            after = (rows[-1]["release_at"], rows[-1]["task_id"])

    def _release(self, task: Task) -> None:
        if task.status is Status.PENDING and not task.ready and task.hold is None:
            hold = self._ledger.policies.hold_of_new(task.queue)
            if hold is not None:
                task.hold_back(reason=hold, now=self._ledger.clock.now())
                return
            is_first_run = task.attempt == 0 and task.failures == 0
            reason = ReleaseReason.DUE if is_first_run else ReleaseReason.RETRY
            task.release(reason=reason, now=self._ledger.clock.now())
