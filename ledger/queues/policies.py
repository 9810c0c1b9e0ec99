"""The policies of the queues as this process knows them: read again when they are older than a second.

Where a task must not slip through (a worker's claim) the caller waits for a fresh view; where a stale one does no
harm (a submit, whose task is looked at again before it starts) the view is renewed behind the caller's back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import orjson
import structlog

from ledger.errors import LedgerError
from ledger.queries import query
from ledger.queues.policy import QueuePolicy, Rate
from ledger.store.connection import Database
from ledger.task import Task
from ledger.task_words import HoldReason

log = structlog.get_logger()

AGE_SECONDS_MAX = 1.0

Read = Callable[[], Awaitable[Sequence[QueuePolicy]]]


class QueuePolicies:
    """A view of all policies.

    Args:
        read: reads them anew.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._policies: dict[str, QueuePolicy] = {}
        self._read_at = float("-inf")
        self._renewing: asyncio.Task[None] | None = None

    def of(self, queue: str) -> QueuePolicy | None:
        """Return what is set for a queue as far as this process knows, and see to it that it soon knows better."""
        if self._is_old() and self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_quietly())
        return self._policies.get(queue)

    def hold_of_new(self, queue: str) -> HoldReason | None:
        """Return why a task of this queue that becomes ready now is held back; None where it is not."""
        policy = self.of(queue)
        return None if policy is None else policy.hold_of_new

    def hold_of(self, task: Task) -> HoldReason | None:
        """Return why a ready task must not start; None where it may. Ask for a fresh view first."""
        policy = self._policies.get(task.queue)
        return None if policy is None else policy.hold_of(task)

    async def freshen(self) -> None:
        """Return when the view is at most a second old.

        Raises:
            StoreUnavailableError: the database is out of reach.
            StoreRefusedError: it answered no.
        """
        if self._is_old():
            await self.renew()

    async def renew(self) -> None:
        """Read the policies now; raises what `freshen` raises."""
        began = time.monotonic()
        self._policies = {policy.name: policy for policy in await self._read()}
        self._read_at = began

    async def close(self) -> None:
        """Stop renewing; idempotent."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at > AGE_SECONDS_MAX

    async def _renew_quietly(self) -> None:
        try:
            await self.renew()
        except LedgerError as error:
            log.debug("queue_policies.stale", reason=str(error))
            self._read_at = time.monotonic()  # an outage is not asked about at every submit
        finally:
            self._renewing = None


def stored_policies(database: Database) -> QueuePolicies:
    """Return the policies that stand in the database."""

    async def read() -> Sequence[QueuePolicy]:
        async with database.connection() as connection:
            return [policy_of(row) for row in await connection.fetch(query("queue_policies"))]

    return QueuePolicies(read)


def no_policies() -> QueuePolicies:
    """Return the policies of a ledger without a database: none."""

    async def read() -> Sequence[QueuePolicy]:
        return ()

    return QueuePolicies(read)


def policy_of(row: asyncpg.Record) -> QueuePolicy:
    """Return the policy that a row of ledger.queues holds."""
    return QueuePolicy(
        name=row["name"],
        paused_at=row["paused_at"],
        concurrency_max=row["concurrency_max"],
        key_concurrency_max=row["key_concurrency_max"],
        rate=_rate(row["rate_max"], row["rate_seconds"]),
        key_rate=_rate(row["key_rate_max"], row["key_rate_seconds"]),
        fair=row["fair"],
        weights=orjson.loads(row["weights"]),
    )


def _rate(count_max: int | None, seconds: float | None) -> Rate | None:
    return None if count_max is None or seconds is None else Rate(count_max, seconds)
