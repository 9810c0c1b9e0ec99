"""/projections: how the read models stand, and their rebuilds, verifications and resets as runs."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from api.body import parse_body, read_body
from api.json_response import JsonResponse
from api.openapi import body_of, event_stream, problems
from api.origin import origin_of
from api.page_limit import check_page_limit
from api.places import Places
from api.projection_schemas import (
    ProjectionList,
    ProjectionShown,
    RunPage,
    RunShown,
    RunsQuery,
    run_body,
    standing_body,
)
from api.routes.streams import RESUME_HEADER
from api.run_stream import RunStream, stream_id
from api.schemas import Reason
from ledger.bootstrap import Ledger
from projections.catalogue import Catalogue
from projections.runs import Act, Runs
from projections.standing import read_standing

PATH = "/projections"
_ONE = f"{PATH}/{{name}}"
_RUNS = f"{PATH}/runs"

_Endpoint = Callable[..., Awaitable[Response]]


class ProjectionRoutes:
    """The read models for operators; a projector carries out what is asked for here."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue) -> None:
        self._ledger = ledger
        self._settings = ledger.settings
        self._catalogue = catalogue
        self._runs = Runs(ledger)
        self._places = Places(ledger.settings.streams_max, setting="LEDGER_STREAMS_MAX")

    def add_to(self, app: FastAPI) -> None:
        """Add the routes; no projection is called `runs`."""
        reads: tuple[tuple[str, _Endpoint, type[BaseModel]], ...] = (
            (PATH, self.list, ProjectionList),
            (_RUNS, self.list_runs, RunPage),
            (f"{_RUNS}/{{run_id}}", self.show_run, RunShown),
            (_ONE, self.show, ProjectionShown),
            (f"{_ONE}/runs", self.list_runs_of, RunPage),
        )
        for path, endpoint, answer in reads:
            app.add_api_route(
                path, endpoint, tags=["projections"], response_model=answer, responses=problems(400, 404, 503)
            )
        app.add_api_route(
            f"{_RUNS}/{{run_id}}/stream", self.stream_run, tags=["projections"], response_class=StreamingResponse,
            responses={200: _STREAM, **problems(400, 404, 503)},
        )  # fmt: skip
        for act, endpoint in ((Act.REBUILD, self.rebuild), (Act.VERIFY, self.verify), (Act.RESET, self.reset)):
            app.add_api_route(
                f"{_ONE}/{act}", endpoint, tags=["projections"], methods=["POST"], status_code=HTTPStatus.ACCEPTED,
                response_model=RunShown, responses=problems(400, 404, 409, 413, 503),
                openapi_extra={"requestBody": body_of(Reason, required=False)},
            )  # fmt: skip

    async def list(self) -> JsonResponse:
        """List the projections, and how far each read model is behind the ledger."""
        standings = [await read_standing(self._ledger, projection) for projection in self._catalogue]
        return JsonResponse({"projections": [standing_body(standing) for standing in standings]})

    async def show(self, name: str) -> JsonResponse:
        """Show a projection with its newest run."""
        standing = await read_standing(self._ledger, self._catalogue.find(name))
        runs = await self._runs.newest(projection=name, limit=1)
        return JsonResponse({**standing_body(standing), "last_run": run_body(runs[0]) if runs else None})

    async def rebuild(self, name: str, request: Request) -> JsonResponse:
        """Fold the whole ledger into a new read model and swap it in; readers go on meanwhile."""
        return await self._request(name, Act.REBUILD, request)

    async def verify(self, name: str, request: Request) -> JsonResponse:
        """Fold the ledger again and compare: the run says where the read model differs."""
        return await self._request(name, Act.VERIFY, request)

    async def reset(self, name: str, request: Request) -> JsonResponse:
        """Empty the read model and fold it again; unlike in a rebuild, readers see an incomplete one meanwhile."""
        return await self._request(name, Act.RESET, request)

    async def list_runs(self, asked: Annotated[RunsQuery, Query()]) -> JsonResponse:
        """List the runs of all projections, newest first; the oldest ended ones are forgotten."""
        return await self._page(asked, None)

    async def list_runs_of(self, name: str, asked: Annotated[RunsQuery, Query()]) -> JsonResponse:
        """List the runs of a projection, newest first."""
        return await self._page(asked, self._catalogue.find(name).name)

    async def show_run(self, run_id: UUID) -> JsonResponse:
        """Show how far a run is, or how it ended."""
        return JsonResponse(run_body(await self._runs.read(run_id)))

    async def stream_run(self, run_id: UUID, request: Request) -> Response:
        """Stream the progress of a run until it has ended; whoever comes again after that gets a 204."""
        run = await self._runs.read(run_id)
        if run.state.is_end and request.headers.get(RESUME_HEADER) == str(stream_id(run)):
            return Response(status_code=HTTPStatus.NO_CONTENT)  # what ends an EventSource for good
        heartbeat_seconds = self._settings.stream_heartbeat_seconds
        return RunStream(self._runs, run, self._places, heartbeat_seconds=heartbeat_seconds)

    async def _request(self, name: str, act: Act, request: Request) -> JsonResponse:
        origin = origin_of(request.scope)
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        reason = parse_body(Reason, body).reason if body else ""
        run = await self._runs.request(self._catalogue.find(name), act, reason=reason, origin=origin)
        location = f"{request.scope.get('root_path', '')}{_RUNS}/{run.run_id}"
        return JsonResponse(run_body(run), HTTPStatus.ACCEPTED, headers={"Location": location})

    async def _page(self, asked: RunsQuery, projection: str | None) -> JsonResponse:
        check_page_limit(asked.limit, limit_max=self._settings.page_size_max)
        found = await self._runs.newest(projection=projection, before=asked.before, limit=asked.limit + 1)
        shown = found[: asked.limit]
        next_before = shown[-1].run_id if len(found) > asked.limit else None
        return JsonResponse({"runs": [run_body(run) for run in shown], "next_before": next_before})


_STREAM = event_stream(
    "Server-sent events: `progress`, and `ended` as the last one; `data` is the run as JSON. "
    "When the key or the session that opened it is over, `closed` is the last one, within seconds."
)
