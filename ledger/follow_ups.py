"""Follow-ups: releases a task that waits for others when all of them have completed, and ends it when one did not.

    log ── stretch ──▶ who waits for whom ──▶ whom it stirs ──▶ decided by the streams ──▶ appended ──▶ checkpoint

The log is followed, so tasks that wait cost nothing while nothing happens. A stretch of it stirs the tasks that
were submitted in it (what they wait for may have ended before) and those that wait for a task that ended in it.
The checkpoint follows when everything that a stretch asked for is done: after a crash it is done again, and a task
that waits no longer is left alone. So any number of processes may do this at once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from uuid import UUID

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.codec import encode_pending, fold
from ledger.errors import WrongExpectedVersionError
from ledger.queries import query
from ledger.standings import Standing, standings_of
from ledger.store.records import Origin, RecordedEvent
from ledger.task import Task
from ledger.task_words import HoldReason, ReleaseReason, Status

log = structlog.get_logger()

NAME = "follow_ups"
ACTOR = "follow-ups"
_STRETCH = 10_000
_PAGE_SIZE = 200
_GAP_SECONDS = 0.05
_UNDECIDABLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What became of a task that was looked at; one that waits is looked at again when stirred, or at a time."""

    changed: bool = False
    waits: bool = False
    look_again_at: datetime | None = None


class FollowUps:
    """Follows the log for tasks that wait for others."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._interval_seconds = ledger.settings.scheduler_interval_seconds
        self._position: int | None = None

    async def run(self) -> None:
        """Follow the log for ever: at once when something was appended, but no more than 20 times a second.

        Raises:
            StoreUnavailableError: the database is out of reach.
            StoreRefusedError: it answered no.
        """
        async with self._ledger.store.appends() as signal:
            while True:
                await self.run_once()
                await asyncio.sleep(_GAP_SECONDS)
                await signal.wait(self._interval_seconds)

    async def run_once(self) -> int:
        """Do what the log asks for up to its end, and what is due; return how many tasks changed."""
        position = self._position if self._position is not None else await self._checkpoint()
        horizon = await self._ledger.store.safe_position()
        changed = 0
        while position < horizon:
            upto = min(position + _STRETCH, horizon)
            await self._fetch("note_follow_ups", position, upto)
            changed += await self._settle(await self._fetch("stirred_follow_ups", position, upto))
            # Somebody else who follows too may have gone ahead: then this one goes on from there.
            is_ours = await self._fetch("advance_checkpoint", NAME, position, upto)
            position = upto if is_ours else await self._checkpoint()
        self._position = position
        return changed + await self._settle(await self._fetch("due_follow_ups", _PAGE_SIZE))

    async def _checkpoint(self) -> int:
        await self._fetch("ensure_checkpoint", NAME)
        (row,) = await self._fetch("read_checkpoint", NAME)
        return int(row["position"])

    async def _settle(self, rows: Sequence[asyncpg.Record]) -> int:
        if rows:
            await self._ledger.policies.freshen()
        changed = 0
        for first in range(0, len(rows), _PAGE_SIZE):
            verdicts = await self._settle_page([row["task_id"] for row in rows[first : first + _PAGE_SIZE]])
            await self._keep(verdicts)
            changed += sum(verdict.changed for verdict in verdicts.values())
        return changed

    async def _settle_page(self, task_ids: Sequence[UUID]) -> dict[UUID, _Verdict]:
        streams = await self._ledger.store.read_streams(task_ids)
        tasks = {task_id: _folded(stream) for task_id, stream in streams.items()}
        waiting = [task for task in tasks.values() if task is not None and _waits(task)]
        standings = await standings_of(
            self._ledger.database, {parent for task in waiting for parent in task.after}
        )
        decided = await asyncio.gather(
            *(self._decide(task, streams[task.id][0].correlation_id, standings) for task in waiting)
        )
        undecidable = [task_id for task_id, task in tasks.items() if task is None]
        return {
            **dict.fromkeys(task_ids, _Verdict()),
            **dict.fromkeys(undecidable, self._again(_UNDECIDABLE_SECONDS)),
            **{task.id: verdict for task, verdict in zip(waiting, decided, strict=True)},
        }

    async def _decide(self, task: Task, correlation_id: str, standings: Mapping[UUID, Standing]) -> _Verdict:
        now = self._ledger.clock.now()
        cause = follow_up(task, standings, now=now)
        if cause is None:
            is_early = task.release_at is not None and task.release_at > now
            return _Verdict(waits=True, look_again_at=task.release_at if is_early else None)
        hold = self._ledger.policies.hold_of_new(task.queue)
        if task.ready and hold is not None:
            task.hold_back(reason=hold, now=now)
        origin = Origin(actor=ACTOR, correlation_id=correlation_id, causation_id=cause)
        expected_version, events = encode_pending(task, origin=origin)
        try:
            await self._ledger.store.append(task.id, events, expected_version=expected_version)
        except WrongExpectedVersionError:  # somebody got in between: it may wait all the same
            return self._again(0.0)
        return _Verdict(changed=True)

    def _again(self, seconds: float) -> _Verdict:
        return _Verdict(waits=True, look_again_at=self._ledger.clock.now() + timedelta(seconds=seconds))

    async def _keep(self, verdicts: Mapping[UUID, _Verdict]) -> None:
        gone = [task_id for task_id, verdict in verdicts.items() if not verdict.waits]
        if gone:
            await self._fetch("forget_follow_ups", gone)
        reminders = {task_id: verdict.look_again_at for task_id, verdict in verdicts.items() if verdict.waits}
        if reminders:
            await self._fetch("remind_follow_ups", list(reminders), list(reminders.values()))

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._ledger.database.connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query(name), *arguments)
        return rows


def follow_up(task: Task, standings: Mapping[UUID, Standing], *, now: datetime) -> str | None:
    """Release or end a task that waits for others, as they stand; return the id of the event that is the cause.

    Nothing is decided, and there is no cause, while one of them is under way and none has ended otherwise than
    completed, nor before the task's own time.
    """
    known = [standings[parent] for parent in task.after if parent in standings]
    for parent in task.after:
        standing = standings.get(parent)
        if standing is not None and standing.status in (Status.FAILED, Status.CANCELLED):
            task.end_after_parent(parent, status=standing.status, now=now)
            return standing.event_id
    if len(known) < len(task.after) or any(standing.status is not Status.COMPLETED for standing in known):
        return None
    if task.release_at is not None and task.release_at > now:
        return None
    task.release(reason=ReleaseReason.AFTER, now=now)
    return max(known, key=attrgetter("position")).event_id


def _waits(task: Task) -> bool:
    return task.status is Status.PENDING and task.hold == HoldReason.AFTER


def _folded(stream: Sequence[RecordedEvent]) -> Task | None:
    try:
        return fold(stream)
    except Exception:  # one task that this release cannot read must not keep the others waiting
        log.exception("task.undecidable", task_id=str(stream[0].task_id), position=stream[-1].position)
        return None
