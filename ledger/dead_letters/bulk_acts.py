"""The bulk acts: what is to be done about many dead letters, for ledger.dead_letters.bulk_chore to work off."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast
from uuid import UUID

import asyncpg
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.dead_letters.acts import Intent, check_reason
from ledger.dead_letters.letters import Act, DeadLetterFilter, Place
from ledger.dead_letters.pace import RATE_PER_S_MAX
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import BulkActNotFoundError, InvalidValueError
from ledger.jsonvalue import decode_json, encode_json
from ledger.queries import query
from ledger.store.records import Origin

LETTERS_MAX_MAX = 1_000_000_000
_CAUSE = "bulk:"


class BulkState(StrEnum):
    """Whether a bulk act goes on."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOrder:
    """What to do about which dead letters, and how fast.

    Attributes:
        rate_per_s: how many letters a second at most.
        letters_max: how many letters to act upon at most; None for all.
    """

    act: Act
    letters: DeadLetterFilter
    intent: Intent
    rate_per_s: int
    letters_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAct:
    """Something that is done about many dead letters, and how far it has come.

    Attributes:
        found: how many letters there were when it was asked for.
        upto: when that was; what died later is none of its letters.
        acted: letters that it has redriven or discarded.
        skipped: letters that others dealt with first, or that cannot be redriven.
        under_way: letters that are acted upon, and not counted yet.
        below: where in the list it has come to; None at the start.
        paid_until: see ledger.dead_letters.pace.
    """

    bulk_id: UUID
    act: Act
    letters: DeadLetterFilter
    intent: Intent
    rate_per_s: int
    letters_max: int | None
    found: int
    upto: datetime
    state: BulkState
    acted: int
    skipped: int
    under_way: tuple[UUID, ...]
    below: Place | None
    paid_until: datetime
    ended_at: datetime | None
    cancelled_by: str | None


class BulkActs:
    """Begins, shows and cancels bulk acts."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._reader = DeadLetterReader(ledger)

    async def begin(self, order: BulkOrder) -> BulkAct:
        """Record what is to be done; the scheduler begins within its interval.

        Raises:
            InvalidValueError: the rate, the bound or the reason is out of its bound.
        """
        _check(order)
        origin = order.intent.origin
        found = await self._reader.count(order.letters)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                query("begin_bulk_act"),
                uuid7(),
                order.act,
                encode_json(order.letters.as_json(), field="filter"),
                origin.actor,
                origin.correlation_id,
                origin.traceparent,
                order.intent.reason,
                order.rate_per_s,
                order.letters_max,
                found if order.letters_max is None else min(found, order.letters_max),
            )
        return bulk_act_of(cast("asyncpg.Record", row))  # an INSERT returns its row, or raises

    async def find(self, bulk_id: UUID) -> BulkAct:
        """Return a bulk act; raises BulkActNotFoundError where there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("read_bulk_act"), bulk_id)
        if row is None:
            raise BulkActNotFoundError(bulk_id)
        return bulk_act_of(row)

    async def cancel(self, bulk_id: UUID, *, actor: str) -> BulkAct:
        """Stop a bulk act, and return it as it is; one that has ended stays as it is.

        Raises:
            BulkActNotFoundError: there is none.
        """
        async with self._database.connection() as connection:
            await connection.execute(query("cancel_bulk_act"), bulk_id, actor)
        return await self.find(bulk_id)


def bulk_act_of(row: asyncpg.Record) -> BulkAct:
    """Return a row as what it stands for."""
    origin = Origin(
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_id=causation_of(row["bulk_id"]),
        traceparent=row["traceparent"],
    )
    asked = cast("Mapping[str, JsonValue]", decode_json(row["filter"]))  # as_json made it
    return BulkAct(
        bulk_id=row["bulk_id"],
        act=Act(row["act"]),
        letters=DeadLetterFilter.from_json(asked),
        intent=Intent(reason=row["reason"], origin=origin, bulk_id=row["bulk_id"]),
        rate_per_s=row["rate_per_s"],
        letters_max=row["letters_max"],
        found=row["found"],
        upto=row["upto"],
        state=BulkState(row["state"]),
        acted=row["acted"],
        skipped=row["skipped"],
        under_way=tuple(row["under_way"]),
        below=None if row["below_at"] is None else Place(row["below_at"], row["below_id"]),
        paid_until=row["paid_until"],
        ended_at=row["ended_at"],
        cancelled_by=row["cancelled_by"],
    )


def causation_of(bulk_id: UUID) -> str:
    """Return what the events of a bulk act name as their cause."""
    return f"{_CAUSE}{bulk_id}"


def bulk_id_of(causation_id: str | None) -> UUID | None:
    """Return the bulk act that caused an event, if one did."""
    if causation_id is None or not causation_id.startswith(_CAUSE):
        return None
    return UUID(causation_id.removeprefix(_CAUSE))


def _check(order: BulkOrder) -> None:
    check_reason(order.act, order.intent.reason)
    if not 1 <= order.rate_per_s <= RATE_PER_S_MAX:
        bound = f"between 1 and {RATE_PER_S_MAX}"
        raise InvalidValueError(field="rate_per_s", bound=bound, value=order.rate_per_s)
    if order.letters_max is not None and not 1 <= order.letters_max <= LETTERS_MAX_MAX:
        bound = f"between 1 and {LETTERS_MAX_MAX}"
        raise InvalidValueError(field="limit", bound=bound, value=order.letters_max)
