"""GET /bulk-acts, and what begins one: POST /dead-letters/redrive and /discard, POST /tasks/retry and /cancel."""

from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel

from api.body import parse_body, read_body
from api.bulk_act_shapes import BulkActPage, BulkActShown, BulkActsQuery, TaskBulkRequest, TaskSample
from api.bulk_acts import bulk_act_body, sample_of_tasks
from api.dead_letter_shapes import BulkPace, BulkRequest, BulkSample
from api.dead_letters import sample_of
from api.errors import Part, refused_in
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.page_limit import page_limit
from api.routes.dead_letters import PATH as LETTERS
from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkOrder
from ledger.bulk_acts.commands import BulkActs
from ledger.bulk_acts.task_choice import TaskAct, TaskChoice
from ledger.dead_letters.acts import Intent
from ledger.dead_letters.letters import Act, DeadLetterFilter
from ledger.dead_letters.reader import DeadLetterReader

PATH = "/bulk-acts"
_FOLDERS = {Act.REDRIVEN: f"{LETTERS}/redrives", Act.DISCARDED: f"{LETTERS}/discards"}
_Tags = list[str | Enum]
_Endpoint = Callable[[Request], Awaitable[JsonResponse]]


class BulkActRoutes:
    """Bulk acts for operators; the scheduler works them off."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settings = ledger.settings
        self._reader = DeadLetterReader(ledger)
        self._bulk_acts = BulkActs(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, endpoint, body, sample in (
            (f"{LETTERS}/redrive", self.redrive_many, BulkRequest, BulkSample),
            (f"{LETTERS}/discard", self.discard_many, BulkRequest, BulkSample),
            ("/tasks/retry", self.retry_many, TaskBulkRequest, TaskSample),
            ("/tasks/cancel", self.cancel_many, TaskBulkRequest, TaskSample),
        ):
            _add(app, path, endpoint, body, sample)
        app.add_api_route(
            PATH, self.list, tags=["bulk acts"], response_model=BulkActPage, responses=problems(400, 503)
        )
        for folder in (*_FOLDERS.values(), PATH):
            for path, method, look in (
                (f"{folder}/{{bulk_id}}", "GET", self.show),
                (f"{folder}/{{bulk_id}}/cancel", "POST", self.cancel),
            ):
                app.add_api_route(
                    path, look, tags=_tags(folder), methods=[method], response_model=BulkActShown,
                    responses=problems(400, 404, 503),
                )  # fmt: skip

    async def redrive_many(self, request: Request) -> JsonResponse:
        """Count what a filter finds, or redrive it, at a rate, when `dry_run` is false: 202, where to look."""
        return await self._about_letters(Act.REDRIVEN, request)

    async def discard_many(self, request: Request) -> JsonResponse:
        """Count what a filter finds, or discard it, with a reason, when `dry_run` is false: 202, where to look."""
        return await self._about_letters(Act.DISCARDED, request)

    async def retry_many(self, request: Request) -> JsonResponse:
        """Count the tasks that a filter finds, or retry them, at a rate, when `dry_run` is false: see 202."""
        return await self._about_tasks(TaskAct.RETRIED, request)

    async def cancel_many(self, request: Request) -> JsonResponse:
        """Count the tasks that a filter finds, or cancel them, at a rate, when `dry_run` is false: see 202."""
        return await self._about_tasks(TaskAct.CANCELLED, request)

    async def list(self, asked: Annotated[BulkActsQuery, Query()]) -> JsonResponse:
        """List the bulk acts, newest first."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        found = await self._bulk_acts.list(
            subject=asked.subject, states=asked.state, before=asked.before, limit=limit + 1
        )
        page = found[:limit]
        next_before = page[-1].bulk_id if len(found) > len(page) else None
        return JsonResponse({"bulk_acts": [bulk_act_body(one) for one in page], "next_before": next_before})

    async def show(self, bulk_id: UUID) -> JsonResponse:
        """Show how far it has come."""
        return JsonResponse(bulk_act_body(await self._bulk_acts.find(bulk_id)))

    async def cancel(self, bulk_id: UUID, request: Request) -> JsonResponse:
        """Stop it; what is done stays done, and one that has ended stays as it is."""
        actor = origin_of(request.scope).actor
        return JsonResponse(bulk_act_body(await self._bulk_acts.cancel(bulk_id, actor=actor)))

    async def _about_letters(self, act: Act, request: Request) -> JsonResponse:
        given = parse_body(BulkRequest, await self._body(request))
        letters = given.filter.letters()
        if given.dry_run:
            return JsonResponse((await sample_of(self._reader, letters, limit=given.limit)).as_dict())
        return await self._begin(act, letters, given, request)

    async def _about_tasks(self, act: TaskAct, request: Request) -> JsonResponse:
        given = parse_body(TaskBulkRequest, await self._body(request))
        choice = given.filter.choice(act)
        if given.dry_run:
            with refused_in(Part.BODY):
                found = await sample_of_tasks(self._ledger, act, choice, limit=given.limit)
            return JsonResponse(found.as_dict())
        return await self._begin(act, choice, given, request)

    async def _begin(
        self, act: Act | TaskAct, chosen: DeadLetterFilter | TaskChoice, given: BulkPace, request: Request
    ) -> JsonResponse:
        order = BulkOrder(
            act=act,
            chosen=chosen,
            intent=Intent(reason=given.reason, origin=origin_of(request.scope)),
            rate_per_s=given.rate_per_s,
            limit=given.limit,
        )
        with refused_in(Part.BODY):
            bulk = await self._bulk_acts.begin(order)
        folder = _FOLDERS[act] if isinstance(act, Act) else PATH
        where = f"{request.scope.get('root_path', '')}{folder}/{bulk.bulk_id}"
        return JsonResponse(bulk_act_body(bulk), HTTPStatus.ACCEPTED, headers={"Location": where})

    async def _body(self, request: Request) -> bytes:
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        return body or b"{}"


def _add(app: FastAPI, path: str, endpoint: _Endpoint, body: type[BaseModel], sample: type[BaseModel]) -> None:
    app.add_api_route(
        path,
        endpoint,
        tags=_tags(path),
        methods=["POST"],
        response_model=sample,
        responses={202: {"model": BulkActShown, "description": "Recorded"}, **problems(400, 413, 503)},
        openapi_extra={"requestBody": body_of(body, required=False)},
    )


def _tags(path: str) -> _Tags:
    return [path.split("/")[1].replace("-", " ")]
