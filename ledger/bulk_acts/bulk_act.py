"""The words about bulk acts: what is to be done about many dead letters or tasks, and how far that has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast
from uuid import UUID

import asyncpg
from pydantic import JsonValue

from ledger.bulk_acts.task_choice import TaskAct, TaskChoice
from ledger.dead_letters.acts import Intent
from ledger.dead_letters.letters import Act, DeadLetterFilter, Place
from ledger.jsonvalue import decode_json
from ledger.store.records import Origin

LIMIT_MAX = 1_000_000_000
_CAUSE = "bulk:"


class BulkState(StrEnum):
    """Whether a bulk act goes on."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class BulkSubject(StrEnum):
    """What a bulk act is about."""

    DEAD_LETTERS = "dead_letters"
    TASKS = "tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOrder:
    """What to do about which dead letters or tasks, and how fast.

    Attributes:
        act: an Act about dead letters, a TaskAct about tasks.
        rate_per_s: how many of them a second at most.
        limit: how many of them to act upon at most; None for all.
    """

    act: Act | TaskAct
    chosen: DeadLetterFilter | TaskChoice
    intent: Intent
    rate_per_s: int
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAct:
    """Something that is done about many dead letters or tasks, and how far it has come.

    Attributes:
        found: how many there were when it was asked for.
        upto: when that was; what died or was submitted later is none of them.
        acted: how many it has acted upon.
        skipped: those that others dealt with first, or that refuse the act.
        under_way: those that are acted upon, and not counted yet.
        below: where in the list it has come to; None at the start.
        paid_until: see ledger.bulk_acts.pace.
    """

    bulk_id: UUID
    subject: BulkSubject
    act: Act | TaskAct
    chosen: DeadLetterFilter | TaskChoice
    intent: Intent
    rate_per_s: int
    limit: int | None
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


def bulk_act_of(row: asyncpg.Record) -> BulkAct:
    """Return a row as what it stands for."""
    subject = BulkSubject(row["subject"])
    is_of_tasks = subject is BulkSubject.TASKS
    asked = cast("Mapping[str, JsonValue]", decode_json(row["filter"]))  # as_json made it
    return BulkAct(
        bulk_id=row["bulk_id"],
        subject=subject,
        act=TaskAct(row["act"]) if is_of_tasks else Act(row["act"]),
        chosen=TaskChoice.from_json(asked) if is_of_tasks else DeadLetterFilter.from_json(asked),
        intent=_intent_of(row),
        rate_per_s=row["rate_per_s"],
        limit=row["letters_max"],
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


def subject_of(chosen: DeadLetterFilter | TaskChoice) -> BulkSubject:
    """Return what a choice is made among."""
    return BulkSubject.TASKS if isinstance(chosen, TaskChoice) else BulkSubject.DEAD_LETTERS


def causation_of(bulk_id: UUID) -> str:
    """Return what the events of a bulk act name as their cause."""
    return f"{_CAUSE}{bulk_id}"


def bulk_id_of(causation_id: str | None) -> UUID | None:
    """Return the bulk act that caused an event, if one did."""
    if causation_id is None or not causation_id.startswith(_CAUSE):
        return None
    return UUID(causation_id.removeprefix(_CAUSE))


def _intent_of(row: asyncpg.Record) -> Intent:
    origin = Origin(
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_id=causation_of(row["bulk_id"]),
        traceparent=row["traceparent"],
    )
    return Intent(reason=row["reason"], origin=origin, bulk_id=row["bulk_id"])
