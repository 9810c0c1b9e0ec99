"""What is sent: an event, or some in an array, as the CloudEvents that the relay publishes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from ledger.messages import SOURCE, SPEC_VERSION, outgoing
from ledger.store.records import RecordedEvent

PING_TYPE = "webhook.ping"


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A body, its content type and its `webhook-id`."""

    id: str
    content_type: str
    body: bytes


def message_of(events: Sequence[RecordedEvent], *, is_batch: bool) -> WebhookMessage:
    """Return the message of at least one event; a repeat of it has the same id."""
    messages = [outgoing(event) for event in events]
    first = messages[0]
    if not is_batch:
        return WebhookMessage(first.message_id, "application/cloudevents+json", first.body)
    body = b"[" + b",".join(message.body for message in messages) + b"]"
    return WebhookMessage(batch_id(events), "application/cloudevents-batch+json", body)


def batch_id(events: Sequence[RecordedEvent]) -> str:
    """Return the id of a batch: that of its first and of its last event, since the next try may find more."""
    return f"{events[0].event_id}..{events[-1].event_id}"


def ping_of(webhook: str, delivery_id: int, now: datetime) -> WebhookMessage:
    """Return the message of a test."""
    message_id = f"ping:{webhook}:{delivery_id}"
    event = {
        "specversion": SPEC_VERSION,
        "id": message_id,
        "source": SOURCE,
        "type": PING_TYPE,
        "subject": webhook,
        "time": now,
        "datacontenttype": "application/json",
        "data": {"webhook": webhook},
    }
    return WebhookMessage(message_id, "application/cloudevents+json", orjson.dumps(event))
