"""The orders: what is to be erased by a tag, for the scheduler to work off, whoever is killed when.

    next tasks with the tag ─▶ erase each that is finished ─▶ note how far, by compare and set

A kill between two of these steps does no harm: an erased task has no key any more and is not found again, and how
many were erased is counted by their tombstones. A task that is not finished is left alone and counted: order
the erasure again when it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.errors import ErasureNotFoundError, TaskNotFoundError, TaskStateError
from ledger.payloads.erasure import Erasure
from ledger.queries import query
from ledger.store.records import Origin

log = structlog.get_logger()

_ORDERS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureOrder:
    """An erasure by tag, and how far it has come.

    Attributes:
        found: how many tasks with the tag had a key when it was ordered.
        erased: of how many it has destroyed the key.
        unfinished: how many it has left alone, because they were not finished.
        after_task: up to where it has looked.
    """

    order_id: UUID
    tag: str
    actor: str
    correlation_id: str | None
    traceparent: str | None
    reason: str
    found: int
    state: str
    after_task: UUID
    unfinished: int
    ordered_at: datetime
    ended_at: datetime | None
    erased: int

    @property
    def origin(self) -> Origin:
        """Who caused the erasures: whoever ordered them."""
        return Origin(
            actor=self.actor,
            correlation_id=self.correlation_id,
            causation_id=f"erasure:{self.order_id}",
            traceparent=self.traceparent,
        )


class ErasureOrders:
    """Erasures by tag, as they are ordered and looked at."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database

    async def count(self, tag: str) -> int:
        """Return how many erasable tasks have a tag, and a key."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(query("count_payload_keys"), tag))

    async def begin(self, tag: str, *, reason: str, origin: Origin) -> ErasureOrder:
        """Order that what all erasable tasks with a tag hold be erased, of those that were submitted until now."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                query("begin_erasure"),
                uuid7(),
                tag,
                origin.actor,
                origin.correlation_id,
                origin.traceparent,
                reason,
            )
        return _order_of(rows[0])

    async def find(self, order_id: UUID) -> ErasureOrder:
        """Return an erasure by tag; raises ErasureNotFoundError where there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("read_erasure"), order_id)
        if row is None:
            raise ErasureNotFoundError(order_id)
        return _order_of(row)


class ErasureChore:
    """Works the orders off, LEDGER_ERASE_BATCH_SIZE_MAX tasks of each in a round."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._batch_size_max = ledger.settings.erase_batch_size_max
        self._erasure = Erasure(ledger)

    async def run_once(self) -> int:
        """Go on with every order and return how many tasks were erased."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("running_erasures"), _ORDERS_MAX)
        return sum([await self.go_on(_order_of(row)) for row in rows])

    async def go_on(self, order: ErasureOrder) -> int:
        """Erase the next tasks of an order and return how many that were."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                query("tasks_to_erase"), order.tag, order.after_task, order.ordered_at, self._batch_size_max
            )
        task_ids = [row["task_id"] for row in rows]
        erased = [await self._erase(order, task_id) for task_id in task_ids]
        await self._advance(order, task_ids, unfinished=erased.count(False))
        return erased.count(True)

    async def _erase(self, order: ErasureOrder, task_id: UUID) -> bool:
        try:
            await self._erasure.erase(task_id, reason=order.reason, origin=order.origin, order_id=order.order_id)
        except (TaskStateError, TaskNotFoundError) as error:
            log.info("erasure.left_alone", task_id=str(task_id), order_id=str(order.order_id), reason=str(error))
            return False
        return True

    async def _advance(self, order: ErasureOrder, task_ids: Sequence[UUID], *, unfinished: int) -> None:
        is_done = len(task_ids) < self._batch_size_max
        after = task_ids[-1] if task_ids else order.after_task
        async with self._database.connection() as connection:
            advanced = await connection.fetchval(
                query("advance_erasure"), order.order_id, order.after_task, after, unfinished, is_done
            )
        if advanced is not None and is_done:
            log.info("erasure.done", order_id=str(order.order_id))


def _order_of(row: asyncpg.Record) -> ErasureOrder:
    return ErasureOrder(**dict(row))
