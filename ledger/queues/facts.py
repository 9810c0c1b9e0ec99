"""The facts about a queue that holds a task back: what is set, by whom, and how far that is used."""

from datetime import datetime

from ledger.bootstrap import Ledger
from ledger.queues.policies import policy_of
from ledger.queues.policy import QueuePolicy, Rate
from ledger.queues.use import PermitUse, QueueUse
from ledger.read_model import fetch_rows
from ledger.task import Task

HELD_AHEAD_MAX = 1000
TENANTS_AHEAD_MAX = 10


async def read_queue_use(ledger: Ledger, task: Task) -> QueueUse | None:
    """Return what keeps a pending task in its queue; None where nothing does.

    Of a task that is ready or whose queue is paused only what is set is told: no limit is asked about it yet.

    Raises:
        StoreUnavailableError: the database is out of reach.
    """
    rows = await fetch_rows(ledger.database, "set_queues", task.queue)
    policy = policy_of(rows[0]) if rows else QueuePolicy(name=task.queue)
    if task.ready:
        return None if policy.hold_of(task) is None else await _set(ledger, policy)
    # While a queue is paused nobody follows its permits, and no limit is asked.
    is_asked = policy.paused_at is None and policy.is_managed
    return await _used(ledger, task, policy) if is_asked else await _set(ledger, policy)


async def _set(ledger: Ledger, policy: QueuePolicy) -> QueueUse:
    if policy.paused_at is None:
        return QueueUse(policy=policy)
    rows = await fetch_rows(ledger.database, "last_queue_pause", policy.name)
    return QueueUse(policy=policy, paused_by=(rows[0]["actor"], rows[0]["reason"]) if rows else None)


async def _used(ledger: Ledger, task: Task, policy: QueuePolicy) -> QueueUse:
    seconds = policy.rate.seconds if policy.rate is not None else 0.0
    rows = await fetch_rows(ledger.database, "permits_used", task.queue, seconds)
    if not rows:
        return QueueUse(policy=policy)
    used = rows[0]
    next_start_at = await _next_start(ledger, task.queue, None, policy.rate, used["in_window"])
    return QueueUse(
        policy=policy,
        queue=PermitUse(
            in_flight=used["live"] + used["unpermitted"], starts=used["in_window"], next_start_at=next_start_at
        ),
        key=None if task.key is None else await _of_key(ledger, task.queue, task.key, policy.key_rate),
        unstarted=used["unstarted"],
        unstarted_max=ledger.settings.admit_ahead_max,
        tenants_ahead=await _tenants_ahead(ledger, task) if policy.fair else (),
        ahead=await _ahead(ledger, task, is_fair=policy.fair),
        ahead_max=HELD_AHEAD_MAX,
    )


async def _of_key(ledger: Ledger, queue: str, key: str, rate: Rate | None) -> PermitUse:
    seconds = rate.seconds if rate is not None else 0.0
    rows = await fetch_rows(ledger.database, "permits_used_by_key", queue, [key], seconds)
    if not rows:
        return PermitUse()
    starts = rows[0]["in_window"]
    next_start_at = await _next_start(ledger, queue, key, rate, starts)
    return PermitUse(in_flight=rows[0]["live"], starts=starts, next_start_at=next_start_at)


async def _next_start(
    ledger: Ledger, queue: str, key: str | None, rate: Rate | None, starts: int
) -> datetime | None:
    if rate is None or starts < rate.count_max:
        return None
    arguments = (queue, key, rate.count_max, rate.seconds, starts)
    rows = await fetch_rows(ledger.database, "next_start", *arguments)
    return rows[0]["next_start_at"] if rows else None


async def _tenants_ahead(ledger: Ledger, task: Task) -> list[str | None]:
    rows = await fetch_rows(ledger.database, "tenants_before", task.queue, task.tenant or "", TENANTS_AHEAD_MAX)
    return [row["tenant"] or None for row in rows]


async def _ahead(ledger: Ledger, task: Task, *, is_fair: bool) -> int:
    arguments = (task.queue, task.priority, task.id, is_fair, task.tenant or "", HELD_AHEAD_MAX)
    rows = await fetch_rows(ledger.database, "held_before", *arguments)
    return int(rows[0]["ahead"]) if rows else 0
