"""Tasks: submitted, looked at, waited for, commanded."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Unpack
from uuid import UUID

from api.sdk.answers import Commanded, Event, Explanation, Receipt, Task, TaskDiff, TaskStatus, Timeline
from api.sdk.calls import Call, Cursor, Page, act, look, nothing, page_reader, reader
from api.sdk.following import Stream
from api.sdk.operations import Asked, Listed, Scripted, Streamed
from api.sdk.options import EventFilter, NewTask, SubmitOptions, TaskFilter
from api.sdk.scripts import Script
from api.sdk.submitting import CHUNK_SIZE, submission, submission_of_many
from api.sdk.waiting import wait_for_end

Id = UUID | str


class TaskOperations:
    """What is asked of tasks; part of both clients."""

    @Asked
    def submit(
        self,
        kind: str,
        input: Any = None,  # noqa: A002, ANN401 - the ledger's own word, and any JSON value
        **options: Unpack[SubmitOptions],
    ) -> Call[Receipt]:
        """Submit a task; it is in the ledger when this returns.

        It is sent with an idempotency key, so that a lost answer is asked for again and makes no second task. The
        key costs the server a transaction of its own instead of a place in a group commit; `idempotent=False`
        declines it, where many small submissions matter more than an answer that may be lost.

        Raises:
            InvalidRequestError: a field is out of its bound.
            IdempotencyKeyReusedError: the key was used for another submission.
            ConnectionFailedError: no answer came; `is_in_doubt` says whether the task may be there.
        """
        return submission(kind, input, options)

    @Scripted
    def submit_many(self, tasks: Iterable[NewTask], *, chunk_size: int = CHUNK_SIZE) -> Script[list[UUID]]:
        """Submit many tasks and return their ids in the same order.

        They go in chunks, each of which is taken whole or not at all; a `ref` holds within its chunk. A chunk
        whose answer is lost is not sent again, because batches have no idempotency keys.

        Raises:
            InvalidRequestError: an item of the first chunk is out of its bound; `errors` lists them.
            SubmitManyError: a later chunk was not taken; `task_ids` has those of the chunks before it.
        """
        return submission_of_many(tasks, chunk_size)

    @Asked
    def get(self, task_id: Id, *, as_of: datetime | None = None, as_of_version: int | None = None) -> Call[Task]:
        """Return everything about a task, as it is or was at a moment or a version; raises NotFoundError."""
        return look(reader(Task), "tasks", task_id, **_then(as_of, as_of_version))

    @Asked
    def status(
        self, task_id: Id, *, as_of: datetime | None = None, as_of_version: int | None = None
    ) -> Call[TaskStatus]:
        """Return the status of a task, as it is or was at a moment or a version; raises NotFoundError."""
        return look(reader(TaskStatus), "tasks", task_id, "status", **_then(as_of, as_of_version))

    @Listed
    def list(self, cursor: Cursor, **wanted: Unpack[TaskFilter]) -> Call[Page[Task]]:
        """Yield tasks, newest first, a page at a time."""
        read = page_reader(Task, "tasks", "next_cursor")
        return look(read, "tasks", query={**wanted, "cursor": cursor}, is_fresh="as_of" not in wanted)

    @Listed
    def history(self, cursor: Cursor, task_id: Id, *, after_version: int = 0) -> Call[Page[Event]]:
        """Yield the events of a task, oldest first; raises NotFoundError."""
        query = {"after_version": after_version if cursor is None else cursor}
        return look(page_reader(Event, "events", "next_after_version"), "tasks", task_id, "events", query=query)

    @Streamed
    def stream(self, task_id: Id | None = None, **wanted: Unpack[EventFilter]) -> Stream[Event]:
        """Yield events as they happen, for ever, without a gap and without a repeat over lost connections.

        Of a task its whole history comes first; of all tasks what happens next, or what follows the position
        `after`. `types`, `kind` and `queue` are for the stream of all tasks.

        Raises:
            NotFoundError: there is no such task.
            UnauthenticatedError: the API key is over; the server ends the stream within seconds.
            ConnectionFailedError: the server was away for longer than the retries allow.
        """
        parts = ("events", "stream") if task_id is None else ("tasks", task_id, "stream")
        return Stream(look(nothing, *parts, query=wanted), Event)

    @Scripted
    def wait(self, task_id: Id, timeout: float | None = None) -> Script[Any]:
        """Wait until a task has ended and return its result; for ever without a timeout.

        The server answers when the status changes; it knows whole seconds only, at least one.

        Raises:
            TaskFailedError: it failed for good; `task.error` says how.
            TaskCancelledError: it was cancelled.
            WaitTimeoutError: it had not ended after `timeout` seconds; it goes on.
            NotFoundError: there is no such task.
        """
        return wait_for_end(task_id, timeout)

    @Asked
    def cancel(self, task_id: Id, *, reason: str = "") -> Call[Commanded]:
        """Cancel a pending task, or ask the worker of a running one to stop.

        Raises:
            NotFoundError: there is no such task.
            ConflictError: it is finished; `reason` is `too_late`.
        """
        return _command(task_id, "cancel", reason)

    @Asked
    def retry(self, task_id: Id, *, reason: str = "") -> Call[Commanded]:
        """Drive a finished task again.

        Raises:
            NotFoundError: there is no such task.
            ConflictError: it is not finished, or another unfinished task has its unique key.
        """
        return _command(task_id, "retry", reason)

    @Asked
    def erase(self, task_id: Id, *, reason: str = "") -> Call[Commanded]:
        """Destroy the key of what a finished erasable task was given and came up with, for good.

        Raises:
            NotFoundError: there is no such task.
            ConflictError: it is not finished, or not erasable.
        """
        return _command(task_id, "erase", reason)

    @Asked
    def explain(self, task_id: Id) -> Call[Explanation]:
        """Say why a task is not running, how it runs, or why it ended; raises NotFoundError."""
        return look(reader(Explanation), "tasks", task_id, "explain")

    @Asked
    def timeline(self, task_id: Id) -> Call[Timeline]:
        """Say how long a task waited and ran, attempt by attempt; raises NotFoundError."""
        return look(reader(Timeline), "tasks", task_id, "timeline", is_fresh=True)

    @Asked
    def diff(self, task_id: Id, begin: datetime, end: datetime | None = None) -> Call[TaskDiff]:
        """Say what changed about a task from one moment to another, or until now; raises NotFoundError."""
        return look(reader(TaskDiff), "tasks", task_id, "diff", query={"from": begin, "to": end})


def _then(as_of: datetime | None, as_of_version: int | None) -> Mapping[str, Any]:
    is_fresh = as_of is None and as_of_version is None
    return {"query": {"as_of": as_of, "as_of_version": as_of_version}, "is_fresh": is_fresh}


def _command(task_id: Id, what: str, reason: str) -> Call[Commanded]:
    return act(reader(Commanded), "tasks", task_id, what, body={"reason": reason})
