"""Why a task is held back: its queue is paused, a limit is reached, or it waits for other tasks. Pure."""

from collections.abc import Callable

from ledger.explanation import Because, Facts
from ledger.task import Task
from ledger.task_words import HoldReason


def held(task: Task, facts: Facts) -> list[Because]:
    """Return why a pending task is held back, the first reason first."""
    return _HELD[HoldReason(str(task.hold))](task, facts)


def _after(task: Task, facts: Facts) -> list[Because]:
    waits_for = facts.parents or {str(parent): "unknown" for parent in task.after}
    names = ", ".join(f"{parent} ({status})" for parent, status in waits_for.items())
    return [Because("after", f"It waits for tasks that have not completed: {names}.", {"parents": waits_for})]


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
