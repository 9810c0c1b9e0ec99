"""The words about dead letters: which one is meant, which are asked for, where a page of them ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Self
from uuid import UUID

from pydantic import JsonValue


class LetterKind(StrEnum):
    """What died."""

    TASK = "task"
    MESSAGE = "message"


class Act(StrEnum):
    """What can be done about a dead letter."""

    REDRIVEN = "redriven"
    DISCARDED = "discarded"


class Place(NamedTuple):
    """Where a dead letter stands in the list: letters are in the order of their death, then of their ids."""

    died_at: datetime
    letter_id: UUID


# Above everything that the list can hold, with room for a day: the list is read downwards.
TOP = Place(datetime(9999, 12, 30, tzinfo=UTC), UUID(int=2**128 - 1))
_BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)
_MOMENTS = frozenset({"died_after", "died_before"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant; None stands for all. The times are a half-open interval.

    A message has no error type and no tags, so asking for these leaves only tasks.
    """

    kind: LetterKind | None = None
    task_kind: str | None = None
    queue: str | None = None
    error_type: str | None = None
    cause: str | None = None
    tags: Sequence[str] | None = None
    died_after: datetime | None = None
    died_before: datetime | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> Self:
        """Return the filter that `as_json` made these values of."""
        known = {field.name for field in fields(cls)} & values.keys()
        facts: dict[str, object] = {name: values[name] for name in known - _MOMENTS}
        facts |= {name: datetime.fromisoformat(str(values[name])) for name in known & _MOMENTS}
        if "kind" in facts:
            facts["kind"] = LetterKind(str(facts["kind"]))
        return cls(**facts)  # type: ignore[arg-type]  # each is what as_json made of a field

    def as_json(self) -> dict[str, JsonValue]:
        """Return what was asked for as JSON values, by the names of the fields."""
        asked = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.isoformat()
            if isinstance(value, datetime)
            else list(value)
            if name == "tags"
            else str(value)
            for name, value in asked.items()
            if value is not None
        }

    @property
    def is_everything(self) -> bool:
        """Whether nothing was asked for."""
        return not self.as_json()

    @property
    def finds_tasks(self) -> bool:
        """Whether a task can be meant."""
        return self.kind is not LetterKind.MESSAGE

    @property
    def finds_messages(self) -> bool:
        """Whether a message can be meant."""
        return self.kind is not LetterKind.TASK and self.error_type is None and not self.tags

    @property
    def interval(self) -> tuple[datetime, datetime]:
        """Return the bounds of the time of death, in what the database can compare."""
        after = max(self.died_after or _BEGINNING, _BEGINNING)
        return after, max(min(self.died_before or TOP.died_at, TOP.died_at), _BEGINNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter:
    """A dead letter in a list.

    Attributes:
        task_id: the task that failed, or that a message is about; None where it is no message of ours.
        task_version: how many events the task has, or which of them the message announced.
        reason: why it died, in words: of a task the message of its error.
        cause: why, in one word: of a task that of its last attempt, of a message `rejected` or the broker's word.
    """

    id: UUID
    kind: LetterKind
    queue: str
    task_kind: str | None
    task_id: UUID | None
    task_version: int | None
    message_id: str | None
    error_type: str | None
    reason: str
    cause: str | None
    tags: Sequence[str]
    attempt: int | None
    died_at: datetime

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return Place(self.died_at, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What was done about a message."""

    act: Act
    actor: str
    reason: str
    bulk_id: UUID | None
    acted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage:
    """A message with all that it came with.

    Attributes:
        body: as much of it as is kept; `body_bytes` is how much it was.
        acted: what was done about it; None while it is a dead letter.
    """

    id: UUID
    queue: str
    message_id: str
    body: bytes
    body_bytes: int
    headers: JsonValue
    properties: JsonValue
    reason: str
    cause: str
    task_id: UUID | None
    task_version: int | None
    task_kind: str | None
    collected_at: datetime
    acted: Acted | None
