"""Schedules that code declares: `scheduled` beside `task_handler`, and putting what a registry's handlers declare.

    @scheduled("30 2 * * MON-FRI", time_zone="Europe/Berlin")
    @task_handler("report.daily")
    async def report(of: str) -> int: ...

A declaration alone schedules nothing: `taskledger schedules apply --app …` does, and `taskledger up` at its start.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ledger.bootstrap import Ledger
from ledger.errors import ConfigurationError, InvalidValueError
from ledger.schedules.commands import Kept, Schedules
from ledger.schedules.schedule import (
    DEFAULT_TIME_ZONE,
    Backfill,
    Overlap,
    ScheduleDefinition,
    TaskTemplate,
    check_definition,
)
from ledger.store.records import Origin
from worker.registry import Handler, Registry
from worker.signature import Function, name_of

AnyFunction = TypeVar("AnyFunction", bound=Function)

_MARK = "task_ledger_schedules"
_NO_NAME = re.compile("[^a-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What a decorator says of its function; the kind is only known where the handler is."""

    name: str | None
    definition: ScheduleDefinition
    has_task: bool


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """A schedule as a handler declares it; `place` names the function."""

    name: str
    definition: ScheduleDefinition
    place: str


def scheduled(
    cron: str,
    *,
    name: str | None = None,
    time_zone: str = DEFAULT_TIME_ZONE,
    task: TaskTemplate | None = None,
    backfill: Backfill = Backfill.LATEST,
    overlap: Overlap = Overlap.ALLOW,
) -> Callable[[AnyFunction], AnyFunction]:
    """Declare that a handler's tasks are submitted by a cron expression.

    Args:
        cron: five fields, as Debian's cron reads them.
        name: what the schedule is called; made of the task's kind if absent (`report.daily`: `report-daily`).
        time_zone: a name of the IANA database.
        task: what each fire submits; its kind is always the handler's.
        backfill: what becomes of missed fires.
        overlap: what becomes of a fire while the task before it is unfinished.
    """
    definition = ScheduleDefinition(
        cron=cron, time_zone=time_zone, task=task or TaskTemplate(), backfill=backfill, overlap=overlap
    )

    def mark(function: AnyFunction) -> AnyFunction:
        marks: list[_Mark] = function.__dict__.setdefault(_MARK, [])
        marks.append(_Mark(name=name, definition=definition, has_task=task is not None))
        return function

    return mark


def declared_schedules(registry: Registry, *, default_task: TaskTemplate) -> Sequence[DeclaredSchedule]:
    """Return what the handlers of a registry declare, by name; the default stands where a decorator has no task.

    Raises:
        ConfigurationError: a declaration is out of its bounds, or two have one name.
    """
    declared: dict[str, DeclaredSchedule] = {}
    for kind in registry.kinds:
        handler = registry.find(kind)
        for mark in getattr(handler.function, _MARK, ()):
            one = _declared(handler, mark, default_task)
            other = declared.setdefault(one.name, one)
            if other is not one:
                raise ConfigurationError(
                    f"the schedule {one.name!r} is declared twice, by {other.place} and {one.place}: name one"
                )
    return [declared[name] for name in sorted(declared)]


async def put_declared(ledger: Ledger, registry: Registry, *, origin: Origin) -> Sequence[Kept]:
    """Set every schedule that the handlers declare; what is set so already, or paused, stays as it is.

    Raises:
        ConfigurationError: what `declared_schedules` raises; then nothing was set.
        StoreUnavailableError: the database is out of reach.
    """
    settings = ledger.settings
    task = TaskTemplate(
        max_attempts=settings.default_max_attempts, timeout_seconds=settings.default_timeout_seconds
    )
    schedules = Schedules(ledger)
    return [
        await schedules.put(
            one.name, one.definition, paused=None, reason=f"declared by {one.place}", origin=origin
        )
        for one in declared_schedules(registry, default_task=task)
    ]


def _declared(handler: Handler, mark: _Mark, default_task: TaskTemplate) -> DeclaredSchedule:
    task = mark.definition.task if mark.has_task else default_task
    definition = replace(mark.definition, task=replace(task, kind=handler.kind))
    name = _NO_NAME.sub("-", handler.kind.lower()) if mark.name is None else mark.name
    place = name_of(handler.function)
    try:
        check_definition(name, definition)
    except InvalidValueError as error:
        raise ConfigurationError(f"the schedule of {place}: {error}") from error
    return DeclaredSchedule(name, definition, place)
