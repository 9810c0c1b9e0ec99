"""Follow-ups: releases a task that waits for others when all of them have completed, and ends it when one did not.

    log ── stretch ──▶ who waits for whom ──▶ whom it stirs ──▶ decided by the streams ──▶ appended ──▶ checkpoint

The log is followed, so tasks that wait cost nothing while nothing happens. Who waits for whom is kept up to the
checkpoint, as the log says it: a task is looked at when it waits for nobody any more, or when one of the others
ended otherwise. Then the streams decide. They may know better: what was retried is waited for again.

A stretch of the log is one transaction, so after a crash it is followed again, and a task that waits no longer is
left alone. Followers take turns at the checkpoint, so any number of processes may do this.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from uuid import UUID

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.codec import encode_pending, fold
from ledger.errors import WrongExpectedVersionError
from ledger.outlook import Outlook
from ledger.queries import query
from ledger.standings import Standing, standings_of
from ledger.store.records import Origin, RecordedEvent
from ledger.task import Task
from ledger.task_words import HoldReason, ReleaseReason, Status

log = structlog.get_logger()

NAME = "follow_ups"
ACTOR = "follow-ups"
_STRETCH = 1000
_PAGE_SIZE = 200
_GAP_SECONDS = 0.05
_UNDECIDABLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What became of a task that was looked at.

    Attributes:
        changed: it was released or ended.
        waits: it waits still, so that it is looked at again: when stirred, or at a time.
        waits_for: those that have not completed; None where it is not known.
        look_again_at: when to look at it though nothing stirs it.
    """

    changed: bool = False
    waits: bool = False
    waits_for: Sequence[UUID] | None = None
    look_again_at: datetime | None = None


