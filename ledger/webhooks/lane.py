"""A lane: sends the log to one endpoint, strictly by position, and moves its checkpoint after each success.

    checkpoint ─▶ next events that it wants ─▶ send ─▶ 2xx: checkpoint, by compare-and-set
                                                  └─▶ else: a later try, or the endpoint is failing

Nothing is remembered between two pages but what the row says. Whoever is killed between a send and its checkpoint
sends once more, with the same id; whoever finds the checkpoint moved, or the endpoint changed, looks again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.history.search import LogSearch
from ledger.queries import query
from ledger.store.records import RecordedEvent
from ledger.telemetry import WEBHOOK_DELIVERIES
from ledger.webhooks.endpoint import Webhook, WebhookState
from ledger.webhooks.message import WebhookMessage, message_of
from ledger.webhooks.retry import Answer, setback_of
from ledger.webhooks.rows import ACTOR, DeliveryNote, definition_text, insert_delivery, webhook_of
from ledger.webhooks.sender import Sender

log = structlog.get_logger()

_PAGE_EVENTS = 50


class Pace(Enum):
    """What is to be done next: there may be more, the end of the log is reached, or it is not its time."""

    MORE = "more"
    CAUGHT_UP = "caught_up"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Progress:
    """How many events were delivered, and what is next."""

    delivered: int
    pace: Pace


@dataclass(frozen=True, slots=True)
class Page:
    """An endpoint as its row was, with what signs, and the position that the row says now."""

    webhook: Webhook
    secrets: Sequence[str]
    position: int


class Lane:
    """Sends to one endpoint."""

    def __init__(self, ledger: Ledger, name: str, sender: Sender) -> None:
        self._ledger = ledger
        self._name = name
        self._sender = sender
        self._search = LogSearch(ledger)

    async def run_once(self) -> Progress:
        """Send the next events, a page at most, until one fails."""
        page = await load(self._ledger, self._name)
        if page is None or not self._is_due(page.webhook):
            return Progress(0, Pace.OFF)
        definition = page.webhook.definition
        size = definition.batch_max
        limit = _PAGE_EVENTS if size == 1 else size
        found = await self._search.read(definition.wanted, after=page.position, limit=limit)
        delivered = 0
        for first in range(0, len(found.events), size):
            events = found.events[first : first + size]
            moved = await self._deliver(page, events)
            if moved is None:
                return Progress(delivered, Pace.OFF)
            page, delivered = moved, delivered + len(events)
        if not found.events and found.next_after > page.position:
            await self._pass_by(page, found.next_after)
        return Progress(delivered, Pace.CAUGHT_UP if found.next_after >= found.horizon else Pace.MORE)

    def _is_due(self, webhook: Webhook) -> bool:
        next_try_at = webhook.next_try_at
        is_early = next_try_at is not None and next_try_at > self._ledger.clock.now()
        return webhook.state is WebhookState.ACTIVE and not is_early

    async def _deliver(self, page: Page, events: Sequence[RecordedEvent]) -> Page | None:
        """Return where the endpoint stands afterwards; None where it is not to go on."""
        webhook = page.webhook
        message = message_of(events, is_batch=webhook.definition.batch_max > 1)
        timestamp = int(self._ledger.clock.now().timestamp())
        answer = await self._sender.send(webhook.definition.url, message, page.secrets, timestamp=timestamp)
        outcome = "delivered" if answer.is_success else "failed"
        self._ledger.instruments.measures.count(WEBHOOK_DELIVERIES, outcome)
        note = DeliveryNote(
            webhook=self._name, kind="event", message_id=message.id, events=len(events),
            positions=(events[0].position, events[-1].position),
            outcome=outcome,
            attempt=webhook.failures + 1, answer=answer,
        )  # fmt: skip
        async with self._ledger.database.connection() as connection, connection.transaction():
            await insert_delivery(connection, note)
            if answer.is_success:
                return await _advance(connection, page, events[-1].position)
            await self._set_back(connection, page, message, answer)
        return None

    async def _set_back(
        self, connection: asyncpg.Connection, page: Page, message: WebhookMessage, answer: Answer
    ) -> None:
        webhook, now = page.webhook, self._ledger.clock.now()
        failures = webhook.failures + 1
        setback = setback_of(answer, failures=failures, settings=self._ledger.settings, now=now)
        row = await connection.fetchval(
            query("set_webhook_back"), self._name, webhook.revision, page.position, failures,
            f"{message.id}: {answer.error}", setback.state, setback.reason, float(setback.wait_seconds),
        )  # fmt: skip
        log.info(
            "webhook.failed", webhook=self._name, message_id=message.id, failures=failures, error=answer.error
        )
        if row is None or setback.state is WebhookState.ACTIVE:
            return
        change = "gone" if setback.state is WebhookState.PAUSED else "failing"
        text = definition_text(webhook.definition)
        why = f"{message.id}: {setback.reason}"
        await connection.execute(query("insert_webhook_change"), self._name, change, text, ACTOR, why)
        log.warning("webhook.stopped", webhook=self._name, state=setback.state, reason=why)

    async def _pass_by(self, page: Page, position: int) -> None:
        async with self._ledger.database.connection() as connection:
            await connection.execute(
                query("pass_by_unwanted"), self._name, page.webhook.revision, page.position, position
            )


async def load(ledger: Ledger, name: str) -> Page | None:
    """Return an endpoint with what signs its deliveries; None where there is none."""
    async with ledger.database.connection() as connection:
        row = await connection.fetchrow(query("find_webhook"), name)
        secrets = await connection.fetch(query("webhook_secrets"), name)
    if row is None:
        return None
    webhook = webhook_of(row)
    return Page(webhook, [one["secret"] for one in secrets], webhook.position)


async def _advance(connection: asyncpg.Connection, page: Page, position: int) -> Page | None:
    webhook = page.webhook
    arguments = (webhook.name, webhook.revision, page.position, position)
    if await connection.fetchval(query("advance_webhook"), *arguments) != WebhookState.ACTIVE:
        return None
    return Page(replace(webhook, failures=0), page.secrets, position)
