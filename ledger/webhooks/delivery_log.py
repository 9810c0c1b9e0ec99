"""The log of deliveries: what was sent, and what somebody asks to be sent beside the order of the log.

Nothing is sent from here: what is asked for is queued, and the scheduler, which alone can read the secrets, sends
it.
"""

from collections.abc import Sequence

from ledger.bootstrap import Ledger
from ledger.queries import query
from ledger.store.records import Origin
from ledger.webhooks.errors import WebhookDeliveryNotFoundError, WebhookStateError
from ledger.webhooks.locked import Locked, check_known, locked_webhook
from ledger.webhooks.rows import Delivery, DeliveryNote, deliveries_of, insert_delivery


class DeliveryLog:
    """What was sent to the endpoints."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database

    async def test(self, name: str, *, origin: Origin) -> Delivery:
        """Ask for a signed ping, whatever state the endpoint is in; the log says what became of it."""
        note = DeliveryNote(
            webhook=name, kind="test", message_id="ping", positions=None, events=0, outcome="queued",
            actor=origin.actor,
        )  # fmt: skip
        async with locked_webhook(self._database, name) as locked:
            _ = locked.known
            return await _queued(locked, note)

    async def redeliver(self, name: str, delivery_id: int, *, origin: Origin) -> Delivery:
        """Ask that what was sent is sent once more, beside the order and whatever state the endpoint is in.

        Raises:
            WebhookNotFoundError: there is no endpoint of this name.
            WebhookDeliveryNotFoundError: its log has no such delivery.
            WebhookStateError: it was no event.
        """
        async with locked_webhook(self._database, name) as locked:
            _ = locked.known
            row = await locked.connection.fetchrow(query("find_webhook_delivery"), name, delivery_id)
            if row is None:
                raise WebhookDeliveryNotFoundError(name=name, delivery_id=delivery_id)
            (sent,) = deliveries_of([row])
            if sent.first_position is None or sent.last_position is None:
                raise WebhookStateError(name=name, command="redeliver for", reason="that delivery was a test")
            note = DeliveryNote(
                webhook=name, kind="redelivery", message_id=sent.message_id,
                positions=(sent.first_position, sent.last_position), events=sent.events, outcome="queued",
                actor=origin.actor, reason=f"delivery {delivery_id}",
            )  # fmt: skip
            return await _queued(locked, note)

    async def deliveries(
        self, name: str, *, before: int | None, outcome: str | None, limit: int
    ) -> Sequence[Delivery]:
        """Return a page of the log of the endpoints that have or had this name, newest first, before an id."""
        check_known(name)
        async with self._database.connection() as connection:
            return deliveries_of(
                await connection.fetch(query("read_webhook_deliveries"), name, before, outcome, limit)
            )


async def _queued(locked: Locked, note: DeliveryNote) -> Delivery:
    delivery_id = await insert_delivery(locked.connection, note)
    rows = await locked.connection.fetch(query("find_webhook_delivery"), locked.name, delivery_id)
    (delivery,) = deliveries_of(rows)
    return delivery
