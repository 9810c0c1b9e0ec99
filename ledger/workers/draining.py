"""The draining of a worker: an operator lets it take nothing new, and take again; kept with who and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.queries import query
from ledger.specification import check_text
from ledger.workers.errors import WorkerStateError
from ledger.workers.listing import WorkerStanding, WorkerState, show_worker

REASON_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerChange:
    """Something that was asked of a worker; `change` is draining or resumed."""

    id: int
    change: str
    actor: str
    reason: str
    recorded_at: datetime


async def drain(ledger: Ledger, worker_id: UUID, *, actor: str, reason: str = "") -> WorkerStanding:
    """Ask a worker to take nothing new from its next beat on; it finishes what it runs, stays, and beats.

    Raises:
        InvalidValueError: the reason is out of its bound.
        WorkerNotFoundError: the ledger does not know it (any more).
        WorkerStateError: it has stopped.
    """
    return await _ask(ledger, "drain_worker", worker_id, actor, reason)


async def resume(ledger: Ledger, worker_id: UUID, *, actor: str, reason: str = "") -> WorkerStanding:
    """Let a worker take tasks again from its next beat on; raises what `drain` raises."""
    return await _ask(ledger, "resume_worker", worker_id, actor, reason)


async def list_changes(
    ledger: Ledger, worker_id: UUID, *, before: int | None = None, limit: int
) -> Sequence[WorkerChange]:
    """Return a page of what was asked of a worker, newest first, of the changes older than `before`."""
    async with ledger.database.connection() as connection:
        rows = await connection.fetch(query("list_worker_changes"), worker_id, before, limit)
    return [WorkerChange(**dict(row)) for row in rows]


async def _ask(ledger: Ledger, name: str, worker_id: UUID, actor: str, reason: str) -> WorkerStanding:
    check_text("reason", reason, chars_min=0, chars_max=REASON_CHARS_MAX)
    # One statement writes what is asked and its line in the history, so it is a transaction by itself.
    async with ledger.database.connection() as connection:
        await connection.execute(query(name), worker_id, actor, reason)
    worker = await show_worker(ledger, worker_id)
    if worker.state is WorkerState.STOPPED:
        raise WorkerStateError(worker_id, reason="it has stopped and takes nothing any more")
    return worker
