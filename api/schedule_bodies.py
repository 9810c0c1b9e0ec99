"""Schedules as the API and the command line show them, and definitions from what they are given."""

from collections.abc import Mapping, Sequence

import orjson

from api.schedule_schemas import ScheduleBody
from ledger.jsonvalue import DEPTH_MAX, check_json
from ledger.schedules.rows import ScheduleChange, task_as_dict
from ledger.schedules.schedule import Schedule, ScheduleDefinition, TaskTemplate
from ledger.settings import Settings

FIRES_SHOWN = 5


def definition_of(given: ScheduleBody, settings: Settings) -> ScheduleDefinition:
    """Return the definition that a body asks for; what it leaves out is settled now, for every fire.

    Raises:
        InvalidValueError: the input nests too deep.
    """
    task = given.task
    check_json(task.input, field="input", depth_max=min(settings.json_depth_max, DEPTH_MAX))
    return ScheduleDefinition(
        cron=given.cron,
        time_zone=given.time_zone,
        task=TaskTemplate(
            kind=task.kind,
            queue=task.queue,
            input=task.input,
            priority=task.priority,
            max_attempts=settings.default_max_attempts if task.max_attempts is None else task.max_attempts,
            timeout_seconds=settings.default_timeout_seconds if task.timeout_s is None else task.timeout_s,
            tags=tuple(task.tags),
            key=task.key,
        ),
        backfill=given.backfill,
        overlap=given.overlap,
        starts_at=given.starts_at,
        ends_at=given.ends_at,
    )


def schedule_body(schedule: Schedule) -> Mapping[str, object]:
    """Return a schedule as it stands in an answer."""
    definition = schedule.definition
    return {
        "name": schedule.name,
        "cron": definition.cron,
        "time_zone": definition.time_zone,
        "task": task_as_dict(definition.task),
        "backfill": definition.backfill,
        "overlap": definition.overlap,
        "paused": schedule.paused,
        "starts_at": definition.starts_at,
        "ends_at": definition.ends_at,
        "next_fire_at": schedule.next_fire_at,
        "last_fire_at": schedule.last_fire_at,
        "last_task_id": schedule.last_task_id,
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
    }


def listing_page(found: Sequence[Schedule], *, limit: int) -> Mapping[str, object]:
    """Return a page of schedules of which one more than the limit was looked for."""
    page = found[:limit]
    next_after = page[-1].name if len(found) > len(page) else None
    return {"schedules": [schedule_body(one) for one in page], "next_after": next_after}


def changes_page(found: Sequence[ScheduleChange], *, limit: int) -> Mapping[str, object]:
    """Return a page of changes of which one more than the limit was looked for."""
    page = found[:limit]
    next_before = page[-1].id if len(found) > len(page) else None
    return {"changes": [_change_body(change) for change in page], "next_before": next_before}


def _change_body(change: ScheduleChange) -> Mapping[str, object]:
    return {
        "id": change.id,
        "change": change.change,
        "definition": orjson.Fragment(change.definition),
        "actor": change.actor,
        "reason": change.reason,
        "recorded_at": change.recorded_at,
    }
