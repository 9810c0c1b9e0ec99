"""The queues as an operator sees them: how much is ready, waits and runs, and who serves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.bootstrap import Ledger
from ledger.read_model import fetch_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStanding:
    """A queue with unfinished tasks or with live workers.

    Attributes:
        ready: tasks that nothing but a free worker keeps from running.
        waiting: tasks whose time has not come.
        oldest_ready_at: since when the longest ready one is.
    """

    name: str
    ready: int
    waiting: int
    running: int
    oldest_ready_at: datetime | None
    live_workers: int


async def list_queues(ledger: Ledger) -> Sequence[QueueStanding]:
    """Return every queue with unfinished tasks or live workers, by name.

    Raises:
        StoreUnavailableError: the database is out of reach.
    """
    served = await fetch_rows(ledger.database, "live_workers_by_queue", ledger.settings.lease_seconds)
    workers = {row["name"]: row["live_workers"] for row in served}
    unfinished = {row["name"]: row for row in await fetch_rows(ledger.database, "unfinished_by_queue")}
    return [
        QueueStanding(
            **(dict(unfinished[name]) if name in unfinished else _idle(name)), live_workers=workers.get(name, 0)
        )
        for name in sorted({*workers, *unfinished})
    ]


def _idle(name: str) -> dict[str, object]:
    return {"name": name, "ready": 0, "waiting": 0, "running": 0, "oldest_ready_at": None}
