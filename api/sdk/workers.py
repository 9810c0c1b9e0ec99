"""Workers: who runs tasks, on what, and who is to stop taking them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.sdk.calls import Call, Cursor, Page, act, look, reader
from api.sdk.changes import Change, changes_of
from api.sdk.operations import Asked, Blocking, Listed, Looping, Scripted
from api.sdk.scripts import Script, until


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAtWork:
    """A task that a worker runs."""

    task_id: UUID
    kind: str
    queue: str
    attempt: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker.

    Attributes:
        state: alive, draining, silent or stopped; `evidence` says what tells so.
        takes: whether it says of itself that it takes tasks.
        drained: it was asked to drain, takes nothing more and runs nothing more.
    """

    worker_id: UUID
    name: str
    state: str
    evidence: str = ""
    queues: tuple[str, ...] = ()
    capacity: int = 0
    running: int = 0
    takes: bool = True
    drained: bool = False
    draining_since: datetime | None = None
    started_at: datetime | None = None
    beat_at: datetime | None = None
    stopped_at: datetime | None = None
    tasks: tuple[TaskAtWork, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerList:
    """The newest workers; `has_more` says that there are more than were asked for."""

    workers: tuple[Worker, ...]
    has_more: bool = False

    def __iter__(self) -> Iterator[Worker]:
        """Iterate over the workers."""
        return iter(self.workers)


class WorkerOperations:
    """Who runs tasks. Draining and resuming twice changes nothing."""

    @Asked
    def list(
        self,
        *,
        state: str | Sequence[str] | None = None,
        queue: str | None = None,
        limit: int | None = None,
    ) -> Call[WorkerList]:
        """Return the workers that are in any of these states and serve this queue."""
        return look(reader(WorkerList), "workers", query={"state": state, "queue": queue, "limit": limit})

    @Asked
    def get(self, worker_id: UUID | str) -> Call[Worker]:
        """Return a worker and what it runs; raises NotFoundError."""
        return _shown(worker_id)

    @Asked
    def drain(self, worker_id: UUID | str, *, reason: str = "") -> Call[Worker]:
        """Let a worker take nothing more; raises ConflictError where it has stopped."""
        return _turned(worker_id, "drain", reason)

    @Asked
    def resume(self, worker_id: UUID | str, *, reason: str = "") -> Call[Worker]:
        """Let a draining worker take tasks again; raises ConflictError where it has stopped."""
        return _turned(worker_id, "resume", reason)

    @Listed
    def changes(self, before: Cursor, worker_id: UUID | str) -> Call[Page[Change]]:
        """Yield what was asked of a worker, newest first."""
        return changes_of("workers", worker_id, before=before)

    @Scripted
    def wait_until_drained(self, worker_id: UUID | str, timeout: float | None = None) -> Script[Worker]:
        """Wait until a draining worker runs nothing more, or has left; StillAtWorkError when `timeout` is over."""
        return until(_shown(worker_id), _is_drained, what=f"worker {worker_id}", timeout=timeout)


class Workers(WorkerOperations, Blocking):
    """The workers; as `TaskLedger.workers`."""


class AsyncWorkers(WorkerOperations, Looping):
    """The workers; as `AsyncTaskLedger.workers`."""


_WORKER = reader(Worker)


def _shown(worker_id: UUID | str) -> Call[Worker]:
    return look(_WORKER, "workers", worker_id)


def _turned(worker_id: UUID | str, turn: str, reason: str) -> Call[Worker]:
    return act(_WORKER, "workers", worker_id, turn, body={"reason": reason}, is_repeatable=True)


def _is_drained(worker: Worker) -> bool:
    # One that has left takes nothing any more either.
    return worker.drained or worker.state == "stopped"
