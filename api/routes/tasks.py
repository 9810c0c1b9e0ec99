"""GET /tasks and below: what became of the tasks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import FastAPI, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.answers import Explained, History, TaskDiff, TaskPage, TaskShown, TaskStatus
from api.as_of import AsOfQuery, DiffQuery
from api.conditions import APPLIED_HEADER, MIN_POSITION_HEADER, Conditions, header_parameters, tag_of
from api.cursor import decode_cursor, encode_cursor
from api.errors import Part, refused_in
from api.json_response import JsonResponse
from api.ledger_past import LedgerPast
from api.long_poll import LongPoll
from api.openapi import problems
from api.page_limit import page_limit
from api.past_pages import ListedTasks
from api.places import Places
from api.read_model import TaskFilter, TaskReader, TaskView, filter_of
from api.read_model_progress import ReadModelProgress
from api.routes.submit import POSITION_HEADER
from api.schemas import VERSION_MAX, HistoryQuery, ListQuery
from api.tail import Tail
from api.task_past import TaskPast, TaskThen
from ledger.bootstrap import Ledger
from ledger.errors import TaskNotFoundError
from ledger.explanation.facts import explain_task
from ledger.history.search import LogSearch
from ledger.payloads.cipher import ERASED, is_erased_value
from ledger.payloads.opening import Opening
from ledger.store.records import RecordedEvent, StaleWrite
from ledger.task_words import Status

_STATUS = "/tasks/{task_id}/status"
_EVENTS = "/tasks/{task_id}/events"


class TaskQuery(AsOfQuery):
    """A task as it was, or as it is once it is not what the client knows."""

    since_version: int | None = Field(
        None, ge=0, le=VERSION_MAX, description="The version that the client knows, for `Prefer: wait`."
    )


class TaskRoutes:
    """Reads for clients; every task that was answered 202 is found, however far behind the read model is."""

    def __init__(self, ledger: Ledger, tail: Tail) -> None:
        self._ledger = ledger
        self._settings = ledger.settings
        self._store = ledger.store
        self._opening = Opening(ledger.vault)
        self._search = LogSearch(ledger)
        self._reader = TaskReader(ledger)
        self._past = TaskPast(ledger)
        self._ledger_past = LedgerPast(ledger)
        places = Places(ledger.settings.waits_max, setting="LEDGER_WAITS_MAX")
        self._progress = ReadModelProgress(ledger, places)
        self._long_poll = LongPoll(ledger, self._reader, tail, places)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route(
            "/tasks",
            self.list,
            tags=["tasks"],
            response_model=TaskPage,
            responses=problems(400, 410, 503),
            openapi_extra=header_parameters(MIN_POSITION_HEADER),
        )
        for path, endpoint, answer in (
            ("/tasks/{task_id}", self.show, TaskShown),
            (_STATUS, self.status, TaskStatus),
        ):
            app.add_api_route(
                path,
                endpoint,
                tags=["tasks"],
                response_model=answer,
                responses={304: {"description": "The client has it already"}, **problems(400, 404, 410, 503)},
                openapi_extra=header_parameters(MIN_POSITION_HEADER, "If-None-Match", "Prefer"),
            )
        for path, look, shape in (
            (_EVENTS, self.events, History),
            ("/tasks/{task_id}/explain", self.explain, Explained),
            ("/tasks/{task_id}/diff", self.diff, TaskDiff),
        ):
            app.add_api_route(
                path, look, tags=["tasks"], response_model=shape, responses=problems(400, 404, 410, 503)
            )

    def plain_reads(self) -> Mapping[str, tuple[str, Callable[[UUID, Request], Awaitable[Response]]]]:
        """Return the routes of the reads that are asked most, with what answers them where there is no query.

        By the last parts of their paths.
        """
        as_it_is, from_the_first = TaskQuery(), HistoryQuery()
        return {
            "status": (_STATUS, lambda task_id, request: self.status(task_id, as_it_is, request)),
            "events": (_EVENTS, lambda task_id, _request: self.events(task_id, from_the_first)),
        }

    async def list(self, asked: Annotated[ListQuery, Query()], request: Request) -> JsonResponse:
        """List tasks, as they are or as they were, newest first."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        task_filter = filter_of(asked)
        below = None if asked.cursor is None else decode_cursor(asked.cursor, task_filter)
        conditions = Conditions.of(request.headers)
        if conditions.position_min and asked.as_of is None:
            await self._progress.reach(conditions.position_min, request)
        page = await self._listed(task_filter, below=below, limit=limit)
        cursor = None if page.below is None else encode_cursor(page.below, task_filter)
        return JsonResponse({"tasks": page.tasks, "next_cursor": cursor})

    async def show(self, task_id: UUID, asked: Annotated[TaskQuery, Query()], request: Request) -> Response:
        """Show everything known about a task, or that was: late writes that were refused included.

        With `Prefer: wait` it is answered when the task has another version than the client knows, or when the
        time is over.
        """
        conditions = Conditions.of(request.headers, since_version=asked.since_version)
        then, headers = await self._find(task_id, asked, conditions, request, compared=_version)
        refused = [write for write in await self._store.read_stale_writes(task_id) if then.was_refused(write)]
        tag = tag_of(task_id, then.task.version, late_writes=len(refused))
        shown = await self._opening.events(refused)
        return _conditional(task_body(then, shown), tag, conditions, headers=headers)

    async def status(self, task_id: UUID, asked: Annotated[TaskQuery, Query()], request: Request) -> Response:
        """Show the status of a task, or which one it had.

        With `Prefer: wait` it is answered when the status is another than at the version that the client knows,
        or when the time is over.
        """
        conditions = Conditions.of(request.headers, since_version=asked.since_version)
        then, headers = await self._find(task_id, asked, conditions, request, compared=_status)
        task = then.task
        body = {
            "task_id": task.task_id,
            "status": task.status,
            "input": task.input,
            "result": _outcome(task),
            "created_at": task.created_at,
            "updated_at": task.updated_at,
        }
        return _conditional(body, tag_of(task_id, task.version), conditions, headers=headers)

    async def diff(self, task_id: UUID, asked: Annotated[DiffQuery, Query()]) -> JsonResponse:
        """Show which fields of a task are not what they were at an earlier moment."""
        with refused_in(Part.QUERY):
            return JsonResponse(await self._past.diff(task_id, asked))

    async def explain(self, task_id: UUID) -> JsonResponse:
        """Say why a task is not running, how it runs, or why it ended."""
        return JsonResponse((await explain_task(self._ledger, task_id)).as_dict())

    async def events(self, task_id: UUID, asked: Annotated[HistoryQuery, Query()]) -> JsonResponse:
        """Show the history of a task, oldest event first."""
        limit = page_limit(asked, limit_max=self._settings.page_size_max)
        page, is_whole = await self._search.history(task_id, after_version=asked.after_version, limit=limit)
        if not page and not await self._store.read_stream(task_id, limit=1):
            raise TaskNotFoundError(task_id)
        next_after_version = None if is_whole else page[-1].version
        page = await self._opening.events(page)
        return JsonResponse(
            {"events": [event_body(event) for event in page], "next_after_version": next_after_version}
        )

    async def _listed(self, task_filter: TaskFilter, *, below: UUID | None, limit: int) -> ListedTasks:
        if task_filter.as_of is None:
            found = await self._reader.list(task_filter, below=below, limit=limit + 1)
            return ListedTasks(found[:limit], found[limit - 1].task_id if len(found) > limit else None)
        with refused_in(Part.QUERY):
            return await self._ledger_past.list(task_filter, as_of=task_filter.as_of, below=below, limit=limit)

    async def _find(
        self,
        task_id: UUID,
        asked: TaskQuery,
        conditions: Conditions,
        request: Request,
        *,
        compared: Callable[[TaskView], object],
    ) -> tuple[TaskThen, Mapping[str, str]]:
        if asked.is_past:
            with refused_in(Part.QUERY):
                return await self._past.find(task_id, asked), {}
        wanted = conditions.wait_seconds
        seconds = None if wanted is None else min(wanted, self._settings.wait_seconds_max)
        task = await self._long_poll.find(task_id, conditions, request, seconds=seconds, compared=compared)
        waited = {} if seconds is None else {APPLIED_HEADER: f"wait={seconds:g}"}
        return TaskThen(task, None), {POSITION_HEADER: str(task.position), **waited}


