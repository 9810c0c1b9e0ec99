"""The queues as an operator sees them: whether each is open, what is set, what is to do, and who does it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ledger.bootstrap import Ledger
from ledger.queues.policies import AGE_SECONDS_MAX
from ledger.queues.settings import QueueSettings, settings_of
from ledger.read_model import fetch_rows
from ledger.specification import check_queue_name
from ledger.store.connection import Database
from ledger.task_words import HoldReason

# A claim looks at a view of that age at most; as much again for the append that follows it.
_HEARD_SECONDS = 2 * AGE_SECONDS_MAX
_UNSEEN_MAX = 10_000
_DEAD_MAX = 100_000


class QueueState(StrEnum):
    """Whether tasks of a queue start: open, they do; draining, it is paused and some run; paused, none run."""

    OPEN = "open"
    DRAINING = "draining"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStanding:
    """A queue.

    Attributes:
        ready: tasks that nothing but a free worker keeps from running.
        waiting: tasks whose time has not come.
        held: how many tasks each reason holds back, whatever their time.
        permits: tasks that its limits have let through and that have not ended.
        dead: tasks that failed for good and messages that nobody could take, until somebody deals with them; where
            there are very many not all are counted.
        oldest_ready_at: since when the longest ready one is.
    """

    name: str
    state: QueueState
    paused_at: datetime | None
    ready: int
    waiting: int
    held: Mapping[str, int]
    running: int
    permits: int
    dead: int
    oldest_ready_at: datetime | None
    live_workers: int
    settings: QueueSettings


async def list_queues(ledger: Ledger) -> Sequence[QueueStanding]:
    """Return every queue that is paused or has settings, unfinished tasks, dead letters or live workers, by name.

    Raises:
        StoreUnavailableError: the database is out of reach.
    """
    return await _standings(ledger, None)


async def show_queue(ledger: Ledger, name: str) -> QueueStanding:
    """Return one queue; one that nobody has used yet is open and empty.

    Raises:
        InvalidValueError: no queue can have this name.
        StoreUnavailableError: the database is out of reach.
    """
    check_queue_name(name)
    found = [one for one in await _standings(ledger, name) if one.name == name]
    return found[0] if found else _standing(name, _Seen())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the tables say of a queue; None where they say nothing."""

    policy: Mapping[str, Any] | None = None
    unfinished: Mapping[str, Any] | None = None
    permits: int = 0
    dead: int = 0
    live_workers: int = 0
    is_unsettled: bool = False


async def _standings(ledger: Ledger, only: str | None) -> list[QueueStanding]:
    # The pauses come before the counts: only of an unsettled queue may a task start between the two looks.
    database, lease_seconds = ledger.database, ledger.settings.lease_seconds
    policies = {row["name"]: dict(row) for row in await fetch_rows(database, "set_queues", only)}
    bounds = (lease_seconds, _HEARD_SECONDS, _UNSEEN_MAX)
    unsettled = {row["name"] for row in await fetch_rows(database, "unsettled_pauses", *bounds)}
    unfinished = {row["name"]: dict(row) for row in await fetch_rows(database, "unfinished_by_queue", only)}
    served = await fetch_rows(database, "live_workers_by_queue", lease_seconds)
    workers = {row["name"]: row["live_workers"] for row in served}
    let_through = await fetch_rows(database, "live_permits_by_queue", only)
    permits = {row["name"]: row["permits"] for row in let_through}
    dead = await _dead_by_queue(database, only)
    return [
        _standing(
            name,
            _Seen(
                policy=policies.get(name),
                unfinished=unfinished.get(name),
                permits=permits.get(name, 0),
                dead=dead[name],
                live_workers=workers.get(name, 0),
                is_unsettled=name in unsettled,
            ),
        )
        for name in sorted({*policies, *workers, *unfinished, *dead})
    ]


async def _dead_by_queue(database: Database, only: str | None) -> Counter[str]:
    dead: Counter[str] = Counter()
    for name in ("dead_tasks_by_queue", "dead_messages_by_queue"):
        dead.update({row["name"]: row["dead"] for row in await fetch_rows(database, name, only, _DEAD_MAX)})
    return dead


def _standing(name: str, seen: _Seen) -> QueueStanding:
    counts = seen.unfinished or _NOTHING
    paused_at = seen.policy["paused_at"] if seen.policy else None
    in_motion = counts["running"] > 0 or seen.is_unsettled
    paused = QueueState.DRAINING if in_motion else QueueState.PAUSED
    return QueueStanding(
        name=name,
        state=QueueState.OPEN if paused_at is None else paused,
        paused_at=paused_at,
        ready=counts["ready"],
        waiting=counts["waiting"],
        held={str(reason): counts[f"held_{reason}"] for reason in HoldReason},
        running=counts["running"],
        permits=seen.permits,
        dead=seen.dead,
        oldest_ready_at=counts["oldest_ready_at"],
        live_workers=seen.live_workers,
        settings=settings_of(seen.policy) if seen.policy else QueueSettings(),
    )


_NOTHING: Mapping[str, Any] = {
    "ready": 0, "waiting": 0, "held_paused": 0, "held_limit": 0, "held_after": 0, "running": 0,
    "oldest_ready_at": None,
}  # fmt: skip
