"""GET /dead-letters and below: what failed for good and what nobody could take, and what is done about it."""

from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel

from api.body import parse_body, read_body
from api.cursor import decode_place, encode_place
from api.dead_letter_shapes import DiscardReason, LetterActTaken, LetterPage, LetterQuery, LetterShown
from api.dead_letters import LetterShelf, taken_body
from api.errors import InvalidRequestError, Part
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.page_limit import page_limit
from api.routes.submit import POSITION_HEADER
from api.schemas import Reason
from ledger.bootstrap import Ledger
from ledger.dead_letters.acts import ActTaken, DeadLetterActs, Intent
from ledger.dead_letters.letters import TOP
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import InvalidValueError
from ledger.store.records import Origin

PATH = "/dead-letters"
_TAGS: list[str | Enum] = ["dead letters"]

Given = TypeVar("Given", bound=BaseModel)


class DeadLetterRoutes:
    """Dead letters for operators."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._reader = DeadLetterReader(ledger)
        self._shelf = LetterShelf(ledger)
        self._acts = DeadLetterActs(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route(PATH, self.list, tags=_TAGS, response_model=LetterPage, responses=problems(400, 503))
        app.add_api_route(
            f"{PATH}/{{letter_id}}", self.show, tags=_TAGS, response_model=LetterShown,
            responses=problems(400, 404, 410, 503),
        )  # fmt: skip
        for name, endpoint, body, is_required in (
            ("redrive", self.redrive, Reason, False),
            ("discard", self.discard, DiscardReason, True),
        ):
            app.add_api_route(
                f"{PATH}/{{letter_id}}/{name}",
                endpoint,
                tags=_TAGS,
                methods=["POST"],
                status_code=HTTPStatus.ACCEPTED,
                response_model=LetterActTaken,
                responses=problems(400, 404, 409, 410, 413, 503),
                openapi_extra={"requestBody": body_of(body, required=is_required)},
            )

    async def list(self, asked: Annotated[LetterQuery, Query()]) -> JsonResponse:
        """List dead letters, tasks and messages, newest first."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        letters = asked.letters()
        below = TOP if asked.cursor is None else decode_place(asked.cursor, letters)
        found = await self._reader.page(letters, below=below, limit=limit + 1)
        page = found[:limit]
        cursor = encode_place(page[-1].place, letters) if len(found) > len(page) else None
        return JsonResponse({"dead_letters": page, "next_cursor": cursor})

    async def show(self, letter_id: UUID) -> JsonResponse:
        """Show a dead letter: a message with headers and body, a task with error, history and late writes."""
        return JsonResponse(await self._shelf.show(letter_id))

    async def redrive(self, letter_id: UUID, request: Request) -> JsonResponse:
        """Retry a failed task, or release the task that waits for a message; 409 where neither is to be done."""
        given = await self._given(Reason, request)
        return await _act(self._acts.redrive, letter_id, given.reason, origin_of(request.scope))

    async def discard(self, letter_id: UUID, request: Request) -> JsonResponse:
        """Set a dead letter aside as dealt with; it needs a reason."""
        given = await self._given(DiscardReason, request)
        return await _act(self._acts.discard, letter_id, given.reason, origin_of(request.scope))

    async def _given(self, schema: type[Given], request: Request) -> Given:
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        return parse_body(schema, body or b"{}")


async def _act(
    act: Callable[[UUID, Intent], Awaitable[ActTaken]], letter_id: UUID, reason: str, origin: Origin
) -> JsonResponse:
    try:
        taken = await act(letter_id, Intent(reason=reason, origin=origin))
    except InvalidValueError as error:
        raise InvalidRequestError(Part.BODY, str(error)) from error
    position = {} if taken.appended is None else {POSITION_HEADER: str(taken.appended.position)}
    return JsonResponse(taken_body(taken), HTTPStatus.ACCEPTED, headers=position)
