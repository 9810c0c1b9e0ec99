"""The codec: every event comes back as it went in, old shapes are brought forward, unknown ones are named."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import orjson
import pytest
from hypothesis import given

from ledger.codec import EVENT_TYPES, decode, encode, fold, topic_of, upcast
from ledger.errors import UnknownEventTypeError
from ledger.store.records import Origin, RecordedEvent
from ledger.task import Task
from ledger.task_events import TaskEvent
from ledger.task_words import Cause, HoldReason, ParentPolicy, ReleaseReason
from tests.properties.strategies import History, histories

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"
TASK_ID = UUID("01a20cad-7423-7578-abdd-be0ca3bcb83a")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = datetime(2027, 1, 1, 12, 0, tzinfo=UTC)


def made(event_class: Callable[..., TaskEvent], **fields: object) -> TaskEvent:
    return event_class(originator_id=TASK_ID, originator_version=1, timestamp=NOW, **fields)


EXAMPLES: dict[str, TaskEvent] = {
    "task.submitted": made(
        Task.Submitted,
        originator_topic=Task.TOPIC,
        kind="letter",
        queue="post",
        input={"to": ["a", 1, None, 2.5]},
        priority=7,
        run_at=LATER,
        max_attempts=4,
        timeout_s=12.5,
        backoff={"base_s": 1.0, "cap_s": 60.0},
        tags=["tenant:acme"],
        parent=UUID(int=7),
        key="acme",
        unique_key="order-7",
        after=[str(UUID(int=8))],
        on_parent_failure=ParentPolicy.FAIL,
        hold=HoldReason.AFTER,
        erasable=True,
    ),
    "task.held": made(Task.Held, reason=HoldReason.LIMIT),
    "task.released": made(Task.Released, reason=ReleaseReason.DUE, priority=7),
    "task.started": made(Task.Started, attempt=2, worker_id="w1"),
    "task.progressed": made(Task.Progressed, attempt=2, fraction=0.25, message="a quarter"),
    "task.completed": made(Task.Completed, attempt=2, result={"sent": True}),
    "task.failed": made(
        Task.Failed,
        attempt=2,
        error={"type": "E", "message": "m", "traceback": "t"},
        cause=Cause.TIMEOUT,
        retry_at=LATER,
    ),
    "task.cancel_requested": made(Task.CancelRequested, actor="user:a", reason="enough"),
    "task.cancelled": made(Task.Cancelled, actor="user:a", reason="enough"),
    "task.retried": made(Task.Retried, actor="user:a", reason="fixed", priority=7),
    "task.discarded": made(Task.Discarded, actor="user:a", reason="known"),
    "task.erased": made(Task.Erased, actor="user:a", reason="asked to be forgotten"),
}


def row(event_type: str, data: str, *, schema_version: int = 1, version: int = 1) -> RecordedEvent:
    return RecordedEvent(
        position=1, task_id=TASK_ID, version=version, type=event_type, schema_version=schema_version,
        kind="letter", queue="post", data=data, occurred_at=NOW, recorded_at=NOW, actor="client",
        correlation_id="c", causation_id=None, traceparent=None,
    )  # fmt: skip


def test_every_event_type_has_an_example() -> None:
    assert set(EXAMPLES) == set(EVENT_TYPES)


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_event_comes_back_as_it_went_in(event_type: str) -> None:
    event = EXAMPLES[event_type]

    encoded = encode(event, kind="letter", queue="post", origin=Origin(actor="client"))

    assert encoded.type == event_type
    assert decode(row(event_type, encoded.data)) == event


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_event_is_stored_exactly_as_the_golden_file_says(event_type: str) -> None:
    encoded = encode(EXAMPLES[event_type], kind="letter", queue="post", origin=Origin(actor="client"))

    assert json.loads(encoded.data) == golden(event_type, encoded.schema_version)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_golden_file_of_every_shape_there_ever_was_is_still_read(event_type: str) -> None:
    for version in range(1, EVENT_TYPES[event_type].class_version + 1):
        stored = json.dumps(golden(event_type, version))

        assert decode(row(event_type, stored, schema_version=version)) == as_of(EXAMPLES[event_type], version)


def test_there_is_a_golden_file_for_each_shape_and_none_besides() -> None:
    shapes = {
        f"{event_type}.v{version}.json"
        for event_type, event_class in EVENT_TYPES.items()
        for version in range(1, event_class.class_version + 1)
    }

    assert {file.name for file in GOLDEN.iterdir()} == shapes


@given(histories())
def test_whatever_a_task_may_record_comes_back_and_is_written_down_the_same_again(history: History) -> None:
    for step in history.steps:
        for event in step.events:
            decoded = decode(row(event.type, event.data, schema_version=event.schema_version))

            again = encode(decoded, kind=event.kind, queue=event.queue, origin=event.origin)

            assert (again.type, again.schema_version) == (event.type, event.schema_version)
            # An encrypted payload stands last in its row: the order of members is no part of a shape.
            assert orjson.loads(again.data) == orjson.loads(event.data)


def test_field_that_is_none_is_left_out() -> None:
    event = made(Task.Completed, attempt=1, result=None)

    assert encode(event, kind="k", queue="q", origin=Origin(actor="a")).data == '{"attempt":1}'


def test_field_of_a_newer_writer_is_passed_over() -> None:
    event = decode(row("task.started", '{"attempt": 1, "worker_id": "w", "colour": "blue"}'))

    assert event == made(Task.Started, attempt=1, worker_id="w")


@pytest.mark.parametrize(("event_type", "schema_version"), [("task.vanished", 1), ("task.started", 99)])
def test_unknown_event_is_refused_with_its_name(event_type: str, schema_version: int) -> None:
    with pytest.raises(UnknownEventTypeError, match=event_type):
        decode(row(event_type, "{}", schema_version=schema_version))


def test_old_shape_is_brought_forward_step_by_step() -> None:
    class Moved(TaskEvent):
        TOPIC = "task.moved"
        class_version: ClassVar[int] = 3
        street: str
        town: str

        @staticmethod
        def upcast_v1_v2(data: dict[str, str]) -> dict[str, str]:
            return {"address": data["to"]}

        @staticmethod
        def upcast_v2_v3(data: dict[str, str]) -> dict[str, str]:
            street, _, town = data["address"].partition(", ")
            return {"street": street, "town": town}

    assert upcast(Moved, {"to": "High Street, York"}, schema_version=1) == {
        "street": "High Street",
        "town": "York",
    }
    assert upcast(Moved, {"address": "A, B"}, schema_version=2) == {"street": "A", "town": "B"}
    assert upcast(Moved, {"street": "A", "town": "B"}, schema_version=3) == {"street": "A", "town": "B"}


def test_stream_folds_to_its_task_and_an_empty_one_to_none() -> None:
    task = fold([
        row("task.submitted", '{"kind": "letter", "queue": "post", "input": 1}'),
        row("task.started", '{"attempt": 1, "worker_id": "w"}', version=2),
    ])  # fmt: skip

    assert task is not None
    assert (task.id, task.version, task.status) == (TASK_ID, 2, "RUNNING")
    assert fold([]) is None


def test_topics_are_what_they_always_were() -> None:
    assert sorted(map(topic_of, EVENT_TYPES.values())) == [
        "task.cancel_requested", "task.cancelled", "task.completed", "task.discarded", "task.erased",
        "task.failed", "task.held", "task.progressed", "task.released", "task.retried", "task.started",
        "task.submitted",
    ]  # fmt: skip


def as_of(event: TaskEvent, schema_version: int) -> TaskEvent:
    """Return the example as far as its older shape could say it."""
    if not isinstance(event, Task.Submitted):
        return event
    later = {1: ("key", "unique_key", "after", "on_parent_failure", "hold", "erasable"), 2: ("erasable",), 3: ()}
    return Task.Submitted(**{**vars(event), **dict.fromkeys(later[schema_version])})


def golden(event_type: str, version: int) -> object:
    return json.loads((GOLDEN / f"{event_type}.v{version}.json").read_text("utf-8"))
