"""Seals, the evidence that rests on them, and the archives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from api.sdk.calls import Answer, Call, Cursor, Page, items_reader, look, page_reader, shaped
from api.sdk.operations import Asked, Blocking, Listed, Looping


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What fixes the events of a range of positions for ever; hashes are hexadecimal."""

    number: int
    after: int
    upto: int
    events: int
    root: str
    previous_hash: str
    sealed_at: datetime
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The events of a task with the proofs that seals fix them.

    Attributes:
        document: the whole as the server sent it: what `taskledger verify --bundle` and others check.
    """

    format: str
    format_version: int
    task_id: UUID
    events: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    seals: tuple[Seal, ...] = field(default=(), repr=False)
    document: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A month of the log in a file; `state` says where its events are."""

    month: str
    state: str
    events: int
    tasks: int
    first_position: int
    last_position: int
    file: str
    file_bytes: int
    file_sha256: str
    first_recorded_at: datetime | None = None
    last_recorded_at: datetime | None = None
    archived_by: str = ""
    archived_at: datetime | None = None


class SealOperations:
    """What fixes the log, and what has left it."""

    @Listed
    def list(self, cursor: Cursor, *, after: int = 0) -> Call[Page[Seal]]:
        """Yield the seals after this number, oldest first."""
        query = {"after": after if cursor is None else cursor}
        return look(page_reader(Seal, "seals", "next_after"), "seals", query=query)

    @Asked
    def evidence(self, task_id: UUID | str) -> Call[Evidence]:
        """Return the evidence of a task, as it is sealed now; raises NotFoundError."""
        return look(_evidence, "tasks", task_id, "evidence")

    @Asked
    def archives(self) -> Call[Sequence[Archive]]:
        """Return the months that were archived, oldest first."""
        return look(items_reader(Archive, "archives"), "archives")


class Seals(SealOperations, Blocking):
    """The seals and the archives; as `TaskLedger.seals`."""


class AsyncSeals(SealOperations, Looping):
    """The seals and the archives; as `AsyncTaskLedger.seals`."""


def _evidence(answer: Answer) -> Evidence:
    document = answer.json()
    known = dict(document) if isinstance(document, Mapping) else {}
    return shaped(Evidence, {**known, "document": answer.body})
