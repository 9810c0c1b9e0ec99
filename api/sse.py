"""The bytes of a stream of server-sent events, as the HTML standard has them."""

from starlette.types import Send

from api.json_response import to_json

CONTENT_TYPE = "text/event-stream; charset=utf-8"
RETRY = b"retry: 1000\n\n"  # milliseconds until a client that lost its connection comes again


def sse_frame(number: int, name: str, body: object) -> bytes:
    """Return one event; JSON as it is written here has no line breaks."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, name.encode(), to_json(body))


async def send_chunk(send: Send, body: bytes) -> None:
    """Send a part of the stream."""
    await send({"type": "http.response.body", "body": body, "more_body": True})
