"""What is read of a request: its body up to the bound, its origin, and the moments that a client names."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.body import parse_body, read_body
from api.errors import BodyTooLargeError, InvalidRequestError
from api.origin import origin_of
from api.schemas import Moment, Submission


class Appointment(BaseModel):
    """A request with a moment in it."""

    model_config = ConfigDict(strict=True)

    at: Moment


class Connection:
    """A client that sends messages, one at a time."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.unsent = list(messages)

    async def receive(self) -> Message:
        """Return the next message."""
        return self.unsent.pop(0)


def _chunk(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_pieces_is_put_together() -> None:
    connection = Connection([_chunk(b"ab", more=True), _chunk(b"", more=True), _chunk(b"c", more=False)])

    assert await read_body({"headers": []}, connection.receive, bytes_max=3) == b"abc"


async def test_a_body_announced_too_large_is_not_read_at_all() -> None:
    connection = Connection([_chunk(b"abcd", more=False)])

    with pytest.raises(BodyTooLargeError):
        await read_body({"headers": [(b"content-length", b"4")]}, connection.receive, bytes_max=3)
    assert len(connection.unsent) == 1


async def test_a_body_that_grows_too_large_is_read_no_further() -> None:
    connection = Connection([_chunk(b"ab", more=True), _chunk(b"cd", more=True), _chunk(b"ef", more=False)])

    with pytest.raises(BodyTooLargeError):
        await read_body({"headers": []}, connection.receive, bytes_max=3)
    assert len(connection.unsent) == 1


async def test_a_client_that_leaves_before_the_end_is_noticed() -> None:
    connection = Connection([_chunk(b"ab", more=True), {"type": "http.disconnect"}])

    with pytest.raises(ClientDisconnect):
        await read_body({"headers": []}, connection.receive, bytes_max=3)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-31T09:30:00Z", datetime(2030, 1, 31, 9, 30, tzinfo=UTC)),
        ("2030-01-31t09:30:00z", datetime(2030, 1, 31, 9, 30, tzinfo=UTC)),
        ("2030-01-31 09:30:00.5+02:00", datetime(2030, 1, 31, 7, 30, 0, 500_000, tzinfo=UTC)),
        ("2030-01-31T09:30:00.123456789-00:30", datetime(2030, 1, 31, 10, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_rfc_3339_and_kept_in_utc(text: str, moment: datetime) -> None:
    read = parse_body(Appointment, f'{{"at":"{text}"}}'.encode()).at

    assert read == moment
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "now", "2030-01-31", "2030-01-31T09:30Z", "2030-01-31T09:30:00", "20300131T093000Z",
     "2030-01-31T09:30:60Z", "2030-01-31T25:00:00Z",
     "٢٠٣٠-01-31T09:30:00Z", "2030-W05-4T09:30:00Z", "2030-01-31T09:30:00+24:00"],
)  # fmt: skip
def test_a_moment_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="at must be an RFC 3339 time with its offset"):
        parse_body(Appointment, f'{{"at":"{text}"}}'.encode())


def test_a_sentence_stays_short_whatever_was_sent() -> None:
    names = ",".join(f'"field{number}":1' for number in range(10_000))

    with pytest.raises(InvalidRequestError) as refusal:
        parse_body(Submission, f"{{{names}}}".encode())

    sentence = "input is required; unknown fields: field0, field1, field2, field3, field4 and 9995 more"
    assert refusal.value.reason == sentence


def test_without_headers_the_origin_is_the_client() -> None:
    origin = origin_of({"headers": [(b"host", b"x")]})

    assert (origin.actor, origin.correlation_id, origin.causation_id, origin.traceparent) == (
        "client",
        None,
        None,
        None,
    )
