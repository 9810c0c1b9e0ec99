"""The admitter: lets through what the queues hold back, as far as their limits allow.

A task that a limit let through has a permit, written in the transaction of its Released{limit}; the permit counts
until the task's stream says that the attempt is over. So a permit is never left behind by a crash, and no limit is
ever exceeded by two admitters: they take turns at the lock of the queue's row. What a queue holds that has neither
a pause nor a limit (any more) is released at once.

What is not here: the tasks themselves come held from the submit, the scheduler and the workers' claims.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import structlog

from ledger.batch_decisions import BatchDecider
from ledger.bootstrap import Ledger
from ledger.codec import encode_pending, fold
from ledger.errors import UnknownEventTypeError
from ledger.outlook import Outlook
from ledger.queries import query
from ledger.queues.admission import Candidate
from ledger.queues.held_tasks import FIRST_GROUP, Group, HeldTasks
from ledger.queues.policies import policy_of
from ledger.queues.policy import QueuePolicy
from ledger.read_model import fetch_rows
from ledger.store.records import Origin, RecordedEvent, StreamAppend
from ledger.task import Task
from ledger.task_words import HoldReason, ReleaseReason, Status

log = structlog.get_logger()

_GAP_SECONDS = 0.05
_FIRST_PAGE = (-1, UUID(int=0))
_ORIGIN = Origin(actor="scheduler")


class Admitter:
    """Lets held tasks through; any number of them may run."""

    def __init__(self, ledger: Ledger) -> None:
        settings = ledger.settings
        self._ledger = ledger
        self._interval_seconds = settings.scheduler_interval_seconds
        self._batch_size_max = settings.scheduler_batch_size_max
        self._ahead_max = settings.admit_ahead_max
        self._decider = BatchDecider(ledger, actor="scheduler")
        self._begins: dict[str, Group] = {}
        self._undecidable: set[UUID] = set()
        self._is_limiting = False

    async def run(self, outlook: Outlook) -> None:
        """Let through for ever: at once when something was appended and a limit waits for that, else when held.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        async with self._ledger.store.appends() as signal:
            while True:
                await self.run_once()
                if self._is_limiting:
                    await asyncio.sleep(_GAP_SECONDS)
                    await signal.wait(self._interval_seconds)
                else:
                    await outlook.until_wanted("admit")

    async def run_once(self) -> int:
        """Let through what there is room for, in every queue; return how many tasks that were."""
        held = [row["queue"] for row in await fetch_rows(self._ledger.database, "held_queues")]
        if not held:
            self._is_limiting = False
            return 0
        policies = self._ledger.policies
        await policies.renew()
        admitted = 0
        self._is_limiting = False
        for queue in held:
            policy = policies.of(queue)
            if policy is None or policy.hold_of_new is None:
                admitted += await self._release_all(queue)
            elif policy.hold_of_new is HoldReason.LIMIT:
                self._is_limiting = True
                admitted += await self._admit(queue)
        return admitted

    async def tidy(self) -> int:
        """Forget permits and shares that count for nothing any more; return how many queues were looked at."""
        queues = [row["queue"] for row in await fetch_rows(self._ledger.database, "queues_with_permits")]
        for queue in queues:
            async with self._ledger.database.connection() as connection, connection.transaction():
                row = await connection.fetchrow(query("lock_queue"), queue)
                policy = QueuePolicy(name=queue) if row is None else policy_of(row)
                await HeldTasks(connection, policy, ahead_max=self._ahead_max).follow_permits()
        async with self._ledger.database.connection() as connection:
            await connection.execute(query("forget_tenant_shares"))
        return len(queues)

    async def _release_all(self, queue: str) -> int:
        released = 0
        after = _FIRST_PAGE
        while True:
            rows = await fetch_rows(self._ledger.database, "held_tasks", queue, *after, self._batch_size_max)
            released += await self._decider.decide({row["task_id"]: row["version"] for row in rows}, self._resume)
            if len(rows) < self._batch_size_max:
                return released
            after = (rows[-1]["rank"], rows[-1]["task_id"])

    def _resume(self, task: Task) -> None:
        if task.status is Status.PENDING and task.hold in (HoldReason.PAUSED, HoldReason.LIMIT):
            task.release(reason=ReleaseReason.RESUMED, now=self._ledger.clock.now())

    async def _admit(self, queue: str) -> int:
        async with self._ledger.database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(query("lock_queue"), queue)
            if row is None or policy_of(row).hold_of_new is not HoldReason.LIMIT:
                return 0  # it was changed a moment ago: the next round sees it
            found = HeldTasks(connection, policy_of(row), ahead_max=self._ahead_max)
            await found.follow_permits()
            selection = await found.select(row["virtual_time"], begin=self._begins.get(queue, FIRST_GROUP))
            self._begins[queue] = found.next_begin
            admitted = await self._let_through(connection, queue, selection.picks)
            if admitted:
                await found.keep(selection.turns)
        if admitted:
            self._ledger.store.wake_readers()
            log.debug("admitter.admitted", queue=queue, tasks=admitted)
        return admitted

    async def _let_through(self, connection: asyncpg.Connection, queue: str, picks: Sequence[Candidate]) -> int:
        picks = [pick for pick in picks if pick.task_id not in self._undecidable]
        if not picks:
            return 0
        streams = await self._ledger.store.read_streams([pick.task_id for pick in picks])
        appends = [
            append for pick in picks if (append := self._release(pick, streams.get(pick.task_id, []))) is not None
        ]
        appended = await self._ledger.store.append_each(appends, connection=connection)
        permits = [(pick, appended[pick.task_id].version) for pick in picks if pick.task_id in appended]
        await connection.execute(
            query("insert_permits"),
            queue,
            [pick.task_id for pick, _ in permits],
            [version for _, version in permits],
            [pick.key for pick, _ in permits],
        )
        return len(permits)

    def _release(self, pick: Candidate, stream: Sequence[RecordedEvent]) -> StreamAppend | None:
        # The read model may be behind: only a task that still is where it was seen is let through.
        if not stream or stream[-1].version != pick.version:
            return None
        try:
            task = fold(stream)
        except UnknownEventTypeError:
            log.exception("task.undecidable", task_id=str(pick.task_id), position=stream[-1].position)
            self._undecidable.add(pick.task_id)
            return None
        if task is None or task.hold not in (HoldReason.PAUSED, HoldReason.LIMIT):
            return None
        task.release(reason=ReleaseReason.LIMIT, now=self._ledger.clock.now())
        expected_version, events = encode_pending(task, origin=_ORIGIN.within(stream))
        return StreamAppend(task.id, events, expected_version)
