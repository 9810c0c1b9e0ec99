"""TaskLedger: the blocking client."""

import time
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from typing import Any, Self, Unpack
from uuid import UUID

from api.sdk import task_calls as calls
from api.sdk.answers import Commanded, Event, Explanation, LedgerCounts, Receipt, Task, TaskStatus
from api.sdk.connection import ClientOptions, Connection
from api.sdk.errors import (
    ApiError,
    ConnectionFailedError,
    SubmitManyError,
    WaitTimeoutError,
)
from api.sdk.following import Following
from api.sdk.options import EventFilter, LogFilter, NewTask, SubmitOptions, TaskFilter
from api.sdk.sync_operators import DeadLetters, Queues, Schedules
from api.sdk.task_calls import CHUNK_SIZE, Id
from api.sdk.waiting import BREATH_SECONDS, POLL_SECONDS_MAX, in_doubt, result_of


class TaskLedger:
    """A client of a running Task Ledger; threads may share it.

    >>> with TaskLedger() as ledger:
    ...     receipt = ledger.submit("echo", {"to": "ada"})
    ...     ledger.wait(receipt.task_id, timeout=30)
    {'to': 'ada'}

    Args:
        base_url: where it runs, for example `http://127.0.0.1:8080`; LEDGER_URL when absent.
        options: how to connect, see `ClientOptions`.

    Attributes:
        queues: what operators ask of queues.
        dead_letters: what failed for good.
        schedules: recurring tasks.

    Every method may raise ConnectionFailedError, UnavailableError, RateLimitedError, UnauthenticatedError,
    ForbiddenError and UnexpectedAnswerError beside what it says itself.
    """

    def __init__(self, base_url: str | None = None, **options: Unpack[ClientOptions]) -> None:
        self._connection = Connection(base_url, options)
        self.queues = Queues(self._connection)
        self.dead_letters = DeadLetters(self._connection)
        self.schedules = Schedules(self._connection)

    def __repr__(self) -> str:
        return f"TaskLedger({self._connection!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def submit(self, kind: str, input: Any = None, **options: Unpack[SubmitOptions]) -> Receipt:  # noqa: A002, ANN401 - the ledger's own word, and any JSON value
        """Submit a task; it is in the ledger when this returns.

        It is sent with an idempotency key, so that a lost answer is asked for again and makes no second task. The
        key costs the server a transaction of its own instead of a place in a group commit; `idempotent=False`
        declines it, where many small submissions matter more than an answer that may be lost.

        Raises:
            InvalidRequestError: a field is out of its bound.
            IdempotencyKeyReusedError: the key was used for another submission.
            ConnectionFailedError: no answer came; `is_in_doubt` says whether the task may be there.
        """
        return self._connection.ask(calls.submit(kind, input, options))

    def submit_many(self, tasks: Iterable[NewTask], *, chunk_size: int = CHUNK_SIZE) -> list[UUID]:
        """Submit many tasks and return their ids in the same order.

        They go in chunks, each of which is taken whole or not at all; a `ref` holds within its chunk. A chunk
        whose answer is lost is not sent again, because batches have no idempotency keys.

        Raises:
            InvalidRequestError: an item of the first chunk is out of its bound; `errors` lists them.
            SubmitManyError: a later chunk was not taken; `task_ids` has those of the chunks before it.
        """
        task_ids: list[UUID] = []
        for call in calls.submit_chunks(tasks, chunk_size):
            try:
                submitted = self._connection.ask(call)
            except (ApiError, ConnectionFailedError) as error:
                if not task_ids:
                    raise
                raise SubmitManyError(task_ids=task_ids, is_in_doubt=in_doubt(error)) from error
            task_ids += submitted
        return task_ids

    def get(self, task_id: Id, *, as_of: datetime | None = None) -> Task:
        """Return everything about a task, as it is or was at a moment; raises NotFoundError."""
        return self._connection.ask(calls.get(task_id, as_of))

    def status(self, task_id: Id, *, as_of: datetime | None = None) -> TaskStatus:
        """Return the status of a task, as it is or was at a moment; raises NotFoundError."""
        return self._connection.ask(calls.status(task_id, as_of))

    def list(self, **wanted: Unpack[TaskFilter]) -> Iterator[Task]:
        """Yield tasks, newest first, a page at a time."""
        cursor: str | int | None = None
        while True:
            page = self._connection.ask(calls.list_tasks(wanted, cursor))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def history(self, task_id: Id, *, after_version: int = 0) -> Iterator[Event]:
        """Yield the events of a task, oldest first; raises NotFoundError."""
        after: str | int | None = after_version
        while after is not None:
            page = self._connection.ask(calls.history(task_id, int(after)))
            yield from page.items
            after = page.next

    def events(self, **wanted: Unpack[LogFilter]) -> Iterator[Event]:
        """Yield the events of all tasks by position, up to where the log is complete now."""
        after: str | int | None = wanted.get("after", 0)
        while after is not None:
            page = self._connection.ask(calls.log(wanted, int(after)))
            yield from page.items
            after = page.next

    def stream(self, task_id: Id | None = None, **wanted: Unpack[EventFilter]) -> Generator[Event, None, None]:
        """Yield events as they happen, for ever, without a gap and without a repeat over lost connections.

        Of a task its whole history comes first; of all tasks what happens next, or what follows the position
        `after`. `types`, `kind` and `queue` are for the stream of all tasks.

        Raises:
            NotFoundError: there is no such task.
            ConnectionFailedError: the server was away for longer than the retries allow.
        """
        return self._connection.follow(Following(task_id, wanted, self._connection.retries))

    def wait(self, task_id: Id, timeout: float | None = None) -> Any:  # noqa: ANN401 - any JSON value
        """Wait until a task has ended and return its result; for ever without a timeout.

        The server answers when the status changes; it knows whole seconds only, at least one.

        Raises:
            TaskFailedError: it failed for good; `task.error` says how.
            TaskCancelledError: it was cancelled.
            WaitTimeoutError: it had not ended after `timeout` seconds; it goes on.
            NotFoundError: there is no such task.
        """
        ends_at = None if timeout is None else time.monotonic() + timeout
        before = ""
        while True:
            left = POLL_SECONDS_MAX if ends_at is None else ends_at - time.monotonic()
            call = calls.status(task_id) if left <= 0 else calls.status_soon(task_id, min(left, POLL_SECONDS_MAX))
            found = self._connection.ask(call)
            if found.is_finished:
                return result_of(found, self.get(task_id) if found.status != "COMPLETED" else None)
            if timeout is not None and left <= 1:
                raise WaitTimeoutError(task_id=found.task_id, seconds=timeout, status=found.status)
            if found.status == before:
                time.sleep(BREATH_SECONDS)
            before = found.status

    def cancel(self, task_id: Id, *, reason: str = "") -> Commanded:
        """Cancel a pending task, or ask the worker of a running one to stop.

        Raises:
            NotFoundError: there is no such task.
            ConflictError: it is finished; `reason` is `too_late`.
        """
        return self._connection.ask(calls.command(task_id, "cancel", reason))

    def retry(self, task_id: Id, *, reason: str = "") -> Commanded:
        """Drive a finished task again.

        Raises:
            NotFoundError: there is no such task.
            ConflictError: it is not finished, or another unfinished task has its unique key.
        """
        return self._connection.ask(calls.command(task_id, "retry", reason))

    def explain(self, task_id: Id) -> Explanation:
        """Say why a task is not running, how it runs, or why it ended; raises NotFoundError."""
        return self._connection.ask(calls.explain(task_id))

    def as_of(self, moment: datetime) -> LedgerCounts:
        """Say how many tasks there were at a moment, by status, queue and kind."""
        return self._connection.ask(calls.counts(moment))
