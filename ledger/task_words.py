"""The words of a task that stand in its events and in the API, for ever."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

TENANT_TAG = "tenant:"


class Status(StrEnum):
    """The status words of the API."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Cause(StrEnum):
    """Why an attempt ended without a result, or a task without an attempt."""

    ERROR = "error"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    INTERRUPTED = "interrupted"
    PARENT = "parent"


class ReleaseReason(StrEnum):
    """Why a pending task became ready."""

    DUE = "due"
    RETRY = "retry"
    RESUMED = "resumed"
    RECONCILED = "reconciled"
    LIMIT = "limit"
    AFTER = "after"
    REDRIVEN = "redriven"


class HoldReason(StrEnum):
    """Why a pending task is held back, whatever its time."""

    PAUSED = "paused"
    LIMIT = "limit"
    AFTER = "after"


class ParentPolicy(StrEnum):
    """What becomes of a task when one that it waits for does not complete."""

    CANCEL = "cancel"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class TaskError:
    """What went wrong in an attempt."""

    type: str
    message: str
    traceback: str = ""

    def as_dict(self) -> dict[str, JsonValue]:
        """Return it as it stands in the event."""
        return {"type": self.type, "message": self.message, "traceback": self.traceback}
