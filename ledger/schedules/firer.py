"""The schedule firer: submits the tasks of the schedules whose time has come.

A fire is one transaction: the row of its fire time, the Submitted of its task, and how far the schedule has come.
So a crash leaves all of it or nothing, and the primary key of the fire times makes it one task, however many
schedulers there are and whatever the clock does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError, StoreUnavailableError
from ledger.queries import query
from ledger.schedules.rows import schedule_of
from ledger.schedules.schedule import DueFires, Overlap, Schedule, due_fires, fire_id, source_of, specification_of
from ledger.specification import Backoff
from ledger.store.records import Origin

log = structlog.get_logger()

_LANES_MAX = 4  # so many connections at most
_FIRST_PAGE = (datetime.fromtimestamp(0, UTC), "")


@dataclass(frozen=True, slots=True)
class _Due:
    """A schedule that was found due, as it was last changed."""

    name: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class _Fire:
    """What becomes of a fire time, as it is recorded."""

    fire_at: datetime
    task_id: UUID | None
    outcome: str


class ScheduleFirer:
    """Fires what is due; any number of them may run, a fire time is fired once."""

    def __init__(self, ledger: Ledger) -> None:
        settings = ledger.settings
        self._database = ledger.database
        self._store = ledger.store
        self._commands = ledger.commands
        self._policies = ledger.policies
        self._page_size_max = settings.scheduler_batch_size_max
        self._grace = timedelta(seconds=settings.schedule_grace_seconds)
        self._backfill_max = settings.backfill_max
        self._backoff = Backoff(settings.retry_base_seconds, settings.retry_cap_seconds)
        self._lanes = asyncio.Semaphore(_LANES_MAX)
        self._hopeless: set[_Due] = set()

    async def run_once(self) -> int:
        """Fire every schedule that is due, the longest due first; return how many tasks that made.

        Raises:
            StoreUnavailableError: the database is out of reach.
            StoreRefusedError: the database refused a fire; the others were fired.
        """
        fired = 0
        found: set[_Due] = set()
        after = _FIRST_PAGE
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(query("due_schedules"), *after, self._page_size_max)
            page = [_Due(row["name"], row["updated_at"]) for row in rows]
            fired += await self._fire_page(page)
            found.update(page)
            if len(rows) < self._page_size_max:
                self._hopeless &= found
                return fired
            after = (rows[-1]["next_fire_at"], rows[-1]["name"])

    async def _fire_page(self, due: Sequence[_Due]) -> int:
        hopeful = [one for one in due if one not in self._hopeless]
        if hopeful:
            await self._policies.freshen()  # what is paused or limited is held back at once
        outcomes = await asyncio.gather(*(self._fire_safely(one) for one in hopeful), return_exceptions=True)
        fired = sum(outcome for outcome in outcomes if isinstance(outcome, int))
        if fired:
            self._store.wake_readers()
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return fired

    async def _fire_safely(self, one: _Due) -> int:
        try:
            async with self._lanes:
                return await self._fire(one.name)
        except (StoreUnavailableError, StoreRefusedError):
            raise
        except Exception:  # one schedule that this release cannot fire must not keep the others from being fired
            log.exception("schedule.hopeless", schedule=one.name)
            self._hopeless.add(one)
            return 0

    async def _fire(self, name: str) -> int:
        async with self._database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(query("lock_due_schedule"), name)
            if row is None:  # fired, changed or removed meanwhile, or just being fired by another scheduler
                return 0
            schedule, due = self._decide(row)
            fires = await self._fire_due(connection, schedule, due)
            task_ids = [fire.task_id for fire in fires if fire.task_id is not None]
            await connection.execute(
                query("record_fires"),
                name,
                [fire.fire_at for fire in fires],
                [fire.task_id for fire in fires],
                [fire.outcome for fire in fires],
                due.next_fire_at,
                due.fire_times[-1] if due.fire_times else None,
                task_ids[-1] if task_ids else None,
            )
        _tell(schedule, due, fires)
        return len(task_ids)

    def _decide(self, row: asyncpg.Record) -> tuple[Schedule, DueFires]:
        schedule = schedule_of(row)
        return schedule, due_fires(
            schedule.definition,
            next_fire_at=row["next_fire_at"],
            now=row["now"],
            grace=self._grace,
            backfill_max=self._backfill_max,
        )

    async def _fire_due(
        self, connection: asyncpg.Connection, schedule: Schedule, due: DueFires
    ) -> Sequence[_Fire]:
        taken = await connection.fetch(query("taken_fire_times"), schedule.name, due.fire_times)
        fires: list[_Fire] = []
        before = schedule.last_task_id
        for fire_at in sorted({*due.fire_times} - {row["fire_at"] for row in taken}):
            if await _overlaps(connection, schedule, before):
                fires.append(_Fire(fire_at, None, "skipped"))
                continue
            before = await self._submit(connection, schedule, fire_at)
            fires.append(_Fire(fire_at, before, "fired"))
        return fires

    async def _submit(self, connection: asyncpg.Connection, schedule: Schedule, fire_at: datetime) -> UUID:
        name = schedule.name
        appended = await self._commands.submit(
            specification_of(name, schedule.definition.task, backoff=self._backoff),
            origin=Origin(actor=source_of(name), causation_id=fire_id(name, fire_at)),
            connection=connection,
        )
        return appended.task_id


async def _overlaps(connection: asyncpg.Connection, schedule: Schedule, before: UUID | None) -> bool:
    if schedule.definition.overlap is not Overlap.SKIP or before is None:
        return False
    return bool(await connection.fetchval(query("is_unfinished"), before))


def _tell(schedule: Schedule, due: DueFires, fires: Sequence[_Fire]) -> None:
    if due.missed_from is not None:
        policy = schedule.definition.backfill
        log.warning("schedule.missed", schedule=schedule.name, missed_from=due.missed_from, backfill=policy)
    for fire in fires:
        if fire.task_id is None:
            log.info("schedule.skipped", schedule=schedule.name, fire_at=fire.fire_at)
