"""The words about tasks that a bulk act is about: which are asked for, and what can be done about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from pydantic import JsonValue

from ledger.task import FINISHED
from ledger.task_words import Status

_MOMENTS = frozenset({"created_after", "created_before"})


class TaskAct(StrEnum):
    """What can be done about many tasks."""

    RETRIED = "retried"
    CANCELLED = "cancelled"

    @property
    def statuses(self) -> Sequence[Status]:
        """The states of the tasks to which it can be done."""
        return tuple(one for one in Status if (one in FINISHED) is (self is TaskAct.RETRIED))

    @property
    def usual_statuses(self) -> Sequence[Status]:
        """The states that are meant where none is asked for: nobody retries by accident what has completed."""
        return (Status.FAILED,) if self is TaskAct.RETRIED else self.statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChoice:
    """Which tasks are meant, under the names of the API; None stands for all. The times are a half-open interval.

    A task that somebody has discarded is never meant.

    Attributes:
        error_type: tasks whose last error was of this type.
    """

    status: Sequence[Status]
    kind: str | None = None
    queue: str | None = None
    tags: Sequence[str] | None = None
    error_type: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> Self:
        """Return the choice that `as_json` made these values of."""
        known = {field.name for field in fields(cls)} & values.keys()
        facts: dict[str, object] = {name: values[name] for name in known - _MOMENTS}
        facts |= {name: datetime.fromisoformat(str(values[name])) for name in known & _MOMENTS}
        status = values.get("status")
        facts["status"] = tuple(Status(str(one)) for one in status) if isinstance(status, list) else ()
        return cls(**facts)  # type: ignore[arg-type]  # each is what as_json made of a field

    def as_json(self) -> dict[str, JsonValue]:
        """Return what was asked for as JSON values, by the names of the fields."""
        asked = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _as_json(value) for name, value in asked.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTask:
    """A task in a sample of what a choice finds, by the read model."""

    task_id: UUID
    status: Status
    kind: str
    queue: str
    tags: Sequence[str]
    attempt: int
    error_type: str | None
    created_at: datetime
    updated_at: datetime


def _as_json(value: object) -> JsonValue:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, str) else [str(one) for one in value]  # type: ignore[attr-defined]  # a sequence
