"""The endings: how one run of a handler may end."""

from dataclasses import dataclass
from enum import Enum

from ledger.task_words import TaskError


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned."""

    value: object


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Reported:
    """The handler raised in another process, which tells of it.

    Attributes:
        is_hopeless: no further attempt would mend it.
        retry_after_seconds: how long the handler wants the task to wait, where it said so.
    """

    error: TaskError
    is_hopeless: bool
    retry_after_seconds: float | None


class Stopped(Enum):
    """The handler was told to stop, and why."""

    CANCEL = "cancel"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"


Ending = Returned | Raised | Reported | Stopped
