"""The facts of an explanation: the task's own stream, and what the roster, the relay and the read model say."""

from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.codec import decode
from ledger.errors import TaskNotFoundError
from ledger.explanation.explain import explain
from ledger.explanation.terms import Bounds, DeadMessage, Explanation, Facts, SeenWorker
from ledger.messages import BAND_PRIORITIES, band_of, ready_band
from ledger.outlook import JITTER
from ledger.payloads.opening import Opening
from ledger.queues.facts import read_queue_use
from ledger.read_model import fetch_rows
from ledger.scheduler import reconcile_seconds
from ledger.settings import Settings
from ledger.standings import standings_of
from ledger.store.records import RecordedEvent
from ledger.task import Task
from ledger.task_acts import Cancelled
from ledger.task_words import HoldReason, Status

AHEAD_MAX = 1000


async def explain_task(ledger: Ledger, task_id: UUID) -> Explanation:
    """Return why the task is not running, how it runs, or why it ended.

    Raises:
        TaskNotFoundError: the ledger has no such task.
        StoreUnavailableError: the database is out of reach.
    """
    task: Task | None = None
    made_ready: RecordedEvent | None = None
    cancelled_by: tuple[str, str] | None = None
    for row in await ledger.store.read_stream(task_id):
        event = decode(row)
        task = event.mutate(task)
        made_ready = row if ready_band(row) is not None else made_ready
        cancelled_by = (event.actor, event.reason) if isinstance(event, Cancelled) else cancelled_by
    if task is None:
        raise TaskNotFoundError(task_id)
    task = await Opening(ledger.vault).error_of(task)
    facts = await _facts(ledger, task, made_ready=made_ready, cancelled_by=cancelled_by)
    return explain(task, facts, bounds_of(ledger.settings))


def bounds_of(settings: Settings) -> Bounds:
    """Return the settings that an explanation speaks of."""
    return Bounds(
        lease_seconds=settings.lease_seconds,
        reconcile_after_seconds=settings.reconcile_after_seconds,
        reconcile_every_seconds=reconcile_seconds(settings) * (1 + JITTER),
        attempts_lost_max=settings.attempts_lost_max,
    )


async def _facts(
    ledger: Ledger, task: Task, *, made_ready: RecordedEvent | None, cancelled_by: tuple[str, str] | None
) -> Facts:
    now = await ledger.store.database_time()
    if task.status is Status.RUNNING:
        return Facts(now=now, owner=await _owner(ledger, task))
    if task.hold == HoldReason.AFTER:
        return Facts(now=now, parents=await _parents(ledger, task))
    if task.hold in (HoldReason.PAUSED, HoldReason.LIMIT):
        return Facts(now=now, queue_use=await read_queue_use(ledger, task))
    if not task.ready or made_ready is None:
        return Facts(now=now, cancelled_by=cancelled_by)
    relay = await fetch_rows(ledger.database, "reader_position", "relay")
    least, most = BAND_PRIORITIES[band_of(task.priority)]
    standing = await fetch_rows(
        ledger.database, "standing_in_queue", task.queue, least, most, made_ready.recorded_at, AHEAD_MAX
    )
    return Facts(
        now=now,
        ready_at=made_ready.recorded_at,
        ready_position=made_ready.position,
        published_position=relay[0]["position"] if relay else 0,
        workers=await _workers(ledger, task),
        ahead=standing[0]["ahead"] if standing else 0,
        ahead_max=AHEAD_MAX,
        dead_message=await _dead_message(ledger, made_ready),
        front=standing[0]["front"] if standing else None,
        queue_use=await read_queue_use(ledger, task),
    )


async def _parents(ledger: Ledger, task: Task) -> dict[str, str]:
    standings = await standings_of(ledger.database, task.after)
    return {
        str(parent): str(standing.status)
        for parent in task.after
        if (standing := standings[parent]).status is not Status.COMPLETED
    }


async def _workers(ledger: Ledger, task: Task) -> list[SeenWorker]:
    rows = await fetch_rows(ledger.database, "live_workers_of_queue", task.queue, ledger.settings.lease_seconds)
    return [SeenWorker(**dict(row)) for row in rows]


async def _dead_message(ledger: Ledger, made_ready: RecordedEvent) -> DeadMessage | None:
    rows = await fetch_rows(ledger.database, "dead_message_of_task", made_ready.task_id, made_ready.version)
    return DeadMessage(**dict(rows[0])) if rows else None


async def _owner(ledger: Ledger, task: Task) -> SeenWorker | None:
    rows = await fetch_rows(ledger.database, "worker_by_id", task.worker_id)
    return SeenWorker(**dict(rows[0])) if rows else None
