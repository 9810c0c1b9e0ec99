"""The commands about bulk acts: begun, shown and cancelled here, worked off by ledger.bulk_acts.chore."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import (
    LIMIT_MAX,
    BulkAct,
    BulkOrder,
    BulkState,
    BulkSubject,
    bulk_act_of,
    subject_of,
)
from ledger.bulk_acts.of_letters import LetterSubject
from ledger.bulk_acts.of_tasks import TaskSubject
from ledger.bulk_acts.pace import RATE_PER_S_MAX
from ledger.bulk_acts.subject import Subject
from ledger.bulk_acts.task_choice import TaskAct, TaskChoice
from ledger.dead_letters.acts import check_reason
from ledger.dead_letters.letters import DeadLetterFilter
from ledger.errors import BulkActNotFoundError, InvalidValueError
from ledger.jsonvalue import encode_json
from ledger.queries import query


class BulkActs:
    """Begins, shows and cancels bulk acts."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._database = ledger.database

    async def begin(self, order: BulkOrder) -> BulkAct:
        """Record what is to be done; the scheduler begins within its interval.

        Raises:
            InvalidValueError: the rate, the bound, the reason or a status is out of its bound.
        """
        _check(order)
        origin = order.intent.origin
        found = await opened_subject(self._ledger, order.chosen).count()
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                query("begin_bulk_act"),
                uuid7(),
                order.act,
                encode_json(order.chosen.as_json(), field="filter"),
                origin.actor,
                origin.correlation_id,
                origin.traceparent,
                order.intent.reason,
                order.rate_per_s,
                order.limit,
                found if order.limit is None else min(found, order.limit),
                subject_of(order.chosen),
            )
        return bulk_act_of(cast("asyncpg.Record", row))  # an INSERT returns its row, or raises

    async def find(self, bulk_id: UUID) -> BulkAct:
        """Return a bulk act; raises BulkActNotFoundError where there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("read_bulk_act"), bulk_id)
        if row is None:
            raise BulkActNotFoundError(bulk_id)
        return bulk_act_of(row)

    async def list(
        self,
        *,
        subject: BulkSubject | None = None,
        states: Sequence[BulkState] = (),
        before: UUID | None = None,
        limit: int,
    ) -> Sequence[BulkAct]:
        """Return a page of the bulk acts, newest first, of those begun before `before`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("list_bulk_acts"), subject, list(states) or None, before, limit)
        return [bulk_act_of(row) for row in rows]

    async def cancel(self, bulk_id: UUID, *, actor: str) -> BulkAct:
        """Stop a bulk act, and return it as it is; one that has ended stays as it is.

        Raises:
            BulkActNotFoundError: there is none.
        """
        async with self._database.connection() as connection:
            await connection.execute(query("cancel_bulk_act"), bulk_id, actor)
        return await self.find(bulk_id)


def opened_subject(ledger: Ledger, chosen: DeadLetterFilter | TaskChoice) -> Subject:
    """Return what a choice is about, on a ledger."""
    return TaskSubject(ledger, chosen) if isinstance(chosen, TaskChoice) else LetterSubject(ledger, chosen)


def check_statuses(act: TaskAct, choice: TaskChoice) -> None:
    """Raise InvalidValueError where tasks are meant to which the act cannot be done."""
    for status in choice.status:
        if status not in act.statuses:
            bound = f"one of {', '.join(act.statuses)} for tasks that are to be {act}"
            raise InvalidValueError(field="status", bound=bound, value=str(status))


def _check(order: BulkOrder) -> None:
    check_reason(order.act, order.intent.reason)
    if isinstance(order.act, TaskAct) and isinstance(order.chosen, TaskChoice):
        check_statuses(order.act, order.chosen)
    if not 1 <= order.rate_per_s <= RATE_PER_S_MAX:
        bound = f"between 1 and {RATE_PER_S_MAX}"
        raise InvalidValueError(field="rate_per_s", bound=bound, value=order.rate_per_s)
    if order.limit is not None and not 1 <= order.limit <= LIMIT_MAX:
        bound = f"between 1 and {LIMIT_MAX}"
        raise InvalidValueError(field="limit", bound=bound, value=order.limit)
