"""Events as a stream to a client: text/event-stream, as the HTML standard has it.

https://html.spec.whatwg.org/multipage/server-sent-events.html: `id` is the position, so a client that comes again
with Last-Event-ID goes on right after it. A client is written to as fast as it reads, and the feed is read for no
faster than that.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.departure import departing
from api.event_feed import EventFeed
from api.places import Places
from api.routes.tasks import event_body
from api.sse import CONTENT_TYPE, RETRY, send_chunk, send_end, sse_frame
from api.tail import Tail
from ledger.errors import StoreUnavailableError
from ledger.payloads.opening import Opening
from ledger.store.records import RecordedEvent

_CHUNK_BYTES = 65_536
_RETRY_SECONDS = 0.5


class EventStream(StreamingResponse):
    """The response; it takes its place when it is sent.

    Raises, when it is sent:
        TooManyWaitingError: there is no place.
    """

    def __init__(
        self, feed: EventFeed, tail: Tail, places: Places, *, heartbeat_seconds: float, opening: Opening
    ) -> None:
        super().__init__((), headers={"X-Accel-Buffering": "no"}, media_type=CONTENT_TYPE)
        self._feed = feed
        self._opening = opening
        self._tail = tail
        self._places = places
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client goes away, the server stops, or the caller would not be let in any more."""
        with self._places.taken():
            async with self._tail.followed(), departing(scope, receive) as departure:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await departure.outrun(self._write(send))
                if departure.is_leaving or departure.is_over:
                    await send_end(send, departure)

    async def _write(self, send: Send) -> None:
        told = self._feed.position
        written_at = time.monotonic()
        await send_chunk(send, RETRY)
        while True:
            events = await self._next()
            for chunk in _chunks(await self._opened(events)):
                await send_chunk(send, chunk)
            if events:
                told = events[-1].position
                written_at = time.monotonic()
            elif told is None or time.monotonic() - written_at >= self._heartbeat_seconds:
                # A client that comes again after a quiet time need not look through it once more.
                await send_chunk(send, _heartbeat(self._feed.position, told))
                told = self._feed.position
                written_at = time.monotonic()

    async def _next(self) -> Sequence[RecordedEvent]:
        try:
            return await self._feed.next(seconds_max=self._heartbeat_seconds)
        except StoreUnavailableError:
            await asyncio.sleep(_RETRY_SECONDS)  # browsers do not come again to a stream that ends with an error
            return ()

    async def _opened(self, events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        while True:
            try:
                return await self._opening.events(events)
            except StoreUnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)


def _heartbeat(position: int | None, told: int | None) -> bytes:
    if position is None or position == told:
        return b": heartbeat\n\n"
    return b": heartbeat\nid: %d\n\n" % position


def _chunks(events: Sequence[RecordedEvent]) -> Iterator[bytes]:
    chunk = b""
    for event in events:
        chunk += _frame(event)
        if len(chunk) >= _CHUNK_BYTES:
            yield chunk
            chunk = b""
    if chunk:
        yield chunk


def _frame(event: RecordedEvent) -> bytes:
    return sse_frame(event.position, event.type, event_body(event))
