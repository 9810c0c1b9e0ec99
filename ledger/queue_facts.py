"""The facts about a queue that holds a task back: what is set, by whom, and how far that is used."""

from ledger.queue_policy import QueuePolicy, Rate
from ledger.queue_settings import QueueSettings, policy_of, settings_of
from ledger.queue_use import PermitUse, QueueUse
from ledger.read_model import fetch_rows
from ledger.store.connection import Database
from ledger.task import Task

TENANTS_AHEAD_MAX = 10


async def read_queue_use(database: Database, task: Task, *, ahead_max: int) -> QueueUse:
    """Return what is set for the queue of the task, and what stands before it there.

    Raises:
        StoreUnavailableError: the database is out of reach.
    """
    policy = await _policy(database, task.queue)
    if not policy.is_managed:
        return QueueUse(policy=policy, paused_by=await _paused_by(database, policy))
    return QueueUse(
        policy=policy,
        paused_by=await _paused_by(database, policy),
        queue=await _permits(database, task.queue, None, policy.rate),
        key=None if task.key is None else await _permits(database, task.queue, task.key, policy.key_rate),
        tenants_ahead=await _tenants_ahead(database, task) if policy.fair else (),
        ahead=await _ahead(database, task, is_fair=policy.fair, ahead_max=ahead_max),
        ahead_max=ahead_max,
    )


async def _policy(database: Database, queue: str) -> QueuePolicy:
    rows = await fetch_rows(database, "queue_settings", queue)
    if not rows:
        return policy_of(queue, QueueSettings(), paused_at=None)
    row = dict(rows[0])
    return policy_of(queue, settings_of(row), paused_at=row["paused_at"])


async def _paused_by(database: Database, policy: QueuePolicy) -> tuple[str, str] | None:
    if policy.paused_at is None:
        return None
    rows = await fetch_rows(database, "last_queue_pause", policy.name)
    return (rows[0]["actor"], rows[0]["reason"]) if rows else None


async def _permits(database: Database, queue: str, key: str | None, rate: Rate | None) -> PermitUse:
    bound = (None, None) if rate is None else (rate.count_max, rate.seconds)
    rows = await fetch_rows(database, "permits_in_use", queue, key, *bound)
    return PermitUse(**dict(rows[0]))


async def _tenants_ahead(database: Database, task: Task) -> list[str | None]:
    rows = await fetch_rows(database, "tenants_before", task.queue, task.tenant or "", TENANTS_AHEAD_MAX)
    return [row["tenant"] or None for row in rows]


async def _ahead(database: Database, task: Task, *, is_fair: bool, ahead_max: int) -> int:
    arguments = (task.queue, task.priority, task.id, is_fair, task.tenant, ahead_max)
    rows = await fetch_rows(database, "held_before", *arguments)
    return int(rows[0]["ahead"]) if rows else 0
