"""Dead letters: what failed for good, or could not be taken by anybody."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Unpack
from uuid import UUID

from api.sdk.answers import Event, StaleWrite
from api.sdk.calls import Call, Cursor, Page, act, look, page_reader, reader
from api.sdk.operations import Asked, Blocking, Listed, Looping
from api.sdk.options import LetterFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterActTaken:
    """Who dealt with a dead letter; `act` is redriven or discarded."""

    act: str
    actor: str
    reason: str
    acted_at: datetime
    bulk_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A task that failed for good, or a message that nobody could take.

    A list has only the first part. Of a task `input`, `error` and `history` are known, of a message `body`,
    `headers` and `properties`.
    """

    id: UUID
    kind: str
    queue: str
    died_at: datetime
    reason: str = ""
    cause: str | None = None
    task_id: UUID | None = None
    task_kind: str | None = None
    task_version: int | None = None
    message_id: str | None = None
    error_type: str | None = None
    tags: tuple[str, ...] = ()
    attempt: int | None = None
    act: LetterActTaken | None = None
    task_status: str | None = None
    input: Any = field(default=None, repr=False)
    error: Mapping[str, Any] | None = field(default=None, repr=False)
    failures: int | None = None
    losses: int | None = None
    max_attempts: int | None = None
    history: tuple[Event, ...] = field(default=(), repr=False)
    stale_writes: tuple[StaleWrite, ...] = field(default=(), repr=False)
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    properties: Mapping[str, Any] | None = field(default=None, repr=False)
    body: str | None = field(default=None, repr=False)
    body_encoding: str | None = None
    body_bytes: int | None = None
    body_is_cut: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterAct:
    """What was done about a dead letter."""

    id: UUID
    kind: str
    act: str
    task_id: UUID | None = None
    task_version: int | None = None


class DeadLetterOperations:
    """What failed for good; many at once are the matter of `bulk_acts`."""

    @Listed
    def list(self, cursor: Cursor, **wanted: Unpack[LetterFilter]) -> Call[Page[DeadLetter]]:
        """Yield dead letters, newest first, a page at a time."""
        read = page_reader(DeadLetter, "dead_letters", "next_cursor")
        return look(read, "dead-letters", query={**wanted, "cursor": cursor})

    @Asked
    def get(self, letter_id: UUID | str) -> Call[DeadLetter]:
        """Return everything about a dead letter; raises NotFoundError."""
        return look(reader(DeadLetter), "dead-letters", letter_id)

    @Asked
    def redrive(self, letter_id: UUID | str, *, reason: str = "") -> Call[LetterAct]:
        """Retry the task, or release the task that waits for the message; raises ConflictError where it cannot."""
        return act(reader(LetterAct), "dead-letters", letter_id, "redrive", body={"reason": reason})

    @Asked
    def discard(self, letter_id: UUID | str, *, reason: str) -> Call[LetterAct]:
        """Set a dead letter aside; raises ConflictError where somebody has dealt with it."""
        return act(reader(LetterAct), "dead-letters", letter_id, "discard", body={"reason": reason})


class DeadLetters(DeadLetterOperations, Blocking):
    """The dead letters; as `TaskLedger.dead_letters`."""


class AsyncDeadLetters(DeadLetterOperations, Looping):
    """The dead letters; as `AsyncTaskLedger.dead_letters`."""
