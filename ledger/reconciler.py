"""The reconciler: releases a ready task again when its message must be lost.

A task may be ready for hours in a deep, healthy backlog, so its age alone proves nothing. Two facts do, because a
work queue (one per task queue and priority band) hands out its messages in the order in which it got them:

- Overtaken: a task of the same queue and band that was submitted later by at least the bound runs already. The
  margin leaves alone what a busy worker has prefetched and not started yet.
- A probe came through: where nothing runs that could prove anything, the reconciler releases one task, the one
  that became ready last among the overdue. Once that is started, the queue has handed out everything before the
  message that its worker followed (the cause of Started, which may be an older one than the probe's), so whatever
  became ready earlier and still waits is lost. A deep backlog costs one release a bound; a purged queue is healed
  as soon as the probe comes back.

Both are asked only of tasks that are ready for longer than the bound and that the relay has published; a probe is
sent only where a live worker serves the queue. Shards of the relay publish beside each other: where one lags
behind another by more than the bound, what it publishes late looks overtaken, and is released once too often. A
release makes a task ready anew: it becomes suspect again only when it is overtaken once more, at least a bound
later. A release too many costs one message that no worker may start; it cannot run a task twice.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import asyncpg
import structlog

from ledger.batch_decisions import BatchDecider
from ledger.bootstrap import Ledger
from ledger.broker.port import Band
from ledger.messages import BAND_PRIORITIES, band_of
from ledger.read_model import fetch_rows
from ledger.task import Task
from ledger.task_words import ReleaseReason, Status

log = structlog.get_logger()

_FIRST_PAGE = UUID(int=0)


class Evidence(StrEnum):
    """Why a ready task is to be released again."""

    OVERTAKEN = "overtaken"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """Where messages keep their order: a task queue and a priority band."""

    queue: str
    band: Band


@dataclass(frozen=True, slots=True)
class Suspect:
    """A ready task whose message is taken for lost, or that is to prove whether others' are."""

    task_id: UUID
    version: int
    attempt: int
    work_queue: WorkQueue
    ready_at: datetime
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class _Probe:
    suspect: Suspect
    expires_at: float


