"""The bytes of a stream of server-sent events, as the HTML standard has them."""

import asyncio
from contextlib import suppress

from starlette.types import Send

from api.departure import Departure
from api.json_response import to_json

CONTENT_TYPE = "text/event-stream; charset=utf-8"
_END_SECONDS_MAX = 1.0
# It has no id: whoever comes again with a good key goes on where they were.
_CLOSED = b"event: closed\ndata: %b\n\n" % to_json(
    {"reason": "not-authenticated", "detail": "The API key or the session that opened this is over"}
)
RETRY = b"retry: 1000\n\n"  # milliseconds until a client that lost its connection comes again


def sse_frame(number: int, name: str, body: object) -> bytes:
    """Return one event; JSON as it is written here has no line breaks."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, name.encode(), to_json(body))


async def send_chunk(send: Send, body: bytes) -> None:
    """Send a part of the stream."""
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def send_end(send: Send, departure: Departure) -> None:
    """End the stream, with an event `closed` where the caller must go; who does not read is not waited for."""
    body = _CLOSED if departure.is_over else b""
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS_MAX):
            await send({"type": "http.response.body", "body": body, "more_body": False})
