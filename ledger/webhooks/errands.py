"""Errands: what somebody asked for beside the order of the log, tests and redeliveries; each is tried once."""

from ledger.bootstrap import Ledger
from ledger.history.search import LogSearch, Stretch
from ledger.queries import query
from ledger.store.records import RecordedEvent
from ledger.webhooks.endpoint import BATCH_MAX, Webhook
from ledger.webhooks.lane import Page, load
from ledger.webhooks.message import WebhookMessage, message_of, ping_of
from ledger.webhooks.retry import Answer
from ledger.webhooks.rows import Delivery, deliveries_of
from ledger.webhooks.sender import Sender

_AT_ONCE_MAX = 20


class Errands:
    """Sends what was asked for to one endpoint; a kill repeats what was under way."""

    def __init__(self, ledger: Ledger, name: str, sender: Sender) -> None:
        self._ledger = ledger
        self._name = name
        self._sender = sender
        self._search = LogSearch(ledger)

    async def run_once(self) -> int:
        """Send what is queued, the oldest first and some at a time; return how many that were."""
        page = await load(self._ledger, self._name)
        if page is None:
            return 0
        async with self._ledger.database.connection() as connection:
            rows = await connection.fetch(query("queued_webhook_deliveries"), self._name, _AT_ONCE_MAX)
        for delivery in deliveries_of(rows):
            await self._do(page, delivery)
        return len(rows)

    async def _do(self, page: Page, delivery: Delivery) -> None:
        now = self._ledger.clock.now()
        if delivery.kind == "test":
            message: WebhookMessage | None = ping_of(self._name, delivery.id, now)
        else:
            message = await self._again(page.webhook, delivery)
        if message is None:
            await self._settle(
                delivery, delivery.message_id, Answer(error="its filter lets none of it pass any more")
            )
            return
        url, timestamp = page.webhook.definition.url, int(now.timestamp())
        answer = await self._sender.send(url, message, page.secrets, timestamp=timestamp)
        await self._settle(delivery, message.id, answer)

    async def _again(self, webhook: Webhook, delivery: Delivery) -> WebhookMessage | None:
        if delivery.first_position is None or delivery.last_position is None:
            return None
        wanted, rest = webhook.definition.wanted, Stretch(delivery.first_position - 1, delivery.last_position)
        events: list[RecordedEvent] = []
        while len(events) < BATCH_MAX:
            found = await self._search.forwards(wanted, rest, limit=BATCH_MAX - len(events))
            events += found.events
            if found.rest is None:
                break
            rest = found.rest
        return message_of(events, is_batch=".." in delivery.message_id) if events else None

    async def _settle(self, delivery: Delivery, message_id: str, answer: Answer) -> None:
        outcome = "delivered" if answer.is_success else "failed"
        facts = (outcome, answer.status, answer.error, answer.response, answer.duration_ms, message_id)
        async with self._ledger.database.connection() as connection:
            await connection.execute(query("settle_queued_delivery"), delivery.id, *facts)
