"""Counts of tasks at a moment, and how tasks moved between two."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ledger.task_words import Status


@dataclass(frozen=True, slots=True)
class Count:
    """How many tasks of a queue and a kind have a status."""

    status: str
    queue: str
    kind: str
    tasks: int


@dataclass(frozen=True, slots=True)
class Move:
    """How many tasks of a queue and a kind had one status and came to another; None: they were not there yet."""

    was: str | None
    became: str
    queue: str
    kind: str
    tasks: int


def counts_before(after: Iterable[Count], moves: Iterable[Move]) -> list[Count]:
    """Return the counts from which these moves led to those after."""
    tasks: Counter[tuple[str, str, str]] = Counter()
    for count in after:
        tasks[count.status, count.queue, count.kind] += count.tasks
    for move in moves:
        tasks[move.became, move.queue, move.kind] -= move.tasks
        if move.was is not None:
            tasks[move.was, move.queue, move.kind] += move.tasks
    return [Count(*group, count) for group, count in tasks.items() if count]


def count_body(counts: Sequence[Count]) -> dict[str, object]:
    """Return counts as the API shows them: every status, and of queues and kinds those that have tasks."""
    return {
        "total": sum(count.tasks for count in counts),
        "by_status": _by_status(counts),
        "by_queue": {name: _by_status(c for c in counts if c.queue == name) for name in _names(counts, "queue")},
        "by_kind": {name: _by_status(c for c in counts if c.kind == name) for name in _names(counts, "kind")},
    }


def move_body(moves: Sequence[Move]) -> dict[str, object]:
    """Return moves as the API shows them; tasks that came back to the status they had are not among them."""
    tasks: Counter[tuple[str | None, str]] = Counter()
    for move in moves:
        tasks[move.was, move.became] += move.tasks
    moved = {ends: count for ends, count in tasks.items() if ends[0] != ends[1]}
    return {
        "changed": sum(tasks.values()),
        "moved": [
            {"from": was, "to": became, "tasks": count}
            for (was, became), count in sorted(moved.items(), key=lambda move: (move[0][0] or "", move[0][1]))
        ],
    }


def _by_status(counts: Iterable[Count]) -> Mapping[str, int]:
    tasks = dict.fromkeys((str(status) for status in Status), 0)
    for count in counts:
        tasks[count.status] += count.tasks
    return tasks


def _names(counts: Sequence[Count], field: str) -> list[str]:
    return sorted({str(getattr(count, field)) for count in counts})
