"""The workers as an operator sees them: whether each lives, by what evidence, and what it runs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger
from ledger.queries import query
from ledger.read_model import fetch_rows
from ledger.sweeper import RESTART_GRACE_SECONDS, session_grace
from ledger.workers.errors import WorkerNotFoundError

TASKS_LISTED_MAX = 10
TASKS_SHOWN_MAX = 100


class WorkerState(StrEnum):
    """Whether a worker lives, and takes tasks: draining, it lives and was asked to take nothing new."""

    ALIVE = "alive"
    DRAINING = "draining"
    SILENT = "silent"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAtWork:
    """A task that runs in a worker's name, by the read model; `since` is when its attempt began."""

    task_id: UUID
    kind: str
    queue: str
    attempt: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStanding:
    """A worker process: one incarnation.

    Attributes:
        evidence: `alive`: it beats, or its session lock is held and its lease not over; `stopped`: it left by
            itself; `session`: it does not beat and its session lock is gone; `lease`: no beat for a whole lease.
        running: how many attempts it ran at its last beat.
        takes: whether it took new tasks at its last beat.
        drained: whether it was asked to drain, takes nothing more and runs nothing more.
        tasks: some of what it runs, by the read model.
    """

    worker_id: UUID
    name: str
    state: WorkerState
    evidence: str
    queues: Sequence[str]
    capacity: int
    running: int
    takes: bool
    drained: bool
    draining_since: datetime | None
    started_at: datetime
    beat_at: datetime
    stopped_at: datetime | None
    tasks: Sequence[TaskAtWork]


async def list_workers(
    ledger: Ledger, *, queue: str | None = None, states: Sequence[WorkerState] = (), limit: int
) -> Sequence[WorkerStanding]:
    """Return the workers that live, then those that have been gone for less than a day, the newest first.

    Raises:
        StoreUnavailableError: the database is out of reach.
    """
    rows = await _rows(ledger, None, queue, [str(one) for one in states] or None, limit)
    return await _standings(ledger, rows, tasks_max=TASKS_LISTED_MAX)


async def show_worker(ledger: Ledger, worker_id: UUID) -> WorkerStanding:
    """Return one worker; raises WorkerNotFoundError where the ledger does not know it (any more)."""
    found = await _standings(ledger, await _rows(ledger, worker_id, None, None, 1), tasks_max=TASKS_SHOWN_MAX)
    if not found:
        raise WorkerNotFoundError(worker_id)
    return found[0]


async def _rows(ledger: Ledger, *asked: object) -> Sequence[asyncpg.Record]:
    settings = ledger.settings
    bounds = (
        session_grace(settings.heartbeat_seconds),
        timedelta(seconds=settings.lease_seconds),
        timedelta(seconds=RESTART_GRACE_SECONDS),
    )
    async with ledger.database.connection() as connection:
        rows: Sequence[asyncpg.Record] = await connection.fetch(query("list_workers"), *bounds, *asked)
    return rows


async def _standings(ledger: Ledger, rows: Sequence[asyncpg.Record], *, tasks_max: int) -> list[WorkerStanding]:
    names = [str(row["worker_id"]) for row in rows]
    tasks: dict[str, list[TaskAtWork]] = defaultdict(list)
    for row in await fetch_rows(ledger.database, "tasks_of_workers", names, tasks_max):
        tasks[row["worker_id"]].append(_task(row))
    return [_standing(row, tasks[str(row["worker_id"])]) for row in rows]


def _task(row: asyncpg.Record) -> TaskAtWork:
    return TaskAtWork(
        task_id=row["task_id"],
        kind=row["kind"],
        queue=row["queue"],
        attempt=row["attempt"],
        since=row["started_at"],
    )


def _standing(row: asyncpg.Record, tasks: Sequence[TaskAtWork]) -> WorkerStanding:
    facts: dict[str, Any] = dict(row)
    state = WorkerState(facts.pop("state"))
    is_idle = not row["takes"] and row["running"] == 0
    return WorkerStanding(**facts, state=state, drained=state is WorkerState.DRAINING and is_idle, tasks=tasks)
