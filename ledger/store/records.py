"""The shapes of an event on its way into the ledger and back out of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Origin:
    """Who caused an append, and in which chain of causes.

    Attributes:
        actor: who decided it, for example `client`, `worker:<id>`, `sweeper`, `user:<name>`.
        correlation_id: the whole story that it belongs to; where a caller gives none, that of the submission, and
            for a submission the task's own id.
        causation_id: what caused it, for example the `task_id:version` of an event.
        traceparent: the W3C trace context of the caller.
    """

    actor: str
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    def within(self, stream: Sequence["RecordedEvent"]) -> "Origin":
        """Return it in the story and the trace of a stream of at least one event, unless it has its own."""
        if self.correlation_id and self.traceparent:
            return self
        traced = (event.traceparent for event in reversed(stream) if event.traceparent)
        return replace(
            self,
            correlation_id=self.correlation_id or stream[0].correlation_id,
            traceparent=self.traceparent or next(traced, None),
        )


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append; `data` is JSON text, `occurred_at` the time of whoever decided it."""

    type: str
    schema_version: int
    kind: str
    queue: str
    data: str
    occurred_at: datetime
    origin: Origin


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """The key of a new erasable task, wrapped, as it is kept in the transaction of its submission."""

    wrapped: bytes
    secret_id: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StreamAppend:
    """The events to append to one stream, which is believed to be at `expected_version`.

    Attributes:
        payload_key: what is kept beside the stream of a new erasable task.
    """

    task_id: UUID
    events: Sequence[NewEvent]
    expected_version: int
    payload_key: PayloadKey | None = None


@dataclass(slots=True)
class FirstEvents:
    """The first events of new streams, a column each: thousands of them cost half of what as many objects do.

    Attributes:
        type: of all, as are `schema_version`, `occurred_at` and `origin`.
        data: JSON texts.
        payload_keys: what is kept beside the streams of erasable tasks.
    """

    type: str
    schema_version: int
    occurred_at: datetime
    origin: Origin
    task_ids: list[UUID] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    payload_keys: dict[UUID, PayloadKey] = field(default_factory=dict)

    def add(self, task_id: UUID, *, kind: str, queue: str, data: str) -> None:
        """Add the first event of one more stream."""
        self.task_ids.append(task_id)
        self.kinds.append(kind)
        self.queues.append(queue)
        self.data.append(data)

    def __len__(self) -> int:
        return len(self.task_ids)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as the ledger holds it, for ever; `data` is JSON text."""

    position: int
    task_id: UUID
    version: int
    type: str
    schema_version: int
    kind: str
    queue: str
    data: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    correlation_id: str
    causation_id: str | None
    traceparent: str | None

    @property
    def event_id(self) -> str:
        """The id of the event outside the ledger: `task_id:version`."""
        return f"{self.task_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class Appended:
    """The receipt of an append: where the last of its events stands.

    Attributes:
        replayed: the receipt of an earlier append, which had the same idempotency key.
        existing: the receipt of the unfinished task that holds the unique key.
    """

    task_id: UUID
    version: int
    position: int
    recorded_at: datetime
    replayed: bool = False
    existing: bool = False


@dataclass(frozen=True, slots=True)
class StaleWrite:
    """A late write that the ledger refused, kept as evidence."""

    task_id: UUID
    type: str
    attempt: int
    current_attempt: int
    status: str
    worker_id: str
    data: str
    occurred_at: datetime
    recorded_at: datetime | None = None
