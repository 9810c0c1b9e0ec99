"""A task as it was: the beginning of its stream, folded by the aggregate.

What was recorded until a moment is what has its `recorded_at`, by the database's clock, at that moment or before.
An event is recorded after the one before it in its stream was committed, so that is a beginning of the stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import takewhile
from uuid import UUID

from api.as_of import AsOfQuery, DiffQuery, past_interval, past_moment
from api.read_model import TaskView, opened_tasks, view_of
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError, TaskNotFoundError
from ledger.payloads.opening import Opening
from ledger.store.records import RecordedEvent, StaleWrite

_LEAST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class TaskThen:
    """A task as it was, and the last moment at which it was so: None where it still is."""

    task: TaskView
    until: datetime | None

    def was_refused(self, write: StaleWrite) -> bool:
        """Whether a late write had been refused by then."""
        return self.until is None or write.recorded_at is None or write.recorded_at <= self.until


class TaskPast:
    """Reads the past of single tasks from their streams; the read model has no part in it."""

    def __init__(self, ledger: Ledger) -> None:
        self._store = ledger.store
        self._opening = Opening(ledger.vault)

    async def find(self, task_id: UUID, asked: AsOfQuery) -> TaskThen:
        """Return the task as it was.

        Raises:
            TaskNotFoundError: there was no such task yet, or never is one.
            InvalidValueError: the moment is still to come, or the task has no such version.
            StoreUnavailableError: the database is out of reach.
        """
        if asked.as_of is not None:
            moment = past_moment(asked.as_of, now=await self._store.database_time(), field="as_of")
            stream = recorded_until(await self._store.read_stream(task_id), moment)
            return TaskThen(await self._folded(task_id, stream), moment)
        stream = await self._store.read_stream(task_id)
        version = asked.as_of_version or len(stream)
        if stream and version > stream[-1].version:
            bound = f"at most {stream[-1].version}, the version that the task is at"
            raise InvalidValueError(field="as_of_version", bound=bound, value=version)
        until = stream[version].recorded_at - _LEAST if version < len(stream) else None
        return TaskThen(await self._folded(task_id, stream[:version]), until)

    async def diff(self, task_id: UUID, asked: DiffQuery) -> dict[str, object]:
        """Return which fields of a task are not what they were; all of them where it was not there yet.

        Raises:
            TaskNotFoundError: there was no such task at the later moment either.
            InvalidValueError: a moment is still to come, or the later one is the earlier one.
            StoreUnavailableError: the database is out of reach.
        """
        interval = past_interval(asked, now=await self._store.database_time())
        stream = await self._store.read_stream(task_id)
        after = await self._folded(task_id, recorded_until(stream, interval.until))
        beginning = recorded_until(stream, interval.since)
        before = await self._folded(task_id, beginning) if beginning else None
        return {
            "task_id": task_id,
            "from": {"as_of": interval.since, "version": before.version if before else 0},
            "to": {"as_of": interval.until, "version": after.version},
            "changes": changes_between(before, after),
        }

    async def _folded(self, task_id: UUID, stream: Sequence[RecordedEvent]) -> TaskView:
        if not stream:
            raise TaskNotFoundError(task_id)
        return (await opened_tasks(self._opening, [view_of(stream)]))[0]


def recorded_until(stream: Sequence[RecordedEvent], moment: datetime) -> list[RecordedEvent]:
    """Return the beginning of a stream that was recorded at this moment or before."""
    return list(takewhile(lambda event: event.recorded_at <= moment, stream))


def changes_between(before: TaskView | None, after: TaskView) -> dict[str, dict[str, object]]:
    """Return the fields that differ, each with what it was and what it became."""
    return {
        name: {"from": was, "to": became}
        for name in (field.name for field in fields(TaskView))
        if (was := None if before is None else getattr(before, name)) != (became := getattr(after, name))
    }