class Reconciler:
    """Finds lost messages and releases their tasks again."""

    def __init__(self, ledger: Ledger) -> None:
        settings = ledger.settings
        self._ledger = ledger
        self._batch_size_max = settings.reconcile_batch_size_max
        self._bound = timedelta(seconds=settings.reconcile_after_seconds)
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._decider = BatchDecider(ledger, actor="reconciler")
        # Whatever became ready in a work queue before its front has been handed out; fronts only move on.
        self._fronts: dict[WorkQueue, datetime] = {}
        self._probes: dict[WorkQueue, _Probe] = {}

    async def run_once(self) -> int:
        """Release again what is lost and what is to probe; return how many tasks that were."""
        return await self.release(await self.suspects())

    async def release(self, suspects: Sequence[Suspect]) -> int:
        """Release again those suspects that still wait as they were seen; return how many tasks that were."""
        released = await self._decider.decide({one.task_id: one.version for one in suspects}, self._release)
        expires_at = time.monotonic() + self._bound.total_seconds()
        self._probes.update(
            {one.work_queue: _Probe(one, expires_at) for one in suspects if one.evidence is Evidence.PROBE}
        )
        if released:
            is_loss = any(one.evidence is Evidence.OVERTAKEN for one in suspects)
            say = log.warning if is_loss else log.info
            say("reconciler.released", tasks=released, suspects=_counted(suspects))
        return released

    async def suspects(self) -> list[Suspect]:
        """Return what the next round would release, oldest first, at most LEDGER_RECONCILE_BATCH_SIZE_MAX."""
        await self._move_fronts()
        overtaken = await self._overtaken()
        probes = await self._new_probes({one.work_queue for one in overtaken})
        return [*overtaken, *probes][: self._batch_size_max]

    async def release_all_ready(self) -> int:
        """Release every ready task again, because the broker has lost all of its messages; return how many.

        What the relay has not published yet is left to it. The read model may be behind: the tasks in the part of
        the log that it has not seen are looked at too.
        """
        published = await self._published()
        released = 0
        async for rows in self._pages("ready_tasks", published):
            released += await self._decider.decide({row["task_id"]: row["version"] for row in rows}, self._release)
        async for rows in self._pages("tasks_after_read_model", published):
            unseen = [row["task_id"] for row in rows]
            released += await self._decider.decide_whatever_version(unseen, self._release)
        log.info("reconciler.released_all_ready", tasks=released)
        return released

    async def count_all_ready(self) -> int:
        """Return how many tasks `release_all_ready` would look at; it releases those of them that are ready."""
        published = await self._published()
        pages = [self._pages(name, published) for name in ("ready_tasks", "tasks_after_read_model")]
        return len({row["task_id"] for page in pages async for rows in page for row in rows})

    async def _published(self) -> int:
        checkpoint = await fetch_rows(self._ledger.database, "reader_position", "relay")
        return checkpoint[0]["position"] if checkpoint else 0

    async def _pages(self, name: str, published: int) -> AsyncIterator[Sequence[asyncpg.Record]]:
        after = _FIRST_PAGE
        while rows := await fetch_rows(self._ledger.database, name, after, published, self._batch_size_max):
            yield rows
            after = rows[-1]["task_id"]

    async def _move_fronts(self) -> None:
        for row in await fetch_rows(self._ledger.database, "running_fronts"):
            self._move_front(_work_queue(row), row["submitted_at"] - self._bound)
        probing = {probe.suspect.task_id: probe for probe in self._probes.values()}
        if not probing:
            return
        attempts = [probe.suspect.attempt for probe in probing.values()]
        for row in await fetch_rows(self._ledger.database, "probe_fronts", list(probing), attempts):
            work_queue = probing[row["task_id"]].suspect.work_queue
            self._move_front(work_queue, row["front"])
            del self._probes[work_queue]

    def _move_front(self, work_queue: WorkQueue, to: datetime) -> None:
        self._fronts[work_queue] = max(to, self._fronts.get(work_queue, to))

    async def _overtaken(self) -> list[Suspect]:
        if not self._fronts:
            return []
        columns = zip(
            *((one.queue, *BAND_PRIORITIES[one.band], front) for one, front in self._fronts.items()), strict=True
        )
        rows = await fetch_rows(
            self._ledger.database, "overtaken_tasks", *map(list, columns), self._bound, self._batch_size_max
        )
        return [_suspect(row, Evidence.OVERTAKEN) for row in rows]

    async def _new_probes(self, proven: set[WorkQueue]) -> list[Suspect]:
        now = time.monotonic()
        self._probes = {key: probe for key, probe in self._probes.items() if probe.expires_at > now}
        rows = await fetch_rows(self._ledger.database, "newest_overdue_tasks", self._bound, self._lease)
        newest: dict[WorkQueue, Suspect] = {}
        for row in sorted(rows, key=lambda row: row["ready_at"]):
            newest[_work_queue(row)] = _suspect(row, Evidence.PROBE)
        return [one for key, one in newest.items() if key not in self._probes and key not in proven]

    def _release(self, task: Task) -> None:
        if task.status is Status.PENDING and task.ready:
            task.release(reason=ReleaseReason.RECONCILED, now=self._ledger.clock.now())


def _work_queue(row: asyncpg.Record) -> WorkQueue:
    return WorkQueue(row["queue"], band_of(row["priority"]))


def _suspect(row: asyncpg.Record, evidence: Evidence) -> Suspect:
    return Suspect(
        task_id=row["task_id"],
        version=row["version"],
        attempt=row["attempt"],
        work_queue=_work_queue(row),
        ready_at=row["ready_at"],
        evidence=evidence,
    )


def _counted(suspects: Iterable[Suspect]) -> dict[str, int]:
    return dict(Counter(f"{one.work_queue.queue} {one.work_queue.band} {one.evidence}" for one in suspects))