_SHOWN = tuple(TaskView.__dataclass_fields__)


def _conditional(
    body: Mapping[str, object], tag: str, conditions: Conditions, *, headers: Mapping[str, str]
) -> Response:
    headers = {"ETag": f'"{tag}"', **headers}
    if conditions.is_known(tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return JsonResponse(body, headers=headers)


def _version(task: TaskView) -> object:
    return task.version


def _status(task: TaskView) -> object:
    return task.status


def _outcome(task: TaskView) -> object:
    if task.status == Status.COMPLETED:
        return task.result
    if task.status == Status.FAILED and task.error is not None:
        return {ERASED: True} if is_erased_value(task.error) else task.error.get("message")
    return None


def task_body(then: TaskThen, refused: Sequence[StaleWrite]) -> dict[str, object]:
    """Return a task as the API shows it, with those of its refused writes that were refused by then."""
    shown: dict[str, object] = {name: getattr(then.task, name) for name in _SHOWN}
    return {**shown, "stale_writes": [stale_write_body(write) for write in refused if then.was_refused(write)]}


def event_body(event: RecordedEvent) -> dict[str, object]:
    """Return an event as the API shows it."""
    return {
        "id": event.event_id,
        "position": event.position,
        "task_id": event.task_id,
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "kind": event.kind,
        "queue": event.queue,
        "data": orjson.Fragment(event.data),
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "traceparent": event.traceparent,
    }


def stale_write_body(write: StaleWrite) -> dict[str, object]:
    """Return a refused write as the API shows it."""
    return {
        "type": write.type,
        "attempt": write.attempt,
        "current_attempt": write.current_attempt,
        "status": write.status,
        "worker_id": write.worker_id,
        "data": orjson.Fragment(write.data),
        "occurred_at": write.occurred_at,
        "recorded_at": write.recorded_at,
    }
