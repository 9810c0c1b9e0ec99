"""The frames: what the hot paths send, encoded by hand after the AMQP 0-9-1 specification (sections 2.3 and 4.2).

Publishing through the client library costs about 100 µs a message, most of it in objects and futures; here it
is a few concatenations, and everything that repeats is encoded once.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

from pamqp import commands
from pamqp.frame import marshal

from ledger.broker.port import OutgoingMessage
from ledger.broker.topology import EVENTS_EXCHANGE
from ledger.errors import InvalidValueError

CONTENT_TYPE = "application/cloudevents+json"
PERSISTENT = 2

_FRAME_END = b"\xce"
_HEADER_FRAME = 2
_BODY_FRAME = 3
_FRAME_OVERHEAD_BYTES = 8
_SHORT_STRING_BYTES_MAX = 255

_frame_start = struct.Struct(">BHI").pack  # type, channel, payload size
_content_start = struct.Struct(">HHQ").pack  # class, weight, body size
_settlement = struct.Struct(">BHIHHQBB").pack  # a method frame with one delivery tag and one flag

_BASIC_CLASS = 60
_ACK_METHOD = 80
_REJECT_METHOD = 90
_METHOD_FRAME = 1
_SETTLEMENT_BYTES = 13

# Flags: content type (bit 15), delivery mode (12), message id (7); the values follow in this order.
_EVENT_PROPERTIES = (
    struct.pack(">H", 1 << 15 | 1 << 12 | 1 << 7)
    + bytes((len(CONTENT_TYPE),))
    + CONTENT_TYPE.encode()
    + bytes((PERSISTENT,))
)


@dataclass(frozen=True, slots=True)
class Publication:
    """One message on its way to an exchange.

    Attributes:
        properties: the message's properties, encoded.
        mandatory: the message has to reach a queue; `queue` is declared for it if need be.
    """

    exchange: str
    routing_key: str
    message_id: str
    properties: bytes
    body: bytes
    queue: str
    mandatory: bool


def event_publication(message: OutgoingMessage) -> Publication:
    """Return the publication of an event: persistent, a CloudEvent, with its id.

    Raises:
        InvalidValueError: the message id or the routing key is longer than the protocol allows.
    """
    message_id = message.message_id.encode()
    if len(message_id) > _SHORT_STRING_BYTES_MAX:
        raise InvalidValueError(field="message_id", bound="at most 255 bytes", value=message.message_id)
    if len(message.routing_key) > _SHORT_STRING_BYTES_MAX:
        raise InvalidValueError(field="routing_key", bound="at most 255 bytes", value=message.routing_key)
    return Publication(
        exchange=EVENTS_EXCHANGE,
        routing_key=message.routing_key,
        message_id=message.message_id,
        properties=_EVENT_PROPERTIES + bytes((len(message_id),)) + message_id,
        body=message.body,
        queue=message.queue,
        mandatory=message.must_route,
    )


def publish_frames(publication: Publication, *, channel_number: int, frame_bytes_max: int) -> bytes:
    """Return the frames that publish one message on a channel: method, header, and body in as many as it takes."""
    body = publication.body
    size = len(body)
    header = _content_start(_BASIC_CLASS, 0, size) + publication.properties
    parts = [
        _publish_method(channel_number, publication.exchange, publication.routing_key, publication.mandatory),
        _frame_start(_HEADER_FRAME, channel_number, len(header)),
        header,
        _FRAME_END,
    ]
    piece_bytes_max = frame_bytes_max - _FRAME_OVERHEAD_BYTES
    if size <= piece_bytes_max:
        pieces = [body] if body else []
    else:
        pieces = [body[start : start + piece_bytes_max] for start in range(0, size, piece_bytes_max)]
    for piece in pieces:
        parts += (_frame_start(_BODY_FRAME, channel_number, len(piece)), piece, _FRAME_END)
    return b"".join(parts)


def ack_frame(delivery_tag: int, *, channel_number: int, multiple: bool) -> bytes:
    """Return the frame that acks a delivery, and with `multiple` every earlier one."""
    return _settlement_frame(_ACK_METHOD, delivery_tag, channel_number=channel_number, flag=multiple)


def dead_letter_frame(delivery_tag: int, *, channel_number: int) -> bytes:
    """Return the frame that hands a delivery to the broker's own dead-lettering (a reject without requeue)."""
    return _settlement_frame(_REJECT_METHOD, delivery_tag, channel_number=channel_number, flag=False)


def _settlement_frame(method: int, delivery_tag: int, *, channel_number: int, flag: bool) -> bytes:
    return _settlement(
        _METHOD_FRAME, channel_number, _SETTLEMENT_BYTES, _BASIC_CLASS, method, delivery_tag, flag, _FRAME_END[0]
    )


@lru_cache(maxsize=4096)
def _publish_method(channel_number: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:  # noqa: FBT001 - part of the cache's key
    method = commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    return marshal(method, channel_number)
