"""Schedules: recurring tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from api.sdk.calls import Call, Cursor, Page, act, look, page_reader, reader, removal
from api.sdk.changes import Change, changes_of
from api.sdk.operations import Asked, Blocking, Listed, Looping


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """A time at which a schedule was due, and what came of it; no task where it was left out."""

    fire_at: datetime
    outcome: str
    recorded_at: datetime
    task_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule; `task` is what each fire submits. A list leaves out the fires."""

    name: str
    cron: str
    time_zone: str
    task: Mapping[str, Any] = field(repr=False)
    backfill: str = "latest"
    overlap: str = "allow"
    paused: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    next_fire_at: datetime | None = None
    last_fire_at: datetime | None = None
    last_task_id: UUID | None = None
    next_fires: tuple[datetime, ...] = ()
    recent_fires: tuple[Fire, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """The receipt of a fire by hand."""

    schedule: str
    fire_at: datetime
    task_id: UUID


class ScheduleOperations:
    """Recurring tasks. Putting, pausing and resuming twice changes nothing."""

    @Listed
    def list(self, after: Cursor) -> Call[Page[Schedule]]:
        """Yield all schedules, by name, a page at a time."""
        return look(page_reader(Schedule, "schedules", "next_after"), "schedules", query={"after": after})

    @Asked
    def get(self, name: str) -> Call[Schedule]:
        """Return a schedule; raises NotFoundError."""
        return look(_SCHEDULE, "schedules", name)

    @Asked
    def put(self, name: str, definition: Mapping[str, Any]) -> Call[Schedule]:
        """Make a schedule, or change it to this definition (`cron`, `time_zone`, `task`, …)."""
        return act(_SCHEDULE, "schedules", name, body=definition, method="PUT", is_repeatable=True)

    @Asked
    def pause(self, name: str, *, reason: str = "") -> Call[Schedule]:
        """Let a schedule fire no more until it is resumed."""
        return act(_SCHEDULE, "schedules", name, "pause", body={"reason": reason}, is_repeatable=True)

    @Asked
    def resume(self, name: str, *, reason: str = "") -> Call[Schedule]:
        """Let a paused schedule fire again."""
        return act(_SCHEDULE, "schedules", name, "resume", body={"reason": reason}, is_repeatable=True)

    @Asked
    def fire(self, name: str, *, reason: str = "") -> Call[Fired]:
        """Submit the task of a schedule now."""
        return act(reader(Fired), "schedules", name, "fire", body={"reason": reason})

    @Asked
    def remove(self, name: str, *, reason: str = "") -> Call[None]:
        """Remove a schedule; its tasks stay."""
        return removal("schedules", name, reason=reason)

    @Listed
    def changes(self, before: Cursor, name: str) -> Call[Page[Change]]:
        """Yield what was set for a schedule, newest first."""
        return changes_of("schedules", name, before=before)


class Schedules(ScheduleOperations, Blocking):
    """The schedules; as `TaskLedger.schedules`."""


class AsyncSchedules(ScheduleOperations, Looping):
    """The schedules; as `AsyncTaskLedger.schedules`."""


_SCHEDULE = reader(Schedule)
