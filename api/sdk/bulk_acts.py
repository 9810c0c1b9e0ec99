"""Bulk acts: what is done about all tasks or dead letters that a filter finds, at a rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, Unpack
from uuid import UUID

from api.sdk.calls import Answer, Call, Cursor, Page, act, look, page_reader, reader, shaped
from api.sdk.dead_letters import DeadLetter
from api.sdk.errors import UnexpectedAnswerError
from api.sdk.operations import Asked, Blocking, Listed, Looping, Scripted
from api.sdk.options import LetterChoice, TaskChoice, choice_body
from api.sdk.scripts import Script, until

Chosen = TypeVar("Chosen")
TaskAct = Literal["retry", "cancel"]
LetterBulkAct = Literal["redrive", "discard"]

_FOLDERS = {"retry": "tasks", "cancel": "tasks", "redrive": "dead-letters", "discard": "dead-letters"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTask:
    """A task that a bulk act would be about."""

    task_id: UUID
    status: str
    kind: str
    queue: str
    tags: tuple[str, ...] = ()
    attempt: int = 0
    error_type: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found(Generic[Chosen]):
    """What a bulk act would be about: how many, and the newest of them."""

    count: int
    sample: tuple[Chosen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAct:
    """What is done about many tasks or dead letters, and how far it has come.

    Attributes:
        state: running, done or cancelled.
        count: how many there were when it was asked for.
        skipped: those that others dealt with first, or that refuse the act.
    """

    bulk_id: UUID
    subject: str
    act: str
    state: str
    count: int
    acted: int
    skipped: int
    filter: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    actor: str = ""
    rate_per_s: int = 0
    limit: int | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None
    cancelled_by: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is done."""
        return self.state != "running"


class TaskPace(TaskChoice, total=False):
    """Which tasks, and how they are acted upon: so many a second, so many at most, and why."""

    rate_per_s: int
    limit: int
    reason: str


class LetterPace(LetterChoice, total=False):
    """Which dead letters, and how they are acted upon: so many a second, so many at most, and why."""

    rate_per_s: int
    limit: int
    reason: str


class BulkActOperations:
    """What is done about many at once: look with `find_…` first, then `begin_…`, then `wait`."""

    @Asked
    def find_tasks(
        self, act: TaskAct, *, limit: int | None = None, **choice: Unpack[TaskChoice]
    ) -> Call[Found[ChosenTask]]:
        """Say how many tasks would be retried or cancelled, and show some; nothing is done."""
        return _found(ChosenTask, act, choice, limit)

    @Asked
    def begin_tasks(self, act: TaskAct, **order: Unpack[TaskPace]) -> Call[BulkAct]:
        """Retry or cancel all tasks that were submitted until now and that the filter finds.

        Without any filter it is all of them. It is not sent twice: where no answer came, look into `list` first.
        """
        return _begun(act, order)

    @Asked
    def find_letters(
        self, act: LetterBulkAct, *, limit: int | None = None, **choice: Unpack[LetterChoice]
    ) -> Call[Found[DeadLetter]]:
        """Say how many dead letters would be redriven or discarded, and show some; nothing is done."""
        return _found(DeadLetter, act, choice, limit)

    @Asked
    def begin_letters(self, act: LetterBulkAct, **order: Unpack[LetterPace]) -> Call[BulkAct]:
        """Redrive or discard (which needs a reason) all dead letters until now that the filter finds.

        Without any filter it is all of them. It is not sent twice: where no answer came, look into `list` first.
        """
        return _begun(act, order)

    @Asked
    def get(self, bulk_id: UUID | str) -> Call[BulkAct]:
        """Return how far a bulk act has come; raises NotFoundError."""
        return _shown(bulk_id)

    @Listed
    def list(
        self,
        before: Cursor,
        *,
        subject: Literal["tasks", "dead_letters"] | None = None,
        state: str | Sequence[str] | None = None,
    ) -> Call[Page[BulkAct]]:
        """Yield bulk acts, newest first, a page at a time."""
        query = {"subject": subject, "state": state, "before": before}
        return look(page_reader(BulkAct, "bulk_acts", "next_before"), "bulk-acts", query=query)

    @Asked
    def cancel(self, bulk_id: UUID | str) -> Call[BulkAct]:
        """Stop a bulk act; what is done stays done, and one that has ended stays as it is."""
        return act(_BULK_ACT, "bulk-acts", bulk_id, "cancel", is_repeatable=True)

    @Scripted
    def wait(self, bulk_id: UUID | str, timeout: float | None = None) -> Script[BulkAct]:
        """Wait until a bulk act has ended, and return it; raises StillAtWorkError after `timeout` seconds."""
        what = f"bulk act {bulk_id}"
        return until(_shown(bulk_id), lambda seen: seen.has_ended, what=what, timeout=timeout)


class BulkActs(BulkActOperations, Blocking):
    """The bulk acts; as `TaskLedger.bulk_acts`."""


class AsyncBulkActs(BulkActOperations, Looping):
    """The bulk acts; as `AsyncTaskLedger.bulk_acts`."""


_BULK_ACT = reader(BulkAct)


def _shown(bulk_id: UUID | str) -> Call[BulkAct]:
    return look(_BULK_ACT, "bulk-acts", bulk_id)


def _found(shape: type[Chosen], what: str, choice: Mapping[str, Any], limit: int | None) -> Call[Found[Chosen]]:
    def read(answer: Answer) -> Found[Chosen]:
        document = answer.json()
        if not isinstance(document, Mapping) or not isinstance(document.get("sample"), list):
            raise UnexpectedAnswerError(f"an answer {answer.status} must have a list sample")
        return Found(int(document.get("count", 0)), tuple(shaped(shape, one) for one in document["sample"]))

    body = {"dry_run": True, "filter": choice_body(choice), "limit": limit}
    return act(read, _FOLDERS[what], what, body=body, is_repeatable=True)


def _begun(what: str, order: Mapping[str, Any]) -> Call[BulkAct]:
    pace = {name: order[name] for name in ("rate_per_s", "limit", "reason") if order.get(name) is not None}
    choice = {name: value for name, value in order.items() if name not in ("rate_per_s", "limit", "reason")}
    body = {"dry_run": False, "filter": choice_body(choice), **pace}
    return act(_BULK_ACT, _FOLDERS[what], what, body=body)
