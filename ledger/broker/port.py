"""The broker port: what Task Ledger needs of a message broker, and the contract that every adapter keeps."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue


class Band(StrEnum):
    """A priority band: one broker queue each, because quorum queues have no usable priorities of their own."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to publish; `must_route` says that it has to reach at least one queue.

    Attributes:
        message_id: `task_id:version`, by which consumers deduplicate.
        routing_key: `<queue>.<event>`, or `<queue>.ready.<band>.<event>` where the event makes a task ready.
        body: a CloudEvent in structured JSON mode.
        queue: the task queue that the routing key starts with.
    """

    message_id: str
    routing_key: str
    body: bytes
    queue: str
    must_route: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was rejected, or that came back too often.

    Attributes:
        queue: the task queue that it died in.
        message_id: the publisher's id; empty where a foreign message carries none.
        reason: why, in words.
        cause: why, in one: `rejected` by a consumer, else the broker's word, for example `delivery_limit`.
        headers: what it came with, and what the broker added, as JSON.
        properties: the message's other properties, those that are set.
    """

    queue: str
    message_id: str
    body: bytes
    reason: str
    cause: str
    headers: Mapping[str, JsonValue] = field(default_factory=dict)
    properties: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """How much lies in one of the broker's queues.

    Attributes:
        name: the broker's name for it.
        queue: the task queue that it belongs to.
        band: of a work queue; None for the dead letters.
        messages: how many wait for a consumer, what is in the hands of one not counted.
        consumers: how many consume from it; of the dead letters nobody does, they are asked for.
    """

    name: str
    queue: str
    band: Band | None
    messages: int
    consumers: int


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """Which broker this is: its kind in one word, and the version of its server, where there is one."""

    kind: str
    version: str | None


# Takes dead letters over; they are durable elsewhere when it returns.
KeepLetters = Callable[[Sequence[DeadLetter]], Awaitable[None]]


class Delivery(Protocol):
    """One message handed to a consumer; it stays the broker's until `ack` or `reject`."""

    @property
    def queue(self) -> str:
        """The task queue that it came from."""

    @property
    def band(self) -> Band:
        """The priority band that it came from."""

    @property
    def message_id(self) -> str:
        """The publisher's id; empty where a foreign message carries none."""

    @property
    def body(self) -> bytes:
        """The payload, as published."""

    @property
    def redelivered(self) -> bool:
        """Whether the broker may have handed it out before."""

    async def ack(self) -> None:
        """Take the message from the broker; silently nothing when its channel is gone (it will come again)."""

    async def reject(self, reason: str) -> None:
        """Move the message to the dead-letter queue of its task queue, with the reason in its headers."""


class Broker(Protocol):
    """Durable at-least-once delivery from one topic exchange to one work queue per task queue and band."""

    async def declare_queue(self, queue: str) -> None:
        """Make the work queues (one a band) and the dead-letter queue of a task queue exist; idempotent.

        Raises:
            BrokerUnavailableError: the broker cannot be reached in time.
            BrokerRefusedError: a queue exists with other arguments.
        """

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish in order, persistent, with pipelined confirms.

        A message with `must_route` that no queue takes makes its queue be declared and is published again.

        Returns:
            The length of the contiguous prefix that the broker confirmed (`len(messages)` when all went well).
            What lies behind the prefix may or may not be there: publish it again.

        Raises:
            BrokerUnavailableError: not even the first message was confirmed in time.
            BrokerRefusedError: the broker will not take the first message, however often it is sent.
            InvalidValueError: a queue name is out of its bound.
        """

    def consume(
        self, queues: Sequence[str], *, prefetch: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Receive from task queues, the higher band first among what has arrived.

        At most `prefetch` deliveries of each task queue and band are handed out or buffered unsettled. The
        iterator goes on by itself when the connection was lost and came back; unsettled deliveries then come
        again. Leaving the context stops consuming and returns what was not settled to the broker.
        """

    async def move_dead_letters(self, queue: str, keep: KeepLetters, *, letters_max: int) -> int:
        """Hand the oldest dead letters of a task queue to `keep`, and take them from the broker when it returns.

        Where `keep` raises, or anything fails after it, they stay and come again: `keep` has to bear that.

        Returns:
            How many were moved; 0 where there is no such queue.

        Raises:
            BrokerUnavailableError: the broker cannot be reached in time.
            BrokerRefusedError: we may not read the queue.
        """

    async def depths(self, queues: Sequence[str]) -> Sequence[QueueDepth]:
        """Return how much lies in the work queues and the dead-letter queue of each task queue, in that order.

        A queue that is not there has no depth; nothing is declared.

        Raises:
            BrokerUnavailableError: the broker does not answer in time.
            BrokerRefusedError: we may not look at a queue.
        """

    async def describe(self) -> BrokerFacts:
        """Return which broker this is; raises BrokerUnavailableError where it does not answer in time."""

    async def ping(self) -> None:
        """Return when the broker answers.

        Raises:
            BrokerUnavailableError: it does not, in time.
        """

    async def close(self) -> None:
        """Release every connection; idempotent."""
