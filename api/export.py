"""The export: the events that a filter finds as lines of NDJSON or CSV, page by page in constant memory.

CSV is RFC 4180, with a header and CRLF; `data` is JSON text in one column. Cells are what the ledger holds: a text
that begins with `=`, `+`, `-` or `@` is not altered, because an altered copy would be no evidence. Read
the file into a spreadsheet as text.
"""

import csv
import io
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.errors import NotAuthenticatedError
from api.history_shapes import ExportFormat
from api.json_response import timestamp, to_json
from api.places import Places
from api.routes.tasks import event_body
from api.stays import Stay, staying
from ledger.history.audit import reason_of
from ledger.history.search import EventFilter, LogSearch, Stretch
from ledger.payloads.opening import Opening
from ledger.store.records import RecordedEvent

# Measured: larger pages are no faster, and keep the other requests of the process waiting for longer.
_PAGE_EVENTS = 250

COLUMNS = (
    "id", "position", "task_id", "version", "type", "schema_version", "kind", "queue", "occurred_at",
    "recorded_at", "actor", "reason", "correlation_id", "causation_id", "traceparent", "data",
)  # fmt: skip
MEDIA_TYPES: Mapping[ExportFormat, str] = {
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
}


class Export:
    """One export; `count` is how many events it has written out so far.

    Args:
        opening: opens what is encrypted; without one it is written out as the ledger holds it.
    """

    def __init__(
        self, search: LogSearch, asked: EventFilter, written_as: ExportFormat, *, opening: Opening | None
    ) -> None:
        self.count = 0
        self._opening = opening
        self._search = search
        self._asked = asked
        self._format = written_as

    async def pieces(self, stretch: Stretch | None) -> AsyncGenerator[bytes]:
        """Yield the export of a stretch in pieces; between two of them it holds no connection and no page."""
        write = _WRITERS[self._format]
        if self._format is ExportFormat.CSV:
            yield _as_csv([COLUMNS])
        while stretch is not None:
            found = await self._search.forwards(self._asked, stretch, limit=_PAGE_EVENTS)
            stretch = found.rest
            self.count += len(found.events)
            if found.events:
                yield write(found.events if self._opening is None else await self._opening.events(found.events))


class ExportResponse(StreamingResponse):
    """The response that sends an export; it has its place until it has ended, in whatever way.

    It breaks off without its end when the caller would not be let in any more: half an export must not look whole.

    Raises, when it is sent:
        TooManyExportsError: there is no place.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], places: Places, *, headers: Mapping[str, str]) -> None:
        super().__init__(pieces, headers=headers)
        self._pieces = pieces
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the export."""
        with self._places.taken():
            async with aclosing(self._pieces) as pieces, staying(scope) as stay:
                self.body_iterator = _while_welcome(pieces, stay)
                await super().__call__(scope, receive, send)


async def _while_welcome(pieces: AsyncGenerator[bytes], stay: Stay) -> AsyncGenerator[bytes]:
    async for piece in pieces:
        if stay.over.is_set():
            raise NotAuthenticatedError(presented=True)
        yield piece


def _ndjson(events: Sequence[RecordedEvent]) -> bytes:
    return b"".join(to_json(event_body(event)) + b"\n" for event in events)


def _csv(events: Sequence[RecordedEvent]) -> bytes:
    return _as_csv([_row(event) for event in events])


def _row(event: RecordedEvent) -> Sequence[object]:
    return (
        event.event_id, event.position, event.task_id, event.version, event.type, event.schema_version, event.kind,
        event.queue, timestamp(event.occurred_at), timestamp(event.recorded_at), event.actor, reason_of(event),
        event.correlation_id, event.causation_id, event.traceparent, event.data,
    )  # fmt: skip


def _as_csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


_WRITERS: Mapping[ExportFormat, Callable[[Sequence[RecordedEvent]], bytes]] = {
    ExportFormat.NDJSON: _ndjson,
    ExportFormat.CSV: _csv,
}
