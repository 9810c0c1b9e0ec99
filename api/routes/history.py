"""GET /events, its export and GET /audit: the log over all tasks, and who did what, when and why."""

from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import StreamingResponse

from api.audit_entries import entry_body, opened_entries
from api.cursor import decode_place, decode_position, encode_place, encode_position
from api.errors import InvalidRequestError, Part, TooManyExportsError
from api.export import MEDIA_TYPES, Export, ExportResponse
from api.history_shapes import AuditPageShown, AuditQuery, ExportQuery, LogPage, LogQuery
from api.json_response import JsonResponse
from api.openapi import problems
from api.page_limit import page_limit
from api.places import Places
from api.routes.submit import POSITION_HEADER
from api.routes.tasks import event_body
from ledger.bootstrap import Ledger
from ledger.dead_letters.letters import Place
from ledger.errors import InvalidValueError
from ledger.history.audit import Audit, AuditFilter, AuditPage, AuditSource
from ledger.history.search import LogSearch, Stretch
from ledger.payloads.opening import Opening

ARCHIVED_HEADER = "Ledger-Archived"
_EXPORTED = {
    "description": "The events, oldest first, up to the position in the header; a database that goes away breaks "
    "the connection off, so that an answer that ends properly is whole.",
    "headers": {
        POSITION_HEADER: {
            "description": "The log is exported up to here: a later export goes on with it as `after`.",
            "schema": {"type": "integer"},
        },
        ARCHIVED_HEADER: {
            "description": "Months that have left this part of the log: their events are not in it.",
            "schema": {"type": "string"},
        },
    },
    "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
}


class HistoryRoutes:
    """The log for whoever follows it, and for auditors."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._search = LogSearch(ledger)
        self._opening = Opening(ledger.vault)
        self._audit = Audit(ledger)
        self._exports = Places(
            ledger.settings.exports_max, setting="LEDGER_EXPORTS_MAX", refusal=TooManyExportsError
        )

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, endpoint, answer in (("/events", self.list, LogPage), ("/audit", self.audit, AuditPageShown)):
            app.add_api_route(
                path, endpoint, tags=["history"], response_model=answer, responses=problems(400, 503)
            )
        app.add_api_route(
            "/events/export",
            self.export,
            tags=["history"],
            response_class=StreamingResponse,
            responses={200: _EXPORTED, **problems(400, 503)},
        )

    async def list(self, asked: Annotated[LogQuery, Query()]) -> JsonResponse:
        """Read the log over all tasks, oldest event first, from a position on."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        found = await self._search.read(asked.events(), after=asked.after, limit=limit)
        return JsonResponse(
            {
                "events": [event_body(event) for event in await self._opening.events(found.events)],
                "next_after": found.next_after,
                "horizon": found.horizon,
                "archived": [asdict(part) for part in found.archived],
            }
        )

    async def export(self, asked: Annotated[ExportQuery, Query()]) -> StreamingResponse:
        """Export the log up to where it is complete now, as a stream of any length."""
        events = asked.events()
        horizon = await self._search.horizon()
        stretch = await self._search.stretch(events, after=asked.after, upto=horizon)
        archived = await self._search.archived(Stretch(asked.after, horizon))
        opening = None if asked.ciphertext else self._opening
        return ExportResponse(
            Export(self._search, events, asked.format, opening=opening).pieces(stretch),
            self._exports,
            headers={
                "Content-Type": MEDIA_TYPES[asked.format],
                "Content-Disposition": f'attachment; filename="events.{asked.format}"',
                POSITION_HEADER: str(horizon),
                **({ARCHIVED_HEADER: ", ".join(part.month for part in archived)} if archived else {}),
            },
        )

    async def audit(self, asked: Annotated[AuditQuery, Query()]) -> JsonResponse:
        """Search who did what, when and why: the events of all tasks, or what was changed beside them."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        try:
            searched = asked.asked()
        except InvalidValueError as error:
            raise InvalidRequestError(Part.QUERY, str(error)) from error
        page = await self._audited(searched, cursor=asked.cursor, limit=limit)
        return JsonResponse(
            {
                "entries": [entry_body(entry) for entry in await opened_entries(self._opening, page.entries)],
                "next_cursor": _cursor(page, searched),
            }
        )

    async def _audited(self, asked: AuditFilter, *, cursor: str | None, limit: int) -> AuditPage:
        if asked.source is AuditSource.EVENTS:
            position = None if cursor is None else decode_position(cursor, asked)
            return await self._audit.events(asked, begin=position, limit=limit)
        place = None if cursor is None else decode_place(cursor, asked)
        return await self._audit.changes(asked, begin=place, limit=limit)


def _cursor(page: AuditPage, asked: AuditFilter) -> str | None:
    if page.rest is None:
        return None
    if isinstance(page.rest, Place):
        return encode_place(page.rest, asked)
    return encode_position(page.rest, asked)
