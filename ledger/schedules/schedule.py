"""A schedule, and which of its fires are due: values and pure decisions, times are arguments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from uuid import UUID

from pydantic import JsonValue

from ledger.errors import InvalidValueError
from ledger.schedules.cron import check_cron, check_time_zone, newest_time, times_after
from ledger.specification import (
    DEFAULT_KIND,
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    QUEUE_PATTERN,
    Backoff,
    TaskSpecification,
    check_specification,
)

DEFAULT_TIME_ZONE = "UTC"
NAME_PATTERN = QUEUE_PATTERN
_NAME = re.compile(NAME_PATTERN)
INSTANT = timedelta(microseconds=1)


class Backfill(StrEnum):
    """What becomes of the fires that were missed while no scheduler ran."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a fire while the task of the fire before it is unfinished."""

    ALLOW = "allow"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTemplate:
    """The task that each fire submits; the attributes are those of a TaskSpecification."""

    kind: str = DEFAULT_KIND
    queue: str = DEFAULT_QUEUE
    input: JsonValue = None
    priority: int = DEFAULT_PRIORITY
    max_attempts: int = 3
    timeout_seconds: float = 300.0
    tags: tuple[str, ...] = ()
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDefinition:
    """What a schedule fires, and when.

    Attributes:
        cron: five fields, read in the time zone.
        time_zone: a name of the IANA database.
        task: what each fire submits.
        backfill: what becomes of missed fires.
        overlap: what becomes of a fire while the task before it is unfinished.
        starts_at: no fire before this moment.
        ends_at: no fire after this moment.
    """

    cron: str
    time_zone: str = DEFAULT_TIME_ZONE
    task: TaskTemplate = field(default_factory=TaskTemplate)
    backfill: Backfill = Backfill.LATEST
    overlap: Overlap = Overlap.ALLOW
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def fires_as(self, other: "ScheduleDefinition") -> bool:
        """Return whether both fire at the same times."""
        return _timing(self) == _timing(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as it stands; paused, or past its end, it has no next fire time."""

    name: str
    definition: ScheduleDefinition
    paused: bool
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    last_task_id: UUID | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueFires:
    """What to do about a schedule whose time has come.

    Attributes:
        fire_times: the times to fire, oldest first.
        missed_from: the oldest time that its backfill policy lets go, if any.
        next_fire_at: when to look again; in the past where there is more than one round may fire.
    """

    fire_times: tuple[datetime, ...]
    missed_from: datetime | None
    next_fire_at: datetime | None


def is_name(name: str) -> bool:
    """Return whether a schedule can have this name."""
    return bool(_NAME.fullmatch(name))


def check_name(name: str) -> None:
    """Raise InvalidValueError where a schedule cannot have this name."""
    if not is_name(name):
        raise InvalidValueError(field="name", bound="1 to 64 characters of a-z 0-9 _ -", value=name)


def check_definition(name: str, definition: ScheduleDefinition) -> None:
    """Raise InvalidValueError for the first field of a new schedule out of its bound."""
    check_name(name)
    check_cron(definition.cron)
    check_time_zone(definition.time_zone)
    starts_at, ends_at = definition.starts_at, definition.ends_at
    for name_of_time, time in (("starts_at", starts_at), ("ends_at", ends_at)):
        if time is not None and time.tzinfo is None:
            raise InvalidValueError(field=name_of_time, bound="a time with an offset", value=time)
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        raise InvalidValueError(field="ends_at", bound="at or after starts_at", value=ends_at.isoformat())
    check_specification(specification_of(name, definition.task, backoff=Backoff()))


def specification_of(name: str, task: TaskTemplate, *, backoff: Backoff) -> TaskSpecification:
    """Return the task that a fire of the schedule of this name submits."""
    return TaskSpecification(
        kind=task.kind,
        queue=task.queue,
        input=task.input,
        priority=task.priority,
        max_attempts=task.max_attempts,
        timeout_seconds=task.timeout_seconds,
        backoff=backoff,
        tags=(*task.tags, source_of(name)),
        key=task.key,
    )


def source_of(name: str) -> str:
    """Return what a schedule is called as a tag and as an actor."""
    return f"schedule:{name}"


def fire_id(name: str, fire_at: datetime) -> str:
    """Return what a fire is called as a cause, for example `schedule:nightly@2030-01-31T09:30:00Z`."""
    text = fire_at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{source_of(name)}@{text}Z"


def fire_times(definition: ScheduleDefinition, *, after: datetime) -> Iterator[datetime]:
    """Yield the times at which it fires after a moment, while it lasts."""
    if definition.starts_at is not None and definition.starts_at > after:
        after = definition.starts_at - INSTANT
    for time in times_after(definition.cron, definition.time_zone, after):
        if definition.ends_at is not None and time > definition.ends_at:
            return
        yield time


def next_fire(definition: ScheduleDefinition, *, after: datetime) -> datetime | None:
    """Return the first time at which it fires after a moment; None when it does not any more."""
    return next(fire_times(definition, after=after), None)


def next_fire_after_change(
    definition: ScheduleDefinition, *, known: Schedule | None, paused: bool, now: datetime
) -> datetime | None:
    """Return the next fire time of a schedule that is made, changed, paused or resumed now.

    A change that leaves the times as they are loses no fire that is due and not fired yet. Any other one counts
    from now: what the old times would have fired, or passed while it was paused, is not missed.
    """
    if paused:
        return None
    if known is not None and not known.paused and known.definition.fires_as(definition):
        return known.next_fire_at
    last_fire_at = None if known is None else known.last_fire_at
    return next_fire(definition, after=now if last_fire_at is None else max(now, last_fire_at))


def time_by_hand(now: datetime) -> datetime:
    """Return the fire time of a fire by hand: never a whole second, which the cron expression may need."""
    return now if now.microsecond else now + INSTANT


def due_fires(
    definition: ScheduleDefinition,
    *,
    next_fire_at: datetime,
    now: datetime,
    grace: timedelta,
    backfill_max: int,
) -> DueFires:
    """Decide which times to fire of those from `next_fire_at` up to now.

    A fire that is later than `grace` is a missed one, and the policy decides: `none` lets it go, `latest` fires
    only the newest of all that are due, `all` fires each of them, at most `backfill_max` a round.
    """
    due = _due(definition, next_fire_at=next_fire_at, now=now, grace=grace)
    times = tuple(islice(due, backfill_max))
    last = times[-1] if times else now
    return DueFires(
        fire_times=times,
        missed_from=None if times and times[0] == next_fire_at else next_fire_at,
        next_fire_at=next_fire(definition, after=last),
    )


def _due(
    definition: ScheduleDefinition, *, next_fire_at: datetime, now: datetime, grace: timedelta
) -> Iterator[datetime]:
    if definition.backfill is Backfill.LATEST:
        upto = now if definition.ends_at is None else min(now, definition.ends_at)
        newest = newest_time(definition.cron, definition.time_zone, after=next_fire_at, upto=upto)
        yield newest or next_fire_at
        return
    after = next_fire_at
    if definition.backfill is Backfill.ALL or now - next_fire_at <= grace:
        yield next_fire_at
    else:
        after = max(next_fire_at, now - grace - INSTANT)
    for time in fire_times(definition, after=after):
        if time > now:
            return
        yield time


def _timing(definition: ScheduleDefinition) -> tuple[object, ...]:
    return (definition.cron, definition.time_zone, definition.starts_at, definition.ends_at)
