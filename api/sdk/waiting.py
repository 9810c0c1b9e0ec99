"""What the end of a task means for whoever waited for it."""

from typing import Any

from api.sdk.answers import Task, TaskStatus
from api.sdk.errors import (
    ConnectionFailedError,
    TaskCancelledError,
    TaskFailedError,
    TaskLedgerError,
    UnavailableError,
)

# Less than proxies commonly allow a request to be silent.
POLL_SECONDS_MAX = 25.0
# A server may be set to let nobody wait: it is not asked without a pause.
BREATH_SECONDS = 0.1


def result_of(found: TaskStatus, task: Task | None) -> Any:  # noqa: ANN401 - any JSON value
    """Return the result of a task that has ended; what is known of it where it has none.

    Raises:
        TaskFailedError, TaskCancelledError: it has none.
    """
    if task is None:
        return found.result
    if found.status == "CANCELLED":
        raise TaskCancelledError(task)
    raise TaskFailedError(task)


def in_doubt(error: TaskLedgerError) -> bool:
    """Whether a request that failed like this may have taken hold."""
    if isinstance(error, ConnectionFailedError):
        return error.is_in_doubt
    return isinstance(error, UnavailableError)
