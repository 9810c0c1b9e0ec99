"""POST /tasks/{id}/cancel, /retry and /erase: what a client can ask of a task that exists."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from uuid import UUID

from fastapi import FastAPI, Request

from api.answers import CommandTaken
from api.body import parse_body, read_body
from api.errors import InvalidRequestError, Part
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.routes.submit import POSITION_HEADER
from api.schemas import Reason
from ledger.bootstrap import Ledger
from ledger.commands import Decided
from ledger.errors import InvalidValueError
from ledger.payloads.erasure import Erasure


class CommandRoutes:
    """Commands beyond submitting; the body may be empty."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._commands = ledger.commands
        self._erasure = Erasure(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, endpoint in (
            ("/tasks/{task_id}/cancel", self.cancel),
            ("/tasks/{task_id}/retry", self.retry),
            ("/tasks/{task_id}/erase", self.erase),
        ):
            app.add_api_route(
                path,
                endpoint,
                tags=["tasks"],
                methods=["POST"],
                status_code=HTTPStatus.ACCEPTED,
                response_model=CommandTaken,
                responses=problems(400, 404, 409, 410, 413, 503),
                openapi_extra={"requestBody": body_of(Reason, required=False)},
            )

    async def cancel(self, task_id: UUID, request: Request) -> JsonResponse:
        """Cancel a pending task now, or ask the worker of a running one to stop it.

        409 with the reason `too_late` when it is finished already.
        """
        return await self._command(self._commands.cancel, task_id, request)

    async def retry(self, task_id: UUID, request: Request) -> JsonResponse:
        """Drive a finished task again, with a fresh budget of attempts; 409 when it is not finished."""
        return await self._command(self._commands.retry, task_id, request)

    async def erase(self, task_id: UUID, request: Request) -> JsonResponse:
        """Destroy the key of what an erasable task was given and came up with: nobody can read it any more.

        Its history, its statistics and its seals stay. 409 while it is not finished, and for a task that was not
        submitted as erasable; one that is erased stays so.
        """
        return await self._command(self._erasure.erase, task_id, request)

    async def _command(
        self, command: Callable[..., Awaitable[Decided]], task_id: UUID, request: Request
    ) -> JsonResponse:
        origin = origin_of(request.scope)
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        given = parse_body(Reason, body) if body else Reason()
        try:
            decided = await command(task_id, reason=given.reason, origin=origin)
        except InvalidValueError as error:
            raise InvalidRequestError(Part.BODY, str(error)) from error
        return _taken(decided)


def _taken(decided: Decided) -> JsonResponse:
    task = decided.task
    position = {} if decided.appended is None else {POSITION_HEADER: str(decided.appended.position)}
    return JsonResponse(
        {
            "task_id": task.id,
            "status": task.status,
            "version": task.version,
            "cancel_requested": task.cancel_requested,
        },
        HTTPStatus.ACCEPTED,
        headers=position,
    )
