"""What the end of a task means for whoever waited for it."""

import time
from typing import Any
from uuid import UUID

from api.sdk.answers import Task, TaskStatus
from api.sdk.calls import Call, look, path_of, reader
from api.sdk.errors import (
    ConnectionFailedError,
    TaskCancelledError,
    TaskFailedError,
    TaskLedgerError,
    UnavailableError,
    WaitTimeoutError,
)
from api.sdk.scripts import Pause, Script

# Less than proxies commonly allow a request to be silent.
_POLL_SECONDS_MAX = 25.0
# A server may be set to let nobody wait: it is not asked without a pause.
_BREATH_SECONDS = 0.1


def wait_for_end(task_id: UUID | str, timeout: float | None) -> Script[Any]:
    """Wait until a task has ended, and return its result; what it raises is what `TaskLedger.wait` raises."""
    ends_at = None if timeout is None else time.monotonic() + timeout
    before = ""
    while True:
        left = _POLL_SECONDS_MAX if ends_at is None else ends_at - time.monotonic()
        found: TaskStatus = yield _status(task_id, min(left, _POLL_SECONDS_MAX))
        if found.status == "COMPLETED":
            return found.result
        if found.is_finished:
            task: Task = yield look(reader(Task), "tasks", task_id, is_fresh=True)
            raise TaskCancelledError(task) if found.status == "CANCELLED" else TaskFailedError(task)
        if timeout is not None and left <= 1:
            raise WaitTimeoutError(task_id=found.task_id, seconds=timeout, status=found.status)
        if found.status == before:
            yield Pause(_BREATH_SECONDS)
        before = found.status


def _status(task_id: UUID | str, seconds: float) -> Call[TaskStatus]:
    """Show the status of a task when it changes, or after a while."""
    return Call(
        method="GET",
        path=path_of("tasks", task_id, "status"),
        headers={"Prefer": f"wait={max(1, int(seconds))}"} if seconds > 0 else {},
        is_fresh=True,
        wait_seconds=max(0.0, seconds),
        read=reader(TaskStatus),
    )


def in_doubt(error: TaskLedgerError) -> bool:
    """Whether a request that failed like this may have taken hold."""
    if isinstance(error, ConnectionFailedError):
        return error.is_in_doubt
    return isinstance(error, UnavailableError)
