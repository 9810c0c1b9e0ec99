"""GET /workers and below: which workers live, what each runs, and that one takes nothing new for a while."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Query, Request

from api.body import parse_body, read_body
from api.errors import Part, refused_in
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.page_limit import page_limit
from api.queue_schemas import ChangesQuery
from api.schemas import Reason
from api.worker_shapes import WorkerHistory, WorkerList, WorkerQuery, WorkerShown
from ledger.bootstrap import Ledger
from ledger.workers.draining import drain, list_changes, resume
from ledger.workers.listing import WorkerStanding, list_workers, show_worker

_PATH = "/workers"
_WORKER = f"{_PATH}/{{worker_id}}"
_TAGS: list[str | Enum] = ["workers"]


class WorkerRoutes:
    """The workers for whoever watches over them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settings = ledger.settings

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, endpoint, answer, missing in (
            (_PATH, self.list, WorkerList, ()),
            (_WORKER, self.show, WorkerShown, (404,)),
            (f"{_WORKER}/changes", self.changes, WorkerHistory, ()),
        ):
            app.add_api_route(
                path, endpoint, tags=_TAGS, response_model=answer, responses=problems(400, *missing, 503)
            )
        for name, command in (("drain", self.drain), ("resume", self.resume)):
            app.add_api_route(
                f"{_WORKER}/{name}",
                command,
                tags=_TAGS,
                methods=["POST"],
                response_model=WorkerShown,
                responses=problems(400, 404, 409, 413, 503),
                openapi_extra={"requestBody": body_of(Reason, required=False)},
            )

    async def list(self, asked: Annotated[WorkerQuery, Query()]) -> JsonResponse:
        """List the workers that live, then those that have been gone for less than a day, the newest first."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        found = await list_workers(self._ledger, queue=asked.queue, states=asked.state, limit=limit + 1)
        return JsonResponse({"workers": found[:limit], "has_more": len(found) > limit})

    async def show(self, worker_id: UUID) -> JsonResponse:
        """Show a worker, and what runs in its name."""
        return JsonResponse(await show_worker(self._ledger, worker_id))

    async def changes(self, worker_id: UUID, asked: Annotated[ChangesQuery, Query()]) -> JsonResponse:
        """Show who drained and resumed a worker, when and why, newest first; also of one that is forgotten."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        found = await list_changes(self._ledger, worker_id, before=asked.before, limit=limit + 1)
        page = found[:limit]
        next_before = page[-1].id if len(found) > len(page) else None
        return JsonResponse({"changes": page, "next_before": next_before})

    async def drain(self, worker_id: UUID, request: Request) -> JsonResponse:
        """Let a worker take nothing new: what it has not begun goes to others, what runs is finished.

        Poll `GET /workers/{worker_id}` until `drained`. It stays, beats, and takes again when it is resumed.
        """
        return await self._ask(drain, worker_id, request)

    async def resume(self, worker_id: UUID, request: Request) -> JsonResponse:
        """Let a worker take tasks again, from its next beat on."""
        return await self._ask(resume, worker_id, request)

    async def _ask(
        self, command: Callable[..., Awaitable[WorkerStanding]], worker_id: UUID, request: Request
    ) -> JsonResponse:
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        given = parse_body(Reason, body) if body else Reason()
        with refused_in(Part.BODY):
            worker = await command(
                self._ledger, worker_id, actor=origin_of(request.scope).actor, reason=given.reason
            )
        return JsonResponse(worker)
