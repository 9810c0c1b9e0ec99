"""Why a task is held back: its queue is paused, a limit is reached, or it waits for other tasks. Pure."""

from collections.abc import Callable

from ledger.explanation import Because, Facts
from ledger.task import Task
from ledger.task_words import HoldReason


def held(task: Task, facts: Facts) -> list[Because]:
    """Return why a pending task is held back, the first reason first."""
    return _HELD[HoldReason(str(task.hold))](task, facts)


def _after(task: Task, facts: Facts) -> list[Because]:
    if not facts.parents:
        return [_after_none(task, facts)]
    names = ", ".join(f"{parent} ({status})" for parent, status in facts.parents.items())
    return [Because("after", f"It waits for tasks that have not completed: {names}.", {"parents": facts.parents})]


def _after_none(task: Task, facts: Facts) -> Because:
    details = {"after": [str(parent) for parent in task.after], "release_at": task.release_at}
    if task.release_at is not None and task.release_at > facts.now:
        until = f"{task.release_at:%Y-%m-%d %H:%M:%S}Z"
        sentence = f"The tasks that it waited for have completed; it waits until {until}, as it was submitted to."
        return Because("scheduled", sentence, details)
    sentence = "The tasks that it waited for have completed, and no scheduler has released it yet."
    return Because("due", sentence, details)


def _paused(task: Task, facts: Facts) -> list[Because]:
    return [Because("paused", f"The queue {task.queue} is paused.", dict(facts.queue_policy))]


def _limited(task: Task, facts: Facts) -> list[Because]:
    sentence = f"A limit of the queue {task.queue} lets no more of its tasks run now."
    return [Because("limit", sentence, dict(facts.queue_policy))]


_HELD: dict[HoldReason, Callable[[Task, Facts], list[Because]]] = {
    HoldReason.AFTER: _after,
    HoldReason.PAUSED: _paused,
    HoldReason.LIMIT: _limited,
}
