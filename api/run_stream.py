"""The progress of a run as a stream of server-sent events, until it has ended."""

import asyncio
import time

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.departure import departing
from api.places import Places
from api.projection_schemas import run_body
from api.sse import CONTENT_TYPE, RETRY, send_chunk, send_end, sse_frame
from ledger.errors import StoreUnavailableError
from projections.errors import RunNotFoundError
from projections.runs import Run, Runs

_LOOK_SECONDS = 0.3


def stream_id(run: Run) -> int:
    """Return the id of what a stream says of a run at this moment: microseconds since 1970."""
    return int(run.updated_at.timestamp() * 1_000_000)


class RunStream(StreamingResponse):
    """The response: `progress` for each change, `ended` as the last one; it takes its place when it is sent.

    Raises, when it is sent:
        TooManyWaitingError: there is no place.
    """

    def __init__(self, runs: Runs, run: Run, places: Places, *, heartbeat_seconds: float) -> None:
        super().__init__((), headers={"X-Accel-Buffering": "no"}, media_type=CONTENT_TYPE)
        self._runs = runs
        self._run = run
        self._places = places
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the run has ended, the client goes away, the server stops, or the caller must go."""
        with self._places.taken():
            async with departing(scope, receive) as departure:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await departure.outrun(self._write(send))
                await send_end(send, departure)

    async def _write(self, send: Send) -> None:
        await send_chunk(send, RETRY)
        told: int | None = None
        written_at = time.monotonic()
        run = self._run
        while True:
            number = stream_id(run)
            if number != told:
                await send_chunk(
                    send, sse_frame(number, "ended" if run.state.is_end else "progress", run_body(run))
                )
                told, written_at = number, time.monotonic()
            elif time.monotonic() - written_at >= self._heartbeat_seconds:
                await send_chunk(send, b": heartbeat\n\n")
                written_at = time.monotonic()
            if run.state.is_end:
                return
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                run = await self._runs.read(run.run_id)
            except RunNotFoundError:  # it has ended and was forgotten meanwhile
                return
            except StoreUnavailableError:
                continue  # browsers do not come again to a stream that ends with an error
