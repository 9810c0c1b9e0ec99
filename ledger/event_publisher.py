"""The event publisher: turns events into messages, publishes them, and does not stop at a poison event.

What can go wrong with one event for good, and what then happens (each is logged as an error, with the position):

- It cannot be encoded, or the broker's protocol cannot carry it: it is passed over.
- The broker refuses its work queue (declared with other arguments, access denied): it is published all the same
  for everybody else who is bound to the exchange, without insisting on a work queue; so are the next events of
  that task queue for a while.
- The broker refuses it even so, because it is too large: it is published without its data.

Whichever it is, a task that was to become ready stays ready in the ledger without a message, and the reconciler
releases it again until a worker starts it. Everything else the broker may take later; it holds up the log.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

import structlog

from ledger.broker.port import Broker, OutgoingMessage
from ledger.errors import BrokerRefusedError, InvalidValueError
from ledger.messages import outgoing, position_of, without_data
from ledger.store.records import RecordedEvent
from ledger.traces import trace_fields

log = structlog.get_logger()

_REFUSED_QUEUE_SECONDS = 5.0
# How much is encoded without the event loop getting a turn: about a millisecond.
_TURN_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Consecutive events with the messages that announce them; an event that cannot be encoded has none.

    Attributes:
        positions: where each event stands in the log.
        messages: the messages, in order.
        owners: the index of each message's event.
        traceparents: the trace context of each message's event.
    """

    positions: Sequence[int]
    messages: Sequence[OutgoingMessage]
    owners: Sequence[int]
    traceparents: Sequence[str | None]

    @classmethod
    async def of(cls, events: Sequence[RecordedEvent]) -> Self:
        """Encode a batch, letting others run in between; what cannot be encoded is logged and left out."""
        messages: list[OutgoingMessage] = []
        owners: list[int] = []
        traceparents: list[str | None] = []
        turn_bytes = 0
        for index, event in enumerate(events):
            message = _encoded(event)
            if message is None:
                continue
            messages.append(message)
            owners.append(index)
            traceparents.append(event.traceparent)
            turn_bytes += len(message.body)
            if turn_bytes >= _TURN_BYTES:
                turn_bytes = 0
                await asyncio.sleep(0)
        return cls([event.position for event in events], messages, owners, traceparents)


class EventPublisher:
    """Publishes batches of events in order."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._refused_until: dict[str, float] = {}

    async def publish(self, batch: EncodedBatch) -> int:
        """Return how many events from the first on are dealt with: confirmed by the broker, or passed over.

        Raises:
            BrokerUnavailableError: not even the first one was confirmed in time.
            BrokerRefusedError: the broker refuses the first one in every form.
        """
        messages = batch.messages
        if not messages:
            return len(batch.positions)
        if self._refused_until:
            messages = [self._unrefused(message) for message in messages]
        taken = await self._publish(messages)
        return batch.owners[taken] if taken < len(messages) else len(batch.positions)

    async def _publish(self, messages: Sequence[OutgoingMessage]) -> int:
        try:
            return await self._broker.publish(messages)
        except (BrokerRefusedError, InvalidValueError) as error:
            if len(messages) == 1:
                return await self._publish_refused(messages[0], error)
        return await self._publish(messages[: len(messages) // 2])

    async def _publish_refused(
        self, message: OutgoingMessage, error: BrokerRefusedError | InvalidValueError
    ) -> int:
        log.error(
            "relay.event_refused",
            position=position_of(message),
            event_id=message.message_id,
            queue=message.queue,
            reason=str(error),
        )
        if isinstance(error, InvalidValueError):
            return 1
        if message.must_route:
            with suppress(BrokerRefusedError):
                taken = await self._broker.publish([replace(message, must_route=False)])
                self._refused_until[message.queue] = time.monotonic() + _REFUSED_QUEUE_SECONDS
                return taken
        return await self._broker.publish([without_data(message)])

    def _unrefused(self, message: OutgoingMessage) -> OutgoingMessage:
        if not message.must_route:
            return message
        until = self._refused_until.get(message.queue)
        if until is None:
            return message
        if time.monotonic() < until:
            return replace(message, must_route=False)
        del self._refused_until[message.queue]
        return message


def _encoded(event: RecordedEvent) -> OutgoingMessage | None:
    try:
        return outgoing(event)
    except Exception:  # whatever it is about this event, the ones behind it must not wait for it
        log.exception(
            "relay.event_unencodable",
            position=event.position,
            event_id=event.event_id,
            type=event.type,
            **trace_fields(event.traceparent),
        )
        return None
