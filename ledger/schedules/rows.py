"""Schedules between their rows and their values; the task of a schedule is JSON with the names of the HTTP API."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue

from ledger.jsonvalue import DEPTH_MAX, decode_json, encode_json
from ledger.schedules.schedule import Backfill, Overlap, Schedule, ScheduleDefinition, TaskTemplate


@dataclass(frozen=True, slots=True)
class Fire:
    """What became of a fire time.

    Attributes:
        task_id: what it submitted; None when it was skipped.
        outcome: fired, fired_by_hand, or skipped because the task before it was unfinished.
    """

    fire_at: datetime
    task_id: UUID | None
    outcome: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """Who changed a schedule, and all of it as it was from then on; `definition` is JSON text."""

    id: int
    schedule: str
    change: str
    definition: str
    actor: str
    reason: str
    recorded_at: datetime


def schedule_of(row: asyncpg.Record) -> Schedule:
    """Make a schedule of its row."""
    return Schedule(
        name=row["name"],
        definition=ScheduleDefinition(
            cron=row["cron"],
            time_zone=row["time_zone"],
            task=_task_of(row["task"]),
            backfill=Backfill(row["backfill"]),
            overlap=Overlap(row["overlap"]),
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
        ),
        paused=row["paused"],
        next_fire_at=row["next_fire_at"],
        last_fire_at=row["last_fire_at"],
        last_task_id=row["last_task_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def columns_of(definition: ScheduleDefinition) -> tuple[object, ...]:
    """Return the definition as `insert_schedule` and `update_schedule` take it.

    Raises:
        InvalidValueError: the input holds what the ledger cannot store (ledger.jsonvalue says what).
    """
    return (
        definition.cron,
        definition.time_zone,
        encode_json(task_as_dict(definition.task), field="input"),
        definition.backfill,
        definition.overlap,
        definition.starts_at,
        definition.ends_at,
    )


def definition_text(definition: ScheduleDefinition, *, paused: bool) -> str:
    """Return the definition as the JSON text that stands in the changes."""
    times = {"starts_at": definition.starts_at, "ends_at": definition.ends_at}
    shown = {
        "cron": definition.cron,
        "time_zone": definition.time_zone,
        "task": task_as_dict(definition.task),
        "backfill": definition.backfill,
        "overlap": definition.overlap,
        "paused": paused,
        **{name: None if time is None else time.isoformat() for name, time in times.items()},
    }
    return encode_json(shown, field="task", depth_max=DEPTH_MAX + 1)  # one level more than in its own column


def is_same(one: ScheduleDefinition, other: ScheduleDefinition) -> bool:
    """Return whether two definitions are the same as JSON, where true is not 1 and names have no order."""
    texts = [definition_text(definition, paused=False) for definition in (one, other)]
    first, second = (orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS) for text in texts)
    return first == second


def task_as_dict(task: TaskTemplate) -> dict[str, JsonValue]:
    """Return the template by the names of the HTTP API."""
    return {
        "kind": task.kind,
        "queue": task.queue,
        "input": task.input,
        "priority": task.priority,
        "max_attempts": task.max_attempts,
        "timeout_s": task.timeout_seconds,
        "tags": list(task.tags),
        "key": task.key,
    }


def _task_of(text: str) -> TaskTemplate:
    stored = cast("dict[str, JsonValue]", decode_json(text))  # the shape that columns_of encodes
    timeout_seconds, tags = stored.pop("timeout_s"), stored.pop("tags")
    return TaskTemplate(**stored, timeout_seconds=timeout_seconds, tags=tuple(tags))  # type: ignore[arg-type]  # ditto
