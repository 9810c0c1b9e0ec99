"""GET /tasks/{id}/timeline, /stats and /failures: where time goes, how the queues do, and what goes wrong."""

from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Query, Request

from api.conditions import MIN_POSITION_HEADER, Conditions, header_parameters
from api.cursor import decode_place, encode_place
from api.errors import Part, refused_in
from api.failures import FailureReader
from api.json_response import JsonResponse
from api.openapi import problems
from api.page_limit import check_page_limit
from api.places import Places
from api.read_model_progress import ReadModelProgress
from api.routes.submit import POSITION_HEADER
from api.stats import StatsReader
from api.stats_shapes import FailurePage, FailureShown, FailuresQuery, Stats, StatsQuery, TimelineShown
from api.timeline import TimelineReader
from ledger.bootstrap import Ledger
from ledger.dead_letters.letters import TOP, Place
from projections.failure_groups import FAILURE_GROUPS
from projections.projection import Projection
from projections.queue_stats import QUEUE_STATS


class ReadModelRoutes:
    """The read models beside `task_status`."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._timelines = TimelineReader(ledger)
        self._stats = StatsReader(ledger)
        self._failures = FailureReader(ledger)
        places = Places(ledger.settings.waits_max, setting="LEDGER_WAITS_MAX")
        self._progress = {
            projection.name: ReadModelProgress(ledger, places, projection)
            for projection in (QUEUE_STATS, FAILURE_GROUPS)
        }

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, endpoint, tag, answer, statuses in (
            ("/tasks/{task_id}/timeline", self.timeline, "tasks", TimelineShown, (400, 404, 410, 503)),
            ("/stats", self.stats, "read models", Stats, (400, 503)),
            ("/failures", self.failures, "read models", FailurePage, (400, 503)),
            ("/failures/{failure_id}", self.failure, "read models", FailureShown, (400, 404, 503)),
        ):
            app.add_api_route(
                path,
                endpoint,
                tags=[tag],
                response_model=answer,
                responses=problems(*statuses),
                openapi_extra=header_parameters(MIN_POSITION_HEADER),
            )

    async def timeline(self, task_id: UUID, request: Request) -> JsonResponse:
        """Show where the time of a task went, with a lane for each attempt."""
        conditions = Conditions.of(request.headers)
        timeline = await self._timelines.find(task_id, position_min=conditions.position_min)
        return JsonResponse(timeline, headers={POSITION_HEADER: str(timeline.position)})

    async def stats(self, asked: Annotated[StatsQuery, Query()], request: Request) -> JsonResponse:
        """Show throughput, failures and latencies, as a series and in total."""
        await self._reach(QUEUE_STATS, request)
        with refused_in(Part.QUERY):
            return JsonResponse(await self._stats.read(asked))

    async def failures(self, asked: Annotated[FailuresQuery, Query()], request: Request) -> JsonResponse:
        """List what goes wrong, the same trouble once, the latest first."""
        check_page_limit(asked.limit, limit_max=self._settings.page_size_max)
        groups = asked.filter()
        below = TOP if asked.cursor is None else decode_place(asked.cursor, groups)
        await self._reach(FAILURE_GROUPS, request)
        found = await self._failures.page(groups, below=below, limit=asked.limit + 1)
        page = found[: asked.limit]
        has_more = len(found) > len(page)
        cursor = encode_place(Place(page[-1]["last_seen"], page[-1]["id"]), groups) if has_more else None
        return JsonResponse({"failures": page, "next_cursor": cursor})

    async def failure(self, failure_id: UUID, request: Request) -> JsonResponse:
        """Show one kind of trouble: its trend by the hour, and tasks that have it."""
        await self._reach(FAILURE_GROUPS, request)
        return JsonResponse(await self._failures.show(failure_id))

    async def _reach(self, projection: Projection, request: Request) -> None:
        position_min = Conditions.of(request.headers).position_min
        if position_min:
            await self._progress[projection.name].reach(position_min, request)
