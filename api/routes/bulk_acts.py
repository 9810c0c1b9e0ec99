"""POST /dead-letters/redrive and /discard: what is done about all the dead letters that a filter finds."""

from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from uuid import UUID

from fastapi import FastAPI, Request

from api.body import parse_body, read_body
from api.dead_letter_shapes import BulkActShown, BulkRequest, BulkSample
from api.dead_letters import bulk_act_body, sample_of
from api.errors import InvalidRequestError, Part
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.routes.dead_letters import PATH
from ledger.bootstrap import Ledger
from ledger.dead_letters.acts import Intent
from ledger.dead_letters.bulk_acts import BulkActs, BulkOrder
from ledger.dead_letters.letters import Act
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import InvalidValueError

_TAGS: list[str | Enum] = ["dead letters"]
_FOLDERS = {Act.REDRIVEN: "redrives", Act.DISCARDED: "discards"}


class BulkActRoutes:
    """Bulk acts for operators; the scheduler works them off."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._reader = DeadLetterReader(ledger)
        self._bulk_acts = BulkActs(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        self._add(app, "redrive", self.redrive_many)
        self._add(app, "discard", self.discard_many)
        for folder in _FOLDERS.values():
            for path, method, endpoint in (
                (f"{PATH}/{folder}/{{bulk_id}}", "GET", self.show),
                (f"{PATH}/{folder}/{{bulk_id}}/cancel", "POST", self.cancel),
            ):
                app.add_api_route(
                    path, endpoint, tags=_TAGS, methods=[method], response_model=BulkActShown,
                    responses=problems(400, 404, 503),
                )  # fmt: skip

    def _add(self, app: FastAPI, name: str, endpoint: Callable[[Request], Awaitable[JsonResponse]]) -> None:
        app.add_api_route(
            f"{PATH}/{name}",
            endpoint,
            tags=_TAGS,
            methods=["POST"],
            response_model=BulkSample,
            responses={202: {"model": BulkActShown, "description": "Recorded"}, **problems(400, 413, 503)},
            openapi_extra={"requestBody": body_of(BulkRequest)},
        )

    async def redrive_many(self, request: Request) -> JsonResponse:
        """Count what a filter finds, or redrive it, at a rate, when `dry_run` is false: 202, where to look."""
        return await self._begin(Act.REDRIVEN, request)

    async def discard_many(self, request: Request) -> JsonResponse:
        """Count what a filter finds, or discard it, with a reason, when `dry_run` is false: 202, where to look."""
        return await self._begin(Act.DISCARDED, request)

    async def show(self, bulk_id: UUID) -> JsonResponse:
        """Show how far it has come."""
        return JsonResponse(bulk_act_body(await self._bulk_acts.find(bulk_id)))

    async def cancel(self, bulk_id: UUID, request: Request) -> JsonResponse:
        """Stop it; what is done stays done, and one that has ended stays as it is."""
        actor = origin_of(request.scope).actor
        return JsonResponse(bulk_act_body(await self._bulk_acts.cancel(bulk_id, actor=actor)))

    async def _begin(self, act: Act, request: Request) -> JsonResponse:
        origin = origin_of(request.scope)
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        given = parse_body(BulkRequest, body or b"{}")
        letters = given.filter.letters()
        if given.dry_run:
            return JsonResponse((await sample_of(self._reader, letters, limit=given.limit)).as_dict())
        order = BulkOrder(
            act=act,
            letters=letters,
            intent=Intent(reason=given.reason, origin=origin),
            rate_per_s=given.rate_per_s,
            letters_max=given.limit,
        )
        try:
            bulk = await self._bulk_acts.begin(order)
        except InvalidValueError as error:
            raise InvalidRequestError(Part.BODY, str(error)) from error
        where = f"{request.scope.get('root_path', '')}{PATH}/{_FOLDERS[act]}/{bulk.bulk_id}"
        return JsonResponse(bulk_act_body(bulk), HTTPStatus.ACCEPTED, headers={"Location": where})