class FollowUps:
    """Follows the log for tasks that wait for others."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._position = 0  # at least so far

    async def run(self, outlook: Outlook) -> None:
        """Follow the log for ever: at once when something was appended, but no more than 20 times a second.

        Raises:
            StoreUnavailableError: the database is out of reach.
            StoreRefusedError: it answered no.
        """
        self._position = 0  # a crash of the database may have taken the checkpoint back
        async with self._ledger.store.appends() as signal:
            while True:
                await self.run_once()
                await asyncio.sleep(_GAP_SECONDS)
                await outlook.until_wanted_or_appended("follow_ups", signal)

    async def run_once(self) -> int:
        """Do what the log asks for up to its end, and what is due; return how many tasks changed."""
        horizon = await self._ledger.store.safe_position()
        changed = 0
        while self._position < horizon:
            changed += await self._follow(horizon)
        return changed + await self._look_again()

    async def _follow(self, horizon: int) -> int:
        async with self._turn() as (connection, position):
            upto = max(position, min(position + _STRETCH, horizon))
            await connection.execute(query("note_follow_ups"), position, upto)
            rows = await connection.fetch(query("stirred_follow_ups"), position, upto)
            changed = await self._settle(connection, rows)
            await connection.execute(query("advance_checkpoint"), NAME, position, upto)
        self._position = upto
        return changed

    async def _look_again(self) -> int:
        async with self._ledger.database.connection() as connection:
            if not await connection.fetch(query("due_follow_ups"), 1):
                return 0
        async with self._turn() as (connection, _):
            return await self._settle(connection, await connection.fetch(query("due_follow_ups"), _PAGE_SIZE))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[tuple[asyncpg.Connection, int]]:
        # Whoever has the row has the turn; what it then reads is not older than the one's before.
        async with self._ledger.database.connection() as connection, connection.transaction():
            position = await connection.fetchval(query("begin_to_follow"), NAME)
            if position is None:
                await connection.execute(query("ensure_checkpoint"), NAME)
                position = await connection.fetchval(query("begin_to_follow"), NAME)
            yield connection, position

    async def _settle(self, connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> int:
        if rows:
            await self._ledger.policies.freshen()
        changed = 0
        for first in range(0, len(rows), _PAGE_SIZE):
            verdicts = await self._judge([row["task_id"] for row in rows[first : first + _PAGE_SIZE]])
            await _keep(connection, verdicts)
            changed += sum(verdict.changed for verdict in verdicts.values())
        return changed

    async def _judge(self, task_ids: Sequence[UUID]) -> dict[UUID, _Verdict]:
        streams = await self._ledger.store.read_streams(task_ids)
        tasks = {task_id: _folded(stream) for task_id, stream in streams.items()}
        waiting = [task for task in tasks.values() if task is not None and _waits(task)]
        standings = await standings_of(
            self._ledger.database, {parent for task in waiting for parent in task.after}
        )
        decided = await asyncio.gather(*(self._decide(task, streams[task.id], standings) for task in waiting))
        later = self._ledger.clock.now() + timedelta(seconds=_UNDECIDABLE_SECONDS)
        undecidable = [task_id for task_id, task in tasks.items() if task is None]
        return {
            **dict.fromkeys(task_ids, _Verdict()),
            **dict.fromkeys(undecidable, _Verdict(waits=True, look_again_at=later)),
            **{task.id: verdict for task, verdict in zip(waiting, decided, strict=True)},
        }

    async def _decide(
        self, task: Task, stream: Sequence[RecordedEvent], standings: Mapping[UUID, Standing]
    ) -> _Verdict:
        now = self._ledger.clock.now()
        cause = follow_up(task, standings, now=now)
        if cause is None:
            is_early = task.release_at is not None and task.release_at > now
            waits_for = [parent for parent in task.after if not _has_completed(standings.get(parent))]
            return _Verdict(waits=True, waits_for=waits_for, look_again_at=task.release_at if is_early else None)
        hold = self._ledger.policies.hold_of_new(task.queue)
        if task.ready and hold is not None:
            task.hold_back(reason=hold, now=now)
        origin = Origin(actor=ACTOR, causation_id=cause).within(stream)
        expected_version, events = encode_pending(task, origin=origin)
        try:
            await self._ledger.store.append(task.id, events, expected_version=expected_version)
        except WrongExpectedVersionError:  # somebody got in between: it may wait all the same
            return _Verdict(waits=True, look_again_at=now)
        return _Verdict(changed=True)


def follow_up(task: Task, standings: Mapping[UUID, Standing], *, now: datetime) -> str | None:
    """Release or end a task that waits for others, as they stand; return the id of the event that is the cause.

    Nothing is decided, and there is no cause, while one of them is under way and none has ended otherwise than
    completed, nor before the task's own time.
    """
    for parent in task.after:
        standing = standings.get(parent)
        if standing is not None and standing.status in (Status.FAILED, Status.CANCELLED):
            task.end_after_parent(parent, status=standing.status, now=now)
            return standing.event_id
    if not all(_has_completed(standings.get(parent)) for parent in task.after):
        return None
    if task.release_at is not None and task.release_at > now:
        return None
    task.release(reason=ReleaseReason.AFTER, now=now)
    return max((standings[parent] for parent in task.after), key=attrgetter("position")).event_id


async def _keep(connection: asyncpg.Connection, verdicts: Mapping[UUID, _Verdict]) -> None:
    known = [
        task_id for task_id, verdict in verdicts.items() if not verdict.waits or verdict.waits_for is not None
    ]
    await connection.execute(query("forget_follow_ups"), known)
    await connection.execute(query("forget_follow_up_times"), list(verdicts))
    pairs = [(parent, task_id) for task_id, verdict in verdicts.items() for parent in verdict.waits_for or ()]
    if pairs:
        parents, children = zip(*pairs, strict=True)
        await connection.execute(query("keep_follow_ups"), parents, children)
    times = {task_id: verdict.look_again_at for task_id, verdict in verdicts.items() if verdict.look_again_at}
    if times:
        await connection.execute(query("keep_follow_up_times"), list(times), list(times.values()))


def _has_completed(standing: Standing | None) -> bool:
    return standing is not None and standing.status is Status.COMPLETED


def _waits(task: Task) -> bool:
    return task.status is Status.PENDING and task.hold == HoldReason.AFTER


def _folded(stream: Sequence[RecordedEvent]) -> Task | None:
    try:
        return fold(stream)
    except Exception:  # one task that this release cannot read must not keep the others waiting
        log.exception("task.undecidable", task_id=str(stream[0].task_id), position=stream[-1].position)
        return None
