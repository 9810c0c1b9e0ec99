"""The tasks as the API sees them: the read model `task_status`, and the fold of the stream where that is behind.

A client that has its 202 finds its task at once: where the read model has no row yet, or no table yet, the
stream itself is folded, and where its row is older than the client asks for. Else a row that is older than its
stream is served as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic import JsonValue

from api.gathered_reads import GatheredReads
from api.schemas import ListQuery
from ledger.bootstrap import Ledger
from ledger.codec import decode
from ledger.errors import StoreRefusedError, TaskNotFoundError
from ledger.jsonvalue import decode_json
from ledger.messages import ready_band
from ledger.payloads.opening import Opening
from ledger.queries import query
from ledger.store.records import RecordedEvent
from ledger.task import Task

_UNDEFINED_TABLE = "42P01"
_LANES_MAX = 2
_BATCH_SIZE_MAX = 50
# The moments that a task id can tell, with room for a day on either side.
FIRST = datetime(1970, 1, 2, tzinfo=UTC)
LAST = datetime(9999, 12, 30, tzinfo=UTC)
ABOVE_ALL = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """A row of the read model without its input and result, which can be large."""

    task_id: UUID
    version: int
    position: int
    status: str
    kind: str
    queue: str
    priority: int
    tags: Sequence[str]
    error: Mapping[str, JsonValue] | None
    cause: str | None
    attempt: int
    failures: int
    losses: int
    max_attempts: int
    timeout_s: float
    worker_id: str | None
    ready: bool
    release_at: datetime | None
    ready_at: datetime | None
    progress: float | None
    progress_message: str | None
    cancel_requested: bool
    parent: UUID | None
    key: str | None
    unique_key: str | None
    after: Sequence[UUID]
    on_parent_failure: str | None
    tenant: str | None
    hold: str | None
    discarded: bool
    correlation_id: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView(TaskSummary):
    """A row of the read model."""

    input: JsonValue
    result: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks to list; None stands for all. The times of creation are a half-open interval."""

    statuses: Sequence[str] | None = None
    kind: str | None = None
    queue: str | None = None
    tags: Sequence[str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    as_of: datetime | None = None


# Where a view has what events keep encrypted, by its name there.
_SECRETS = {"input": "input", "result": "result", "error": "error", "message": "progress_message"}

Shown = TypeVar("Shown", bound=TaskSummary)


def filter_of(asked: ListQuery) -> TaskFilter:
    """Return which tasks a client asks to list."""
    return TaskFilter(
        statuses=asked.status or None,
        kind=asked.kind,
        queue=asked.queue,
        tags=asked.tag or None,
        created_after=asked.created_after,
        created_before=asked.created_before,
        as_of=asked.as_of,
    )


# What a view is made of: a row of the read model, or the events of the stream.
_Source = Mapping[str, object] | Sequence[RecordedEvent]


class TaskReader:
    """Reads tasks for the API."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._store = ledger.store
        self._opening = Opening(ledger.vault)
        self._sources = GatheredReads(self._read_sources, lanes_max=_LANES_MAX, batch_size_max=_BATCH_SIZE_MAX)
        self._streams = GatheredReads(
            ledger.store.read_streams, lanes_max=_LANES_MAX, batch_size_max=_BATCH_SIZE_MAX
        )

    async def find(self, task_id: UUID, *, position_min: int = 0, version_min: int = 0) -> TaskView:
        """Return the task from the read model, or folded from its stream where that is older than asked for.

        What is encrypted of it is opened as far as that is possible.

        Raises:
            TaskArchivedError: it has no row, and its stream is not in the log.
            TaskNotFoundError: the ledger has no such stream.
            StoreUnavailableError: the database is out of reach.
        """
        found = await self._find(task_id, position_min=position_min, version_min=version_min)
        return (await opened_tasks(self._opening, [found]))[0]

    async def _find(self, task_id: UUID, *, position_min: int, version_min: int) -> TaskView:
        found = await self._sources.find(task_id)
        if found is None:
            await self._store.read_stream(task_id, limit=1)  # says so where it is archived
            raise TaskNotFoundError(task_id)
        if isinstance(found, Sequence):
            return view_of(found)
        view = _view_of_row(found)
        if view.position >= position_min and view.version >= version_min:
            return view
        stream = await self._streams.find(task_id)
        return view_of(stream) if stream else view  # a stream that was archived has a row all the same

    async def list(self, task_filter: TaskFilter, *, below: UUID | None, limit: int) -> Sequence[TaskSummary]:
        """Return a page of the read model, newest first, of tasks older than `below`; empty without a table."""
        rows = await self._rows(
            "list_tasks",
            task_filter.statuses,
            task_filter.kind,
            task_filter.queue,
            task_filter.tags,
            max(task_filter.created_after or FIRST, FIRST),
            max(task_filter.created_before or LAST, FIRST),
            below or ABOVE_ALL,
            limit,
        )
        return await opened_tasks(self._opening, [summary_of_row(row) for row in rows])

    async def _read_sources(self, task_ids: Sequence[UUID]) -> dict[UUID, _Source]:
        # Nothing is decoded here: an event that this release does not know must not spoil the others' answers.
        rows = {UUID(str(row["task_id"])): row for row in await self._rows("find_tasks", task_ids)}
        missing = [task_id for task_id in task_ids if task_id not in rows]
        return {**rows, **(await self._store.read_streams(missing) if missing else {})}

    async def _rows(self, name: str, *arguments: object) -> Sequence[Mapping[str, object]]:
        try:
            async with self._database.connection() as connection:
                return [dict(row) for row in await connection.fetch(query(name), *arguments)]
        except StoreRefusedError as error:
            if getattr(error.__cause__, "sqlstate", None) == _UNDEFINED_TABLE:
                return []
            raise


def view_of(events: Sequence[RecordedEvent]) -> TaskView:
    """Fold a whole stream of at least one event into what its row in the read model will be."""
    task: Task | None = None
    ready_at: datetime | None = None
    for event in events:
        task = decode(event).mutate(task)
        if ready_band(event) is not None:
            ready_at = event.recorded_at
    if task is None:
        raise TaskNotFoundError(events[0].task_id)
    first, last = events[0], events[-1]
    return TaskView(
        task_id=task.id,
        version=task.version,
        position=last.position,
        ready_at=ready_at if task.ready else None,
        correlation_id=first.correlation_id,
        created_at=first.recorded_at,
        updated_at=last.recorded_at,
        **{name: getattr(task, name) for name in _STATE},
    )


async def opened_tasks(opening: Opening, tasks: Sequence[Shown]) -> list[Shown]:
    """Return tasks with what is encrypted of them opened, as far as that is possible."""
    fields = [
        (task.task_id, {name: getattr(task, at) for name, at in _SECRETS.items() if hasattr(task, at)})
        for task in tasks
    ]
    opened = await opening.fields(fields)
    return [_with(task, before[1], after) for task, before, after in zip(tasks, fields, opened, strict=True)]


def _with(task: Shown, before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> Shown:
    if before == after:
        return task
    values: dict[str, Any] = {_SECRETS[name]: value for name, value in after.items()}
    error = values["error"]
    if isinstance(error, Mapping) and not isinstance(task, TaskView):
        values["error"] = {name: value for name, value in error.items() if name != "traceback"}
    return replace(task, **values)


def summary_of_row(row: Mapping[str, object]) -> TaskSummary:
    """Return a row of the read model as a list shows it."""
    return TaskSummary(**_facts(row))


def summary_of(task: TaskView) -> TaskSummary:
    """Return a task as a list shows it: without its input, its result and the traceback of its error."""
    facts = {name: getattr(task, name) for name in _COLUMNS}
    if task.error is not None:
        facts["error"] = {name: value for name, value in task.error.items() if name != "traceback"}
    return TaskSummary(**facts)


# What the read model and the aggregate's state have under one name.
_STATE = (
    "status", "kind", "queue", "priority", "tags", "input", "result", "error", "cause", "attempt", "failures",
    "losses", "max_attempts", "timeout_s", "worker_id", "ready", "release_at", "progress", "progress_message",
    "cancel_requested", "parent", "key", "unique_key", "after", "on_parent_failure", "tenant", "hold", "discarded",
    "started_at", "finished_at",
)  # fmt: skip


def _view_of_row(row: Mapping[str, object]) -> TaskView:
    return TaskView(**_facts(row), input=_decoded(row["input"]), result=_decoded(row["result"]))


def _facts(row: Mapping[str, object]) -> dict[str, Any]:
    return {**{name: row[name] for name in _COLUMNS}, "error": _decoded(row["error"])}


def _decoded(text: object) -> JsonValue:
    return None if text is None else decode_json(str(text))


_COLUMNS = tuple(TaskSummary.__dataclass_fields__)
