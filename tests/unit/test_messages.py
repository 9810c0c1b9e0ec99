"""The messages: a CloudEvent for every event, and the routing key by which it is, or is not, a call to work."""

import json
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.broker.port import Band
from ledger.errors import MalformedMessageError
from ledger.messages import band_of, incoming, outgoing, position_of, without_data
from ledger.store.records import RecordedEvent

TASK_ID = UUID("01a20cad-7423-7578-abdd-be0ca3bcb83a")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def event(
    event_type: str = "task.submitted", data: str = '{"kind": "letter"}', *, traceparent: str | None = None
) -> RecordedEvent:
    return RecordedEvent(
        position=42, task_id=TASK_ID, version=3, type=event_type, schema_version=1, kind="letter", queue="post",
        data=data, occurred_at=NOW, recorded_at=NOW, actor="client", correlation_id="story", causation_id="cause",
        traceparent=traceparent,
    )  # fmt: skip


def test_message_is_a_structured_cloud_event() -> None:
    body = json.loads(outgoing(event(traceparent="00-a-b-01")).body)

    assert body["specversion"] == "1.0"
    assert (body["id"], body["source"], body["type"]) == (f"{TASK_ID}:3", "/task-ledger", "task.submitted")
    assert body["subject"] == str(TASK_ID)
    assert datetime.fromisoformat(body["time"]) == NOW
    assert body["datacontenttype"] == "application/json"
    assert body["data"] == {"kind": "letter"}
    assert body["traceparent"] == "00-a-b-01"
    assert all(name.isalnum() and name.islower() for name in body)


@pytest.mark.parametrize("traceparent", [None, "00-a-b-01"])
def test_event_comes_back_from_its_message(traceparent: str | None) -> None:
    sent = event(data='{"kind":"letter","input":{"é":[1,null]}}', traceparent=traceparent)

    got = incoming(outgoing(sent).body)

    assert orjson.loads(got.data) == orjson.loads(sent.data)
    assert [getattr(got, name) for name in got.__slots__ if name != "data"] == [
        getattr(sent, name) for name in sent.__slots__ if name != "data"
    ]


@pytest.mark.parametrize(
    ("event_type", "data", "routing_key"),
    [
        ("task.submitted", "{}", "post.ready.normal.submitted"),
        ("task.submitted", '{"priority": 9}', "post.ready.high.submitted"),
        ("task.submitted", '{"priority": 0}', "post.ready.low.submitted"),
        ("task.submitted", '{"run_at": "2030-01-01T00:00:00Z"}', "post.submitted"),
        ("task.released", '{"reason": "due", "priority": 7}', "post.ready.high.released"),
        ("task.retried", '{"actor": "a", "priority": 3}', "post.ready.low.retried"),
        ("task.started", '{"attempt": 1}', "post.started"),
        ("task.progressed", '{"attempt": 1}', "post.progressed"),
        ("task.completed", '{"attempt": 1}', "post.completed"),
        ("task.failed", '{"attempt": 1, "retry_at": "2030-01-01T00:00:00Z"}', "post.failed"),
        ("task.cancel_requested", '{"actor": "a"}', "post.cancel_requested"),
        ("task.cancelled", '{"actor": "a"}', "post.cancelled"),
    ],
)
def test_only_what_makes_a_task_ready_is_a_call_to_work(event_type: str, data: str, routing_key: str) -> None:
    message = outgoing(event(event_type, data))

    assert message.routing_key == routing_key
    assert message.must_route == (".ready." in routing_key)
    assert message.message_id == f"{TASK_ID}:3"


def test_priorities_fall_into_three_bands() -> None:
    bands = [band_of(priority) for priority in range(10)]

    assert bands == [Band.LOW] * 4 + [Band.NORMAL] * 3 + [Band.HIGH] * 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"subject": "x"}', b"\xff\xfe", b'"text"'])
def test_foreign_message_is_called_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="malformed message"):
        incoming(body)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("data", None), ("data", 5), ("data", []), ("data", "text"), ("type", 5), ("taskkind", None),
        ("taskqueue", ["q"]), ("actor", {}), ("correlationid", 1), ("causationid", 1), ("traceparent", []),
        ("subject", 7), ("subject", "no-uuid"), ("taskversion", "x"), ("taskversion", None),
        ("ledgerposition", {}), ("schemaversion", []), ("time", 5), ("occurredtime", "yesterday"),
    ],
)  # fmt: skip
def test_message_with_a_value_of_another_type_is_called_malformed(attribute: str, value: object) -> None:
    body = json.loads(outgoing(event()).body)
    body[attribute] = value

    with pytest.raises(MalformedMessageError):
        incoming(json.dumps(body).encode())


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_event_or_malformed_and_nothing_else(body: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        incoming(body)


def test_message_that_nests_without_end_is_called_malformed() -> None:
    with pytest.raises(MalformedMessageError):
        incoming(b'{"data":' + b"[" * 100_000)


def test_message_says_where_its_event_stands_in_the_log() -> None:
    assert position_of(outgoing(event())) == 42


def test_message_without_its_data_still_announces_the_event_and_calls_nobody_to_work() -> None:
    message = outgoing(event())

    slim = without_data(message)

    assert (slim.message_id, slim.queue, slim.must_route) == (message.message_id, "post", False)
    assert slim.routing_key == "post.submitted"
    assert json.loads(slim.body) == {**json.loads(message.body), "data": {}}


@pytest.mark.parametrize("broken", ["subject", "taskversion", "type", "time", "data"])
def test_message_that_lacks_an_attribute_is_called_malformed(broken: str) -> None:
    body = json.loads(outgoing(event()).body)
    del body[broken]

    with pytest.raises(MalformedMessageError):
        incoming(json.dumps(body).encode())
