"""GET /tasks/{id}/stream and GET /events/stream: events as they happen, and from any position of before."""

from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Query, Request
from starlette.responses import StreamingResponse

from api.conditions import header_parameters, position_in
from api.event_feed import EventFeed, EventFilter
from api.event_stream import EventStream
from api.openapi import event_stream, problems
from api.places import Places
from api.schemas import POSITION_MAX, StreamQuery
from api.tail import Tail
from ledger.bootstrap import Ledger
from ledger.errors import TaskNotFoundError
from ledger.payloads.opening import Opening

RESUME_HEADER = "Last-Event-ID"
After = Annotated[
    int | None,
    Query(ge=0, le=POSITION_MAX, description="Only the events after this position; Last-Event-ID goes before it."),
]


class StreamRoutes:
    """Streams of events; a client that comes again with the last id it got misses none and gets none twice."""

    def __init__(self, ledger: Ledger, tail: Tail) -> None:
        self._settings = ledger.settings
        self._database = ledger.database
        self._store = ledger.store
        self._opening = Opening(ledger.vault)
        self._tail = tail
        self._places = Places(ledger.settings.streams_max, setting="LEDGER_STREAMS_MAX")

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, endpoint, statuses in (
            ("/tasks/{task_id}/stream", self.stream_task, (400, 404, 410, 503)),
            ("/events/stream", self.stream_log, (400, 503)),
        ):
            app.add_api_route(
                path,
                endpoint,
                tags=["events"],
                response_class=StreamingResponse,
                responses={200: _STREAM, **problems(*statuses)},
                openapi_extra=header_parameters(RESUME_HEADER),
            )

    async def stream_task(self, task_id: UUID, request: Request, after: After = None) -> EventStream:
        """Stream the events of a task: its whole history unless told from where on, then what happens next.

        The stream stays open when the task is finished: it can be retried.
        """
        position = _resumed(request, after)
        if not await self._store.heads([task_id]):
            await self._store.read_stream(task_id, limit=1)  # says so where it is archived
            raise TaskNotFoundError(task_id)
        return self._stream(EventFilter(task_id=task_id), position or 0)

    async def stream_log(self, asked: Annotated[StreamQuery, Query()], request: Request) -> EventStream:
        """Stream the events of all tasks, strictly by position: what happens next unless told from where on."""
        types = [name for text in asked.types for name in text.split(",")]
        wanted = EventFilter(types=types or None, kind=asked.kind, queue=asked.queue)
        return self._stream(wanted, _resumed(request, asked.after))

    def _stream(self, wanted: EventFilter, after: int | None) -> EventStream:
        feed = EventFeed(self._database, self._tail, wanted, after=after)
        heartbeat_seconds = self._settings.stream_heartbeat_seconds
        return EventStream(
            feed, self._tail, self._places, heartbeat_seconds=heartbeat_seconds, opening=self._opening
        )


def _resumed(request: Request, after: int | None) -> int | None:
    # A browser comes again with the same URL: what it says of itself is newer.
    last = request.headers.get(RESUME_HEADER)
    return position_in(last, field=RESUME_HEADER) if last else after


_STREAM = event_stream(
    "Server-sent events: `id` is the position, `event` the type, `data` the event as JSON. "
    "When the key or the session that opened it is over, `closed` is the last one, within seconds."
)
