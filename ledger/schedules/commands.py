"""The schedules as clients and operators see them: make, change, pause, resume, fire by hand, remove, look.

Every change is kept with its actor and reason, in the change's own transaction; so is the task of a fire by hand.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

import asyncpg

from ledger.bootstrap import Ledger
from ledger.errors import ScheduleNotFoundError
from ledger.jsonvalue import storable_text
from ledger.queries import query
from ledger.schedules.rows import Fire, ScheduleChange, columns_of, definition_text, is_same, schedule_of
from ledger.schedules.schedule import (
    INSTANT,
    Schedule,
    ScheduleDefinition,
    check_definition,
    fire_id,
    fire_times,
    is_name,
    next_fire_after_change,
    specification_of,
    time_by_hand,
)
from ledger.specification import Backoff
from ledger.store.records import Appended, Origin

_REASON_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A schedule that was set, and whether it is a new one."""

    schedule: Schedule
    created: bool


@dataclass(frozen=True, slots=True)
class FiredByHand:
    """A fire by hand: its time, and the receipt of its task."""

    fire_at: datetime
    appended: Appended


@dataclass(frozen=True, slots=True)
class _Locked:
    """A schedule in a transaction that keeps everybody else from it; None where there is none."""

    connection: asyncpg.Connection
    now: datetime
    name: str
    schedule: Schedule | None

    @property
    def known(self) -> Schedule:
        if self.schedule is None:
            raise ScheduleNotFoundError(self.name)
        return self.schedule


