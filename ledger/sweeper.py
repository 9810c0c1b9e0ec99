"""The sweeper: ends the attempts of workers that are gone, so that their tasks run again elsewhere.

A worker is gone when it left by itself, when its session in the database is (a killed process, within seconds), or
when its heartbeat was silent for a whole lease. Silence is the weak evidence: a database in trouble silences all
workers at once. So when the larger part of them falls silent together, the sweeper holds back for one lease more;
and after an interruption of its own it gives everybody the time to come back. A worker that was swept by mistake
does no harm: the attempt number fences it out.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from ledger.batch_decisions import BatchDecider
from ledger.bootstrap import Ledger
from ledger.read_model import fetch_rows
from ledger.task import Task
from ledger.task_words import Cause, TaskError

log = structlog.get_logger()

RESTART_GRACE_SECONDS = 10.0
HOLD_BACK_SECONDS_MAX = 30.0
_SESSION_GRACE_SECONDS_MIN = 3.0
_BEATS_MISSED = 3
_BREAKER_WORKERS_MIN = 3
_WORKERS_KEPT = timedelta(days=1)
_PAGE_SIZE = 500
_FIRST_PAGE = UUID(int=0)

_EVIDENCE = {
    "unknown": "the ledger has no such worker",
    "stopped": "it stopped without finishing the task",
    "session": "its session in the database has ended",
    "lease": "its lease has expired",
}


class Sweeper:
    """Fails the attempts of lost workers; any number of sweepers may run, an attempt is failed once.

    Args:
        restart_grace_seconds: how long after a start of the database no silent worker is judged.
        hold_back_seconds_max: how long it holds back at most, however often it is interrupted.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        restart_grace_seconds: float = RESTART_GRACE_SECONDS,
        hold_back_seconds_max: float = HOLD_BACK_SECONDS_MAX,
    ) -> None:
        settings = ledger.settings
        self._ledger = ledger
        self._decider = BatchDecider(ledger, actor="sweeper")
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._session_grace = session_grace(settings.heartbeat_seconds)
        self._restart_grace = timedelta(seconds=restart_grace_seconds)
        self._hold_back_seconds_max = hold_back_seconds_max
        self._held_back_since: float | None = None
        self._asked_at = 0.0
        self._holds_back_until = 0.0
        self._breaker_is_open = False  # only so that it is said once

    async def run_once(self) -> int:
        """Sweep every task of a lost worker; return how many tasks that were."""
        if self._is_held_back():
            return 0
        swept = 0
        after = _FIRST_PAGE
        while True:
            rows = await self._lost_tasks(after)
            swept += await self._sweep(await self._without_spared(rows))
            if len(rows) < _PAGE_SIZE:
                self._held_back_since = None
                return swept
            after = rows[-1]["task_id"]

    def hold_back(self, seconds: float = RESTART_GRACE_SECONDS) -> None:
        """Judge nobody for a while: what interrupted the sweeper may have interrupted every worker."""
        self._holds_back_until = time.monotonic() + seconds

    async def retire_all_workers(self) -> int:
        """Take every worker for gone, because the caller knows that none is left; return how many were not yet."""
        return len(await fetch_rows(self._ledger.database, "retire_workers"))

    async def forget_old_workers(self) -> int:
        """Remove the rows of workers that have been gone for a day; return how many those were."""
        return len(await fetch_rows(self._ledger.database, "forget_workers", _WORKERS_KEPT))

    def _is_held_back(self) -> bool:
        # A database that is interrupted again and again would hold it back for ever. Between two interruptions the
        # living beat and the dead do not, so it judges all the same after a while. After an outage, when nobody
        # has asked for long, that while begins anew.
        now = time.monotonic()
        if now >= self._holds_back_until:
            return False
        if self._held_back_since is None or now - self._asked_at > RESTART_GRACE_SECONDS:
            self._held_back_since = now
        self._asked_at = now
        return now - self._held_back_since < self._hold_back_seconds_max

    async def _lost_tasks(self, after: UUID) -> Sequence[asyncpg.Record]:
        return await fetch_rows(
            self._ledger.database,
            "tasks_of_lost_workers",
            self._session_grace,
            self._lease,
            self._restart_grace,
            after,
            _PAGE_SIZE,
        )

    async def _without_spared(self, rows: Sequence[asyncpg.Record]) -> Sequence[asyncpg.Record]:
        if not any(row["evidence"] == "lease" for row in rows):
            return rows
        if not await self._lost_together():
            self._breaker_is_open = False
            return rows
        spared = sum(row["evidence"] == "lease" for row in rows)
        if not self._breaker_is_open:
            log.warning("sweeper.held_back", tasks=spared, retry_seconds=self._lease.total_seconds())
        self._breaker_is_open = True
        return [row for row in rows if row["evidence"] != "lease"]

    async def _lost_together(self) -> bool:
        (leases,) = await fetch_rows(self._ledger.database, "count_leases", self._lease)
        known = leases["held"] + leases["just_lost"]
        return bool(known >= _BREAKER_WORKERS_MIN and leases["just_lost"] * 2 > known)

    async def _sweep(self, rows: Sequence[asyncpg.Record]) -> int:
        errors = {row["task_id"]: _error(row) for row in rows}

        def fail(task: Task) -> None:
            task.fail(
                attempt=task.attempt,
                error=errors[task.id],
                cause=Cause.WORKER_LOST,
                now=self._ledger.clock.now(),
                retry_delay_seconds=0.0,
                attempts_lost_max=self._ledger.settings.attempts_lost_max,
            )

        swept = await self._decider.decide({row["task_id"]: row["version"] for row in rows}, fail)
        if swept:
            workers = sorted({row["worker_id"] for row in rows})
            log.warning(
                "sweeper.swept", tasks=swept, workers=workers, evidence=sorted({r["evidence"] for r in rows})
            )
        return swept


def _error(row: asyncpg.Record) -> TaskError:
    name = f"{row['name']} ({row['worker_id']})" if row["name"] else row["worker_id"]
    beat = f", its last beat was at {row['beat_at'].isoformat()}" if row["beat_at"] else ""
    return TaskError(
        type="WorkerLostError",
        message=f"worker {name} was lost during attempt {row['attempt']}: {_EVIDENCE[row['evidence']]}{beat}",
    )


def session_grace(heartbeat_seconds: float) -> timedelta:
    """Return for how long a worker is believed without a beat, whatever became of its session."""
    return timedelta(seconds=max(_BEATS_MISSED * heartbeat_seconds, _SESSION_GRACE_SECONDS_MIN))
