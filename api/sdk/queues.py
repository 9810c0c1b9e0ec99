"""Queues: how much waits, what holds it back, and what operators set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.sdk.calls import Call, Cursor, Page, act, items_reader, look, path_of, reader
from api.sdk.changes import Change, changes_of
from api.sdk.operations import Asked, Blocking, Listed, Looping
from api.sdk.options import query_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue: `state` is open, draining or paused; `held` counts by reason what is held back."""

    name: str
    state: str
    paused_at: datetime | None = None
    ready: int = 0
    waiting: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    running: int = 0
    permits: int = 0
    dead: int = 0
    oldest_ready_at: datetime | None = None
    live_workers: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


class QueueOperations:
    """What operators ask of queues. Pausing, resuming, draining and setting twice changes nothing."""

    @Asked
    def list(self) -> Call[Sequence[Queue]]:
        """Return all queues, by name."""
        return look(items_reader(Queue, "queues"), "queues")

    @Asked
    def get(self, name: str) -> Call[Queue]:
        """Return a queue."""
        return look(_QUEUE, "queues", name)

    @Asked
    def pause(self, name: str, *, reason: str = "") -> Call[Queue]:
        """Let no further task of a queue start."""
        return _turned(name, "pause", reason)

    @Asked
    def resume(self, name: str, *, reason: str = "") -> Call[Queue]:
        """Let the tasks of a paused queue start again."""
        return _turned(name, "resume", reason)

    @Asked
    def drain(self, name: str, *, reason: str = "") -> Call[Queue]:
        """Pause a queue; its `state` is `paused` instead of `draining` when nothing of it runs any more."""
        return _turned(name, "drain", reason)

    @Asked
    def set(self, name: str, settings: Mapping[str, Any], *, reason: str = "") -> Call[Queue]:
        """Replace the limits of a queue (`concurrency_max`, `rate_max`, …); what is absent is no limit."""
        body = {**settings, "reason": reason}
        return act(_QUEUE, "queues", name, body=body, method="PUT", is_repeatable=True)

    @Asked
    def reset(self, name: str, *, reason: str = "") -> Call[Queue]:
        """Take all limits of a queue away."""
        return Call(
            method="DELETE",
            path=path_of("queues", name, "settings"),
            query=query_of({"reason": reason}),
            read=_QUEUE,
        )

    @Listed
    def changes(self, before: Cursor, name: str) -> Call[Page[Change]]:
        """Yield what was set for a queue, newest first."""
        return changes_of("queues", name, before=before)


class Queues(QueueOperations, Blocking):
    """The queues; as `TaskLedger.queues`."""


class AsyncQueues(QueueOperations, Looping):
    """The queues; as `AsyncTaskLedger.queues`."""


_QUEUE = reader(Queue)


def _turned(name: str, turn: str, reason: str) -> Call[Queue]:
    return act(_QUEUE, "queues", name, turn, body={"reason": reason}, is_repeatable=True)