class Schedules:
    """Everything that a client or an operator can ask of the schedules."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._store = ledger.store
        self._commands = ledger.commands
        self._policies = ledger.policies
        self._backoff = Backoff(ledger.settings.retry_base_seconds, ledger.settings.retry_cap_seconds)

    async def put(
        self, name: str, definition: ScheduleDefinition, *, paused: bool | None, reason: str, origin: Origin
    ) -> Kept:
        """Make a schedule of this name, or change the one there is; setting what is set already changes nothing.

        Args:
            name: 1 to 64 characters of a-z 0-9 _ -.
            definition: what it fires, and when.
            paused: None leaves it as it is; a new one then runs.
            reason: why, for the record of changes.
            origin: who asks.

        Raises:
            InvalidValueError: a field is out of its bound.
        """
        check_definition(name, definition)
        columns = columns_of(definition)
        async with self._locked(name) as locked:
            known = locked.schedule
            is_paused = known is not None and known.paused if paused is None else paused
            if known is not None and known.paused is is_paused and is_same(known.definition, definition):
                return Kept(known, created=False)
            next_fire_at = next_fire_after_change(definition, known=known, paused=is_paused, now=locked.now)
            statement = query("insert_schedule") if known is None else query("update_schedule")
            await locked.connection.execute(statement, name, *columns, is_paused, next_fire_at)
            kept = await _read_back(locked)
            await _record(locked, "created" if known is None else "changed", kept, reason, origin)
        return Kept(kept, created=known is None)

    async def pause(self, name: str, *, reason: str, origin: Origin) -> Schedule:
        """Fire no more until it is resumed; raises ScheduleNotFoundError where there is none."""
        return await self._turn(name, paused=True, reason=reason, origin=origin)

    async def resume(self, name: str, *, reason: str, origin: Origin) -> Schedule:
        """Fire again, from now on: what passed meanwhile is not missed.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        return await self._turn(name, paused=False, reason=reason, origin=origin)

    async def remove(self, name: str, *, reason: str, origin: Origin) -> None:
        """Remove a schedule; its fires, its changes and its tasks stay.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        async with self._locked(name) as locked:
            await _record(locked, "removed", locked.known, reason, origin)
            await locked.connection.execute(query("delete_schedule"), name)

    async def fire(self, name: str, *, reason: str, origin: Origin) -> FiredByHand:
        """Submit its task now, whether it is paused or not and whatever it fires otherwise.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        await self._policies.freshen()
        async with self._locked(name) as locked:
            schedule, connection = locked.known, locked.connection
            fire_at = await _free_time(locked)
            appended = await self._commands.submit(
                specification_of(name, schedule.definition.task, backoff=self._backoff),
                origin=replace(origin, causation_id=fire_id(name, fire_at)),
                connection=connection,
            )
            await connection.execute(query("insert_fire"), name, fire_at, appended.task_id, "fired_by_hand")
            await connection.execute(query("note_fired_by_hand"), name, appended.task_id)
            await _record(locked, "fired", schedule, reason, origin)
        self._store.wake_readers()
        return FiredByHand(fire_at, appended)

    async def find(self, name: str, *, fires_max: int) -> tuple[Schedule, Sequence[datetime], Sequence[Fire]]:
        """Return a schedule, its next fire times and its latest fires, at most so many of each.

        Raises:
            ScheduleNotFoundError: there is none of this name.
        """
        _check_known(name)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("find_schedule"), name)
            fires = await connection.fetch(query("recent_fires"), name, fires_max)
        if row is None:
            raise ScheduleNotFoundError(name)
        schedule = schedule_of(row)
        return schedule, _upcoming(schedule, fires_max), [Fire(*fire) for fire in fires]

    async def list(self, *, after: str, limit: int) -> Sequence[Schedule]:
        """Return the schedules by name, after a name."""
        async with self._database.connection() as connection:
            return [schedule_of(row) for row in await connection.fetch(query("list_schedules"), after, limit)]

    async def changes(self, name: str, *, before: int | None, limit: int) -> Sequence[ScheduleChange]:
        """Return the changes of the schedules that have or had this name, newest first, before an id.

        Raises:
            ScheduleNotFoundError: none can have this name.
        """
        _check_known(name)
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_schedule_changes"), name, before, limit)
        return [ScheduleChange(*row) for row in rows]

    async def _turn(self, name: str, *, paused: bool, reason: str, origin: Origin) -> Schedule:
        async with self._locked(name) as locked:
            known = locked.known
            if known.paused is paused:
                return known
            next_fire_at = next_fire_after_change(known.definition, known=known, paused=paused, now=locked.now)
            columns = columns_of(known.definition)
            await locked.connection.execute(query("update_schedule"), name, *columns, paused, next_fire_at)
            turned = await _read_back(locked)
            await _record(locked, "paused" if paused else "resumed", turned, reason, origin)
        return turned

    @asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[_Locked]:
        _check_known(name)
        async with self._database.connection() as connection, connection.transaction():
            now = await connection.fetchval(query("lock_schedule_name"), name)
            row = await connection.fetchrow(query("lock_schedule"), name)
            yield _Locked(connection, now, name, None if row is None else schedule_of(row))


def _check_known(name: str) -> None:
    if not is_name(name):
        raise ScheduleNotFoundError(name)


async def _read_back(locked: _Locked) -> Schedule:
    (row,) = await locked.connection.fetch(query("lock_schedule"), locked.name)
    return schedule_of(row)


async def _record(locked: _Locked, change: str, schedule: Schedule, reason: str, origin: Origin) -> None:
    text = definition_text(schedule.definition, paused=schedule.paused)
    kept = storable_text(reason, chars_max=_REASON_CHARS_MAX)
    await locked.connection.execute(query("insert_schedule_change"), locked.name, change, text, origin.actor, kept)


async def _free_time(locked: _Locked) -> datetime:
    fire_at = time_by_hand(locked.now)
    while await locked.connection.fetchrow(query("taken_fire_times"), locked.name, [fire_at]):
        fire_at += INSTANT
    return fire_at


def _upcoming(schedule: Schedule, count: int) -> Sequence[datetime]:
    if schedule.next_fire_at is None:
        return []
    return list(islice(fire_times(schedule.definition, after=schedule.next_fire_at - INSTANT), count))
