"""Webhooks between their rows and their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from ledger.queries import query
from ledger.webhooks.endpoint import Webhook, WebhookDefinition, WebhookState, filter_as_dict, filter_of
from ledger.webhooks.retry import Answer

ACTOR = "webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A line of the log of an endpoint.

    Attributes:
        kind: event, test or redelivery.
        outcome: queued, delivered, failed or skipped.
        attempt: which try of this message it was, in a row.
        response: the begin of what the receiver answered.
        actor: who asked for it.
    """

    id: int
    kind: str
    message_id: str
    first_position: int | None
    last_position: int | None
    events: int
    outcome: str
    attempt: int
    status: int | None
    error: str
    response: str
    duration_ms: int | None
    actor: str
    reason: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """Who changed an endpoint, and what was set from then on as JSON text; never a secret."""

    id: int
    change: str
    definition: str
    actor: str
    reason: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryNote:
    """What is to be written into the log."""

    webhook: str
    kind: str
    message_id: str
    positions: tuple[int, int] | None
    events: int
    outcome: str
    attempt: int = 1
    answer: Answer | None = None
    actor: str = ACTOR
    reason: str = ""


def webhook_of(row: asyncpg.Record) -> Webhook:
    """Make an endpoint of its row."""
    facts = dict(row)
    definition = WebhookDefinition(
        url=facts.pop("url"),
        wanted=filter_of(orjson.loads(facts.pop("filter"))),
        batch_max=facts.pop("batch_max"),
    )
    return Webhook(definition=definition, **{**facts, "state": WebhookState(facts["state"])})


def deliveries_of(rows: Sequence[asyncpg.Record]) -> list[Delivery]:
    """Make lines of the log of their rows."""
    return [Delivery(**dict(row)) for row in rows]


def filter_text(definition: WebhookDefinition) -> str:
    """Return the filter as JSON text."""
    return orjson.dumps(filter_as_dict(definition.wanted), option=orjson.OPT_SORT_KEYS).decode()


def definition_text(definition: WebhookDefinition) -> str:
    """Return what is set as the JSON text that stands in the changes."""
    shown = {"url": definition.url, "batch_max": definition.batch_max, **filter_as_dict(definition.wanted)}
    return orjson.dumps(shown).decode()


async def insert_delivery(connection: asyncpg.Connection, note: DeliveryNote) -> int:
    """Write a line of the log; return its id."""
    first, last = note.positions or (None, None)
    answer = note.answer or Answer()
    delivery_id: int = await connection.fetchval(
        query("insert_webhook_delivery"),
        *(note.webhook, note.kind, note.message_id, first, last, note.events, note.outcome, note.attempt),
        *(answer.status, answer.error, answer.response),
        None if note.answer is None else answer.duration_ms,
        *(note.actor, note.reason),
    )
    return delivery_id
