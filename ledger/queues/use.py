"""How far the limits of a queue are used, as a task that they hold back sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.queues.policy import QueuePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitUse:
    """What counts for the limits of a queue, or of one key.

    Attributes:
        in_flight: tasks that were let through and have not ended.
        starts: starts that count for the rate, those that were let through and have not started included.
        next_start_at: when a full rate has room again; None where it has, or where that depends on starts to come.
    """

    in_flight: int = 0
    starts: int = 0
    next_start_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueUse:
    """What is set for the queue of a task, and what stands before the task.

    Attributes:
        paused_by: who paused the queue, and why; None where the history does not tell.
        key: what counts for the task's own key; None for a task without one.
        unstarted: tasks that were let through and that no worker has started; at most `unstarted_max`.
        tenants_ahead: the first tenants with tasks that are held back whose turn comes before; None has no name.
        ahead: tasks that are held back and go before it; counted up to `ahead_max`.
    """

    policy: QueuePolicy
    paused_by: tuple[str, str] | None = None
    queue: PermitUse = PermitUse()
    key: PermitUse | None = None
    unstarted: int = 0
    unstarted_max: int = 100
    tenants_ahead: Sequence[str | None] = ()
    ahead: int = 0
    ahead_max: int = 1000
