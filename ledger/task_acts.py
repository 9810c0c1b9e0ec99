"""The events that record what people and policies did to a task; ledger.task_events has those of its run."""

from ledger.task_events import TaskEvent, TaskState
from ledger.task_words import Status


class CancelRequested(TaskEvent):
    """Somebody asked the worker of a running task to stop it."""

    TOPIC = "task.cancel_requested"

    actor: str
    reason: str = ""

    def apply(self, aggregate: TaskState) -> None:
        """Remember who asked and why."""
        aggregate.cancel_requested = True
        aggregate.cancel_actor = self.actor
        aggregate.cancel_reason = self.reason


class Cancelled(TaskEvent):
    """The task will not run (any further)."""

    TOPIC = "task.cancelled"

    actor: str
    reason: str = ""

    def apply(self, aggregate: TaskState) -> None:
        """Finish without a result."""
        aggregate.leave_pending(Status.CANCELLED)
        aggregate.finished_at = self.timestamp


class Retried(TaskEvent):
    """A person or a policy drives a finished task again, with a fresh budget."""

    TOPIC = "task.retried"

    actor: str
    reason: str = ""
    priority: int = 5

    def apply(self, aggregate: TaskState) -> None:
        """Make the task ready; attempt numbers go on, so that an old attempt stays fenced out."""
        aggregate.become_pending(ready=True)
        aggregate.forget_the_past()


class Discarded(TaskEvent):
    """A person or a policy set a failed task aside: nothing more is to be done about it."""

    TOPIC = "task.discarded"

    actor: str
    reason: str

    def apply(self, aggregate: TaskState) -> None:
        """Note it; the task stays failed."""
        aggregate.discarded = True


class Erased(TaskEvent):
    """The key of what a finished, erasable task was given and came up with was destroyed."""

    TOPIC = "task.erased"

    actor: str
    reason: str

    def apply(self, aggregate: TaskState) -> None:
        """Note it, for ever; the task stays what it is."""
        aggregate.erased = True
