"""The codec between the aggregate's events and the rows of the ledger, with upcasting of old shapes.

In the ledger an event is its topic, its schema version and a JSON object of its own fields; fields that are
None are left out. Upcasting follows the `eventsourcing` library: the class of the current shape has a static
method `upcast_v1_v2(data)` for each step from an older `class_version`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from typing import cast
from uuid import UUID

import orjson
from pydantic import JsonValue

from ledger.errors import PayloadKeyMissingError, UnknownEventTypeError
from ledger.jsonvalue import encode_json
from ledger.payloads.cipher import PayloadCipher, sealed_data
from ledger.store.records import NewEvent, Origin, RecordedEvent
from ledger.task import Task
from ledger.task_events import Failed, Submitted, TaskEvent
from ledger.task_words import Cause

_ENVELOPE = frozenset({"originator_id", "originator_version", "timestamp", "originator_topic"})
_EVENT_CLASSES: tuple[type[TaskEvent], ...] = (
    Task.Submitted,
    Task.Released,
    Task.Held,
    Task.Started,
    Task.Progressed,
    Task.Completed,
    Task.Failed,
    Task.CancelRequested,
    Task.Cancelled,
    Task.Retried,
    Task.Discarded,
    Task.Erased,
)


def topic_of(event_class: type[TaskEvent]) -> str:
    """Return the event type that stands in the ledger, for example `task.submitted`."""
    return str(event_class.TOPIC)  # type: ignore[attr-defined]  # each concrete class has one


SUBMITTED = topic_of(Task.Submitted)
EVENT_TYPES: dict[str, type[TaskEvent]] = {topic_of(cls): cls for cls in _EVENT_CLASSES}


def secret_field_of(topic: str) -> str | None:
    """Return the field of an event type that is encrypted where the task is erasable; None where none is."""
    event_class = EVENT_TYPES.get(topic)
    return None if event_class is None else event_class.SEALED


def encode(event: TaskEvent, *, kind: str, queue: str, origin: Origin, bytes_max: int | None = None) -> NewEvent:
    """Make a row of an event.

    Raises:
        InvalidValueError: a field holds what the ledger cannot store (ledger.jsonvalue says what).
    """
    event_class = type(event)
    fields_of_event = {name: getattr(event, name) for name in _field_names(event_class)}
    return NewEvent(
        type=topic_of(event_class),
        schema_version=event_class.class_version,
        kind=kind,
        queue=queue,
        data=encode_fields(event_class, fields_of_event, bytes_max=bytes_max),
        occurred_at=event.timestamp,
        origin=origin,
    )


def encode_fields(
    event_class: type[TaskEvent], fields_of_event: Mapping[str, object], *, bytes_max: int | None = None
) -> str:
    """Make the JSON text of an event's own fields; raises what `encode` raises."""
    values = {name: value for name, value in fields_of_event.items() if value is not None}
    for name in (*event_class.TIMES, *event_class.IDS):
        if name in values:
            values[name] = _text(values[name])
    return encode_json(values, field=event_class.PAYLOAD, bytes_max=bytes_max)


def decode(row: RecordedEvent) -> TaskEvent:
    """Make an event of a row, upcast to the current shape; its timestamp is the database's recorded_at.

    Raises:
        UnknownEventTypeError: the type is unknown, or its schema version is newer than this release.
    """
    event_class = EVENT_TYPES.get(row.type)
    if event_class is None or row.schema_version > event_class.class_version:
        raise UnknownEventTypeError(event_type=row.type, schema_version=row.schema_version)
    values = upcast(event_class, orjson.loads(row.data), schema_version=row.schema_version)
    return _event(event_class, row.task_id, row.version, row.recorded_at, values)


def upcast(
    event_class: type[TaskEvent], data: dict[str, JsonValue], *, schema_version: int
) -> dict[str, JsonValue]:
    """Return the data of an old shape in the current one, step by step."""
    for version in range(schema_version, event_class.class_version):
        step = getattr(event_class, f"upcast_v{version}_v{version + 1}")
        data = step(data)
    return data


def fold(rows: Iterable[RecordedEvent]) -> Task | None:
    """Return the task that a whole stream makes; None for an empty one."""
    task: Task | None = None
    for row in rows:
        task = decode(row).mutate(task)
    return task


def encode_pending(
    task: Task, *, origin: Origin, bytes_max: int | None = None, cipher: PayloadCipher | None = None
) -> tuple[int, Sequence[NewEvent]]:
    """Return the expected version and the rows of what the task has triggered since it was folded.

    Raises:
        InvalidValueError: a field holds what the ledger cannot store.
        PayloadKeyMissingError: the task is erasable, and what a handler said would stand there in clear.
    """
    pending = cast("Sequence[TaskEvent]", task.collect_events())
    rows = [
        encode(event, kind=task.kind, queue=task.queue, origin=origin, bytes_max=bytes_max) for event in pending
    ]
    if task.erasable:
        rows = [_protected(event, row, cipher) for event, row in zip(pending, rows, strict=True)]
    return task.version - len(rows), rows


def protected(row: NewEvent, cipher: PayloadCipher) -> NewEvent:
    """Return the row of an erasable task's event with what is a user's encrypted."""
    return replace(row, data=protected_data(row.type, row.data, cipher))


def protected_data(topic: str, data: str, cipher: PayloadCipher) -> str:
    """Return the JSON text of an erasable task's event with what is a user's encrypted."""
    field = secret_field_of(topic)
    return data if field is None else sealed_data(data, field=field, cipher=cipher)


def _protected(event: TaskEvent, row: NewEvent, cipher: PayloadCipher | None) -> NewEvent:
    if cipher is not None:
        return protected(row, cipher)
    # Who sweeps and follows up fails a task in words of its own, so it needs no secret.
    if isinstance(event, Failed):
        is_a_handlers = event.cause in (Cause.ERROR, Cause.TIMEOUT)
    else:
        is_a_handlers = type(event).SEALED is not None
    if is_a_handlers:
        raise PayloadKeyMissingError(task_id=event.originator_id, reason="no key came with what is to be recorded")
    return row


def _event(
    event_class: type[TaskEvent], task_id: UUID, version: int, timestamp: datetime, values: dict[str, JsonValue]
) -> TaskEvent:
    known = {name: values[name] for name in _field_names(event_class) if name in values}
    arguments: dict[str, object] = {
        **known,
        **{name: datetime.fromisoformat(str(known[name])) for name in event_class.TIMES if name in known},
        **{name: UUID(str(known[name])) for name in event_class.IDS if name in known},
    }
    if event_class is Submitted:
        arguments["originator_topic"] = Task.TOPIC
    return event_class(originator_id=task_id, originator_version=version, timestamp=timestamp, **arguments)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@cache
def _field_names(event_class: type[TaskEvent]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(event_class) if field.name not in _ENVELOPE)
