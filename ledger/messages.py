"""The messages on the broker: an event of the ledger as a CloudEvent in structured JSON, and back.

CloudEvents 1.0 has no binding for AMQP 0-9-1, so the whole event is the body (structured mode, content type
application/cloudevents+json). Extension attributes: `ledgerposition`, `taskversion`, `taskkind`, `taskqueue`,
`schemaversion`, `occurredtime`, `actor`, `correlationid`, `causationid`, `traceparent`.
"""

from datetime import datetime
from functools import lru_cache
from uuid import UUID

import orjson

from ledger.broker.port import Band, OutgoingMessage
from ledger.errors import MalformedMessageError
from ledger.specification import DEFAULT_PRIORITY, PRIORITY_MAX
from ledger.store.records import RecordedEvent

SOURCE = "/task-ledger"
SPEC_VERSION = "1.0"

_ALWAYS_READY = frozenset({"task.released", "task.retried"})
_SUBMITTED = "task.submitted"
_HIGH_FROM = 7
_NORMAL_FROM = 4

# The least and the greatest priority of each band.
BAND_PRIORITIES = {
    Band.HIGH: (_HIGH_FROM, PRIORITY_MAX),
    Band.NORMAL: (_NORMAL_FROM, _HIGH_FROM - 1),
    Band.LOW: (0, _NORMAL_FROM - 1),
}


def outgoing(event: RecordedEvent) -> OutgoingMessage:
    """Return the message that announces an event; it must reach a queue where it makes the task ready."""
    band = ready_band(event)
    task_id = str(event.task_id)
    event_id = f"{task_id}:{event.version}"
    return OutgoingMessage(
        message_id=event_id,
        routing_key=_routing_key(event.queue, event.type, band),
        body=_body(event, task_id=task_id, event_id=event_id),
        queue=event.queue,
        must_route=band is not None,
    )


def position_of(message: OutgoingMessage) -> int:
    """Return where the event that a message announces stands in the log."""
    return int(orjson.loads(message.body)["ledgerposition"])


def without_data(message: OutgoingMessage) -> OutgoingMessage:
    """Return the message with all that announces the event but its data; it makes no task ready."""
    event = orjson.loads(message.body)
    event["data"] = {}
    return OutgoingMessage(
        message_id=message.message_id,
        routing_key=_routing_key(message.queue, event["type"], None),
        body=orjson.dumps(event),
        queue=message.queue,
        must_route=False,
    )


def incoming(body: bytes) -> RecordedEvent:
    """Return the event that a message announces.

    Raises:
        MalformedMessageError: the body is no CloudEvent of ours.
    """
    try:
        message = orjson.loads(body)
        return RecordedEvent(
            position=int(message["ledgerposition"]),
            task_id=UUID(message["subject"]),
            version=int(message["taskversion"]),
            type=_text(message["type"]),
            schema_version=int(message["schemaversion"]),
            kind=_text(message["taskkind"]),
            queue=_text(message["taskqueue"]),
            data=_object(message["data"]),
            occurred_at=datetime.fromisoformat(message["occurredtime"]),
            recorded_at=datetime.fromisoformat(message["time"]),
            actor=_text(message["actor"]),
            correlation_id=_text(message["correlationid"]),
            causation_id=_optional_text(message.get("causationid")),
            traceparent=_optional_text(message.get("traceparent")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedMessageError(f"{type(error).__name__}: {error}") from error


def ready_band(event: RecordedEvent) -> Band | None:
    """Return the priority band of an event that makes its task ready, None for every other event."""
    if event.type != _SUBMITTED and event.type not in _ALWAYS_READY:
        return None
    values = orjson.loads(event.data)
    if event.type == _SUBMITTED and (values.get("run_at") is not None or values.get("hold") is not None):
        return None
    return band_of(values.get("priority", DEFAULT_PRIORITY))


def band_of(priority: int) -> Band:
    """Return the band of a priority: 7 to 9 high, 4 to 6 normal, 0 to 3 low."""
    if priority >= _HIGH_FROM:
        return Band.HIGH
    return Band.NORMAL if priority >= _NORMAL_FROM else Band.LOW


@lru_cache(maxsize=4096)
def _routing_key(queue: str, event_type: str, band: Band | None) -> str:
    name = event_type.removeprefix("task.")
    return f"{queue}.{name}" if band is None else f"{queue}.ready.{band}.{name}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text was expected, not {type(value).__name__}")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _object(value: object) -> str:
    if not isinstance(value, dict):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return orjson.dumps(value).decode()


def _body(event: RecordedEvent, *, task_id: str, event_id: str) -> bytes:
    # The event's own JSON goes through as it is: decoding and encoding it again would double the cost.
    attributes: dict[str, object] = {
        "specversion": SPEC_VERSION,
        "id": event_id,
        "source": SOURCE,
        "type": event.type,
        "subject": task_id,
        "time": event.recorded_at,
        "datacontenttype": "application/json",
        "ledgerposition": str(event.position),
        "taskversion": event.version,
        "taskkind": event.kind,
        "taskqueue": event.queue,
        "schemaversion": event.schema_version,
        "occurredtime": event.occurred_at,
        "actor": event.actor,
        "correlationid": event.correlation_id,
        "data": orjson.Fragment(event.data),
    }
    if event.causation_id is not None:
        attributes["causationid"] = event.causation_id
    if event.traceparent is not None:
        attributes["traceparent"] = event.traceparent
    return orjson.dumps(attributes)
