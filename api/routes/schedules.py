"""/schedules: recurring tasks, and who changed them."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.body import parse_body, read_body
from api.errors import InvalidRequestError, Part
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.page_limit import check_page_limit
from api.queue_schemas import ChangesQuery, ReasonQuery
from api.routes.submit import POSITION_HEADER
from api.schedule_bodies import FIRES_SHOWN, changes_page, definition_of, listing_page, schedule_body
from api.schedule_schemas import (
    LISTED_DEFAULT,
    FiredByHandShown,
    ScheduleBody,
    ScheduleChanges,
    ScheduleList,
    ScheduleListed,
    ScheduleListQuery,
    ScheduleShown,
)
from api.schemas import Reason
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError
from ledger.schedules.commands import Schedules
from ledger.schedules.schedule import Schedule, check_name

PATH = "/schedules"
_ONE = f"{PATH}/{{name}}"

_Endpoint = Callable[..., Awaitable[JsonResponse]]
_Read = tuple[str, _Endpoint, type[BaseModel]]
_Act = tuple[str, _Endpoint, HTTPStatus, type[BaseModel]]


class ScheduleRoutes:
    """The schedules for clients and operators; a body is needed only to set one."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._schedules = Schedules(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        reads: tuple[_Read, ...] = (
            (PATH, self.list, ScheduleList),
            (_ONE, self.show, ScheduleShown),
            (f"{_ONE}/changes", self.changes, ScheduleChanges),
        )
        for path, endpoint, answer in reads:
            app.add_api_route(
                path, endpoint, tags=["schedules"], response_model=answer, responses=problems(400, 404, 503)
            )
        self._add_commands(app)

    def _add_commands(self, app: FastAPI) -> None:
        app.add_api_route(
            _ONE, self.put, tags=["schedules"], methods=["PUT"], response_model=ScheduleListed,
            responses={**problems(400, 413, 503), 201: {"model": ScheduleListed, "description": "Created"}},
            openapi_extra={"requestBody": body_of(ScheduleBody)},
        )  # fmt: skip
        app.add_api_route(
            _ONE, self.remove, tags=["schedules"], methods=["DELETE"], status_code=HTTPStatus.NO_CONTENT,
            responses=problems(400, 404, 503),
        )  # fmt: skip
        acts: tuple[_Act, ...] = (
            ("pause", self.pause, HTTPStatus.OK, ScheduleListed),
            ("resume", self.resume, HTTPStatus.OK, ScheduleListed),
            ("fire", self.fire, HTTPStatus.ACCEPTED, FiredByHandShown),
        )
        for verb, act, status, answer in acts:
            app.add_api_route(
                f"{_ONE}/{verb}", act, tags=["schedules"], methods=["POST"], status_code=status,
                response_model=answer, responses=problems(400, 404, 413, 503),
                openapi_extra={"requestBody": body_of(Reason, required=False)},
            )  # fmt: skip

    async def list(self, asked: Annotated[ScheduleListQuery, Query()]) -> JsonResponse:
        """List the schedules by name."""
        limit = self._limit(asked.limit)
        found = await self._schedules.list(after=asked.after, limit=limit + 1)
        return JsonResponse(listing_page(found, limit=limit))

    async def show(self, name: str) -> JsonResponse:
        """Show a schedule with its next five fire times and its latest fires."""
        schedule, upcoming, fires = await self._schedules.find(name, fires_max=FIRES_SHOWN)
        return JsonResponse({**schedule_body(schedule), "next_fires": upcoming, "recent_fires": fires})

    async def changes(self, name: str, asked: Annotated[ChangesQuery, Query()]) -> JsonResponse:
        """Show who changed a schedule, when and why, newest first; the changes outlive it."""
        limit = self._limit(asked.limit)
        found = await self._schedules.changes(name, before=asked.before, limit=limit + 1)
        return JsonResponse(changes_page(found, limit=limit))

    async def put(self, name: str, request: Request) -> JsonResponse:
        """Make a schedule (201) or replace its definition (200).

        A change of its times counts from now; any other one leaves its next fire as it is.
        """
        origin = origin_of(request.scope)
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        check_name(name)
        given = parse_body(ScheduleBody, body)
        try:
            kept = await self._schedules.put(
                name, definition_of(given, self._settings), paused=given.paused, reason=given.reason, origin=origin
            )
        except InvalidValueError as error:
            raise InvalidRequestError(Part.BODY, str(error)) from error
        status = HTTPStatus.CREATED if kept.created else HTTPStatus.OK
        return JsonResponse(schedule_body(kept.schedule), status, headers=_location(request, PATH, name))

    async def remove(self, name: str, asked: Annotated[ReasonQuery, Query()], request: Request) -> Response:
        """Remove a schedule; what it fired, and who changed it, is kept."""
        origin = origin_of(request.scope)
        await self._schedules.remove(name, reason=asked.reason, origin=origin)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def pause(self, name: str, request: Request) -> JsonResponse:
        """Fire no more until it is resumed; pausing twice changes nothing."""
        return await self._turn(self._schedules.pause, name, request)

    async def resume(self, name: str, request: Request) -> JsonResponse:
        """Fire again, from now on: the fires that passed meanwhile are not made up for."""
        return await self._turn(self._schedules.resume, name, request)

    async def fire(self, name: str, request: Request) -> JsonResponse:
        """Submit its task now, under a fire time of its own; a paused schedule can be fired by hand too."""
        origin = origin_of(request.scope)
        fired = await self._schedules.fire(name, reason=await self._reason(request), origin=origin)
        task_id = fired.appended.task_id
        headers = {**_location(request, "/tasks", str(task_id)), POSITION_HEADER: str(fired.appended.position)}
        body = {"schedule": name, "fire_at": fired.fire_at, "task_id": task_id}
        return JsonResponse(body, HTTPStatus.ACCEPTED, headers=headers)

    async def _turn(self, act: Callable[..., Awaitable[Schedule]], name: str, request: Request) -> JsonResponse:
        origin = origin_of(request.scope)
        return JsonResponse(schedule_body(await act(name, reason=await self._reason(request), origin=origin)))

    async def _reason(self, request: Request) -> str:
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        return parse_body(Reason, body).reason if body else ""

    def _limit(self, asked: int | None) -> int:
        limit_max = self._settings.page_size_max
        if asked is None:
            return min(LISTED_DEFAULT, limit_max)
        check_page_limit(asked, limit_max=limit_max)
        return asked


def _location(request: Request, path: str, name: str) -> Mapping[str, str]:
    return {"Location": f"{request.scope.get('root_path', '')}{path}/{name}"}
