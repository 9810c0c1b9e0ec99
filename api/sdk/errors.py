"""Every error that the client raises: catching TaskLedgerError catches them all.

TaskLedgerError
├─ ClientSettingError            what the client was given is missing or malformed
├─ ConnectionFailedError         no answer came; `is_in_doubt` says whether the request may have taken hold
├─ UnexpectedAnswerError         what answered is no Task Ledger, or a much older one
├─ ApiError                      a problem document came; `status`, `problem`, `detail`, `members`
│  ├─ InvalidRequestError        400, 408, 413, 422; `field`, `errors`
│  ├─ UnauthenticatedError       401
│  ├─ ForbiddenError             403
│  ├─ NotFoundError              404
│  ├─ ConflictError              409; `reason`, `task_status`
│  ├─ ArchivedError              410: what has to be known for the answer was archived
│  ├─ IdempotencyKeyReusedError  422: the key stands for another request
│  ├─ RateLimitedError           429; `retry_after_seconds`
│  └─ UnavailableError           5xx; `retry_after_seconds`
├─ SubmitManyError               some of many were submitted; `task_ids`
├─ WaitTimeoutError              the task had not ended in time (a TimeoutError too)
├─ StillAtWorkError              nor had a bulk act, a run, an erasure or a drain (a TimeoutError too)
├─ RunFailedError                a run of a projection that was waited for failed; `error`
└─ TaskEndedError                a task that was waited for has no result; `task`
   ├─ TaskFailedError
   └─ TaskCancelledError
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

from api.sdk.answers import Task

_FIELD = re.compile(r"(?:^|: )([A-Za-z_][\w.-]*)(?: must| is required)")


class TaskLedgerError(Exception):
    """The root: catching it catches everything that the client raises on purpose."""


class ClientSettingError(TaskLedgerError):
    """What the client was given is missing or malformed; the sentence names it."""


class UnexpectedAnswerError(TaskLedgerError):
    """An answer is not what a Task Ledger answers."""


class ConnectionFailedError(TaskLedgerError):
    """No answer came, as often as it was tried.

    Attributes:
        is_in_doubt: whether the request may have taken hold all the same.
    """

    def __init__(self, *, method: str, path: str, reason: str, is_in_doubt: bool) -> None:
        self.method = method
        self.path = path
        self.reason = reason
        self.is_in_doubt = is_in_doubt
        doubt = "; whether it took hold is not known" if is_in_doubt else ""
        super().__init__(f"{method} {path} got no answer: {reason}{doubt}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem document (RFC 9457), taken apart.

    Attributes:
        problem: the last part of its type, for example `task-not-found`; empty where it has none.
        members: what it says beyond the standard.
    """

    status: int
    problem: str = ""
    title: str = ""
    detail: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)
    retry_after_seconds: float | None = None


class ApiError(TaskLedgerError):
    """The server refused, and said why."""

    def __init__(self, refusal: Refusal) -> None:
        self.status = refusal.status
        self.problem = refusal.problem
        self.title = refusal.title
        self.detail = refusal.detail
        self.members = refusal.members
        self.retry_after_seconds = refusal.retry_after_seconds
        super().__init__(f"{refusal.status}: {refusal.detail or refusal.title or 'no reason was given'}")


class InvalidRequestError(ApiError):
    """Something in the request is out of its bound."""

    @property
    def field(self) -> str | None:
        """The name of the first field that the problem is about; None where it names none."""
        found = _FIELD.search(self.detail)
        return found[1] if found else None

    @property
    def errors(self) -> Sequence[Mapping[str, Any]]:
        """Of a batch: what is wrong with each item, as the server lists it."""
        return list(self.members.get("errors", ()))


class UnauthenticatedError(ApiError):
    """The server wants an API key, or does not know this one."""


class ForbiddenError(ApiError):
    """The API key does not allow this."""


class NotFoundError(ApiError):
    """There is nothing of this id or name."""


class ConflictError(ApiError):
    """The state of the task, or of what else is meant, refuses this."""

    @property
    def reason(self) -> str:
        """Why, in a word where the server has one (`too_late`); empty where it has none."""
        return str(self.members.get("reason", ""))

    @property
    def task_status(self) -> str | None:
        """The status of the task that refused."""
        return self.members.get("task_status")


class ArchivedError(ApiError):
    """The history, or the past, that is asked for has left the log for an archive."""


class IdempotencyKeyReusedError(ApiError):
    """The idempotency key was used for another request before."""


class RateLimitedError(ApiError):
    """Too many requests, for longer than the client may wait."""


class UnavailableError(ApiError):
    """The server could not serve this, for longer than the client may wait."""


class SubmitManyError(TaskLedgerError):
    """A later chunk of many submissions was not taken; `__cause__` says why.

    Attributes:
        task_ids: the tasks of the chunks before it, which are in the ledger.
        is_in_doubt: whether the chunk that failed may be there too.
    """

    def __init__(self, *, task_ids: Sequence[UUID], is_in_doubt: bool) -> None:
        self.task_ids = task_ids
        self.is_in_doubt = is_in_doubt
        doubt = ", and whether the next ones were is not known" if is_in_doubt else ""
        super().__init__(f"only the first {len(task_ids)} tasks were submitted{doubt}")


class WaitTimeoutError(TaskLedgerError, TimeoutError):
    """A task had not ended in time; it goes on."""

    def __init__(self, *, task_id: UUID, seconds: float, status: str) -> None:
        self.task_id = task_id
        self.seconds = seconds
        self.status = status
        super().__init__(f"task {task_id} was still {status} after {seconds:g} s")


class StillAtWorkError(TaskLedgerError, TimeoutError):
    """What was waited for had not ended in time; it goes on."""

    def __init__(self, what: str, *, seconds: float) -> None:
        self.what = what
        self.seconds = seconds
        super().__init__(f"{what} was still at work after {seconds:g} s")


class RunFailedError(TaskLedgerError):
    """A run of a projection that was waited for failed.

    Attributes:
        error: why, in words.
    """

    def __init__(self, run_id: UUID, *, error: str) -> None:
        self.run_id = run_id
        self.error = error
        super().__init__(f"run {run_id} failed: {error}")


class TaskEndedError(TaskLedgerError):
    """A task that was waited for ended without a result."""

    def __init__(self, task: Task, sentence: str) -> None:
        self.task = task
        super().__init__(sentence)


class TaskFailedError(TaskEndedError):
    """The task failed for good; `task.error` has the type, the message and the traceback."""

    def __init__(self, task: Task) -> None:
        why = f": {task.error.type}: {task.error.message}" if task.error else ""
        super().__init__(task, f"task {task.task_id} failed{why}")


class TaskCancelledError(TaskEndedError):
    """The task was cancelled."""

    def __init__(self, task: Task) -> None:
        super().__init__(task, f"task {task.task_id} was cancelled")


_BY_STATUS: Mapping[int, type[ApiError]] = {
    HTTPStatus.UNAUTHORIZED: UnauthenticatedError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: ArchivedError,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimitedError,
}


def error_of(refusal: Refusal) -> ApiError:
    """Return the error that a refusal stands for."""
    if refusal.problem == "idempotency-key-reused":
        return IdempotencyKeyReusedError(refusal)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError(refusal)
    return _BY_STATUS.get(refusal.status, InvalidRequestError)(refusal)
