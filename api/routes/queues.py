"""GET /queues and below: how much is to do in each queue, what is set for it, and how that is changed."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import FastAPI, Query, Request

from api.body import parse_body, read_body
from api.errors import InvalidRequestError, Part
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.page_limit import page_limit
from api.queue_answers import QueueHistory, QueueList, QueueShown
from api.queue_schemas import ChangesQuery, QueueSettingsGiven, ReasonQuery
from api.schemas import Reason
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError
from ledger.queues.listing import list_queues, show_queue
from ledger.queues.settings import (
    QueueSettings,
    list_changes,
    pause,
    reset_policy,
    resume,
    set_policy,
)
from ledger.specification import check_queue_name

_QUEUE = "/queues/{name}"


class QueueRoutes:
    """The queues for whoever watches over them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._database = ledger.database
        self._settings = ledger.settings

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route("/queues", self.list, tags=["queues"], response_model=QueueList, responses=problems(503))
        reads = ((_QUEUE, self.show, QueueShown), (f"{_QUEUE}/changes", self.changes, QueueHistory))
        for path, endpoint, answer in reads:
            app.add_api_route(path, endpoint, tags=["queues"], response_model=answer, responses=problems(400, 503))
        for method, path, command, body in (
            ("PUT", _QUEUE, self.set, body_of(QueueSettingsGiven)),
            ("DELETE", f"{_QUEUE}/settings", self.reset, None),
            ("POST", f"{_QUEUE}/pause", self.pause, body_of(Reason, required=False)),
            ("POST", f"{_QUEUE}/resume", self.resume, body_of(Reason, required=False)),
            ("POST", f"{_QUEUE}/drain", self.drain, body_of(Reason, required=False)),
        ):
            app.add_api_route(
                path,
                command,
                tags=["queues"],
                methods=[method],
                response_model=QueueShown,
                responses=problems(400, 503) if body is None else problems(400, 413, 503),
                openapi_extra=None if body is None else {"requestBody": body},
            )

    async def list(self) -> JsonResponse:
        """List every queue that is paused or has settings, unfinished tasks or live workers, by name."""
        return JsonResponse({"queues": await list_queues(self._ledger)})

    async def show(self, name: str) -> JsonResponse:
        """Show a queue; one that nobody has used yet is open and empty."""
        return JsonResponse(await show_queue(self._ledger, name))

    async def changes(self, name: str, asked: Annotated[ChangesQuery, Query()]) -> JsonResponse:
        """Show who changed what is set for a queue, when and why, newest first."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        found = await list_changes(self._database, name, before=asked.before, limit=limit + 1)
        page = found[:limit]
        next_before = page[-1].id if len(found) > len(page) else None
        return JsonResponse({"changes": page, "next_before": next_before})

    async def set(self, name: str, request: Request) -> JsonResponse:
        """Set everything that may be set for a queue; a pause stays as it is."""
        check_queue_name(name)
        given = parse_body(QueueSettingsGiven, await self._body(request))
        settings = QueueSettings(**given.model_dump(exclude={"reason"}))
        try:
            await set_policy(self._database, name, settings, actor=_actor(request), reason=given.reason)
        except InvalidValueError as error:
            raise InvalidRequestError(Part.BODY, str(error)) from error
        return await self._changed(name)

    async def reset(self, name: str, request: Request, asked: Annotated[ReasonQuery, Query()]) -> JsonResponse:
        """Take away all that is set for a queue; a pause stays as it is."""
        await reset_policy(self._database, name, actor=_actor(request), reason=asked.reason)
        return await self._changed(name)

    async def pause(self, name: str, request: Request) -> JsonResponse:
        """Let no task of a queue start until it is resumed; what runs goes on."""
        return await self._command(pause, name, request)

    async def resume(self, name: str, request: Request) -> JsonResponse:
        """Let tasks of a queue start again."""
        return await self._command(resume, name, request)

    async def drain(self, name: str, request: Request) -> JsonResponse:
        """Pause a queue to wait for what runs: poll `GET /queues/{name}` until its `state` is `paused`."""
        return await self._command(pause, name, request)

    async def _command(self, command: Callable[..., Awaitable[bool]], name: str, request: Request) -> JsonResponse:
        check_queue_name(name)
        body = await self._body(request)
        given = parse_body(Reason, body) if body else Reason()
        await command(self._database, name, actor=_actor(request), reason=given.reason)
        return await self._changed(name)

    async def _changed(self, name: str) -> JsonResponse:
        # A client that submits next, to this process, finds it in force.
        await self._ledger.policies.renew()
        return await self.show(name)

    async def _body(self, request: Request) -> bytes:
        return await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)


def _actor(request: Request) -> str:
    return origin_of(request.scope).actor
