"""GET /tasks and below: what became of the tasks."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from api.answers import Explained, History, TaskPage, TaskShown, TaskStatus
from api.conditions import APPLIED_HEADER, MIN_POSITION_HEADER, Conditions, header_parameters, tag_of
from api.cursor import decode_cursor, encode_cursor
from api.errors import InvalidRequestError, Part
from api.json_response import JsonResponse
from api.long_poll import LongPoll
from api.openapi import problems
from api.places import Places
from api.read_model import TaskFilter, TaskReader, TaskView
from api.read_model_progress import ReadModelProgress
from api.routes.submit import POSITION_HEADER
from api.schemas import VERSION_MAX, HistoryQuery, ListQuery
from api.tail import Tail
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError, TaskNotFoundError
from ledger.facts import explain_task
from ledger.store.records import RecordedEvent, StaleWrite
from ledger.task_words import Status

SinceVersion = Annotated[
    int | None, Query(ge=0, le=VERSION_MAX, description="The version of the task that the client knows.")
]


class TaskRoutes:
    """Reads for clients; every task that was answered 202 is found, however far behind the read model is."""

    def __init__(self, ledger: Ledger, tail: Tail) -> None:
        self._ledger = ledger
        self._settings = ledger.settings
        self._store = ledger.store
        self._reader = TaskReader(ledger)
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
            responses=problems(400, 503),
            openapi_extra=header_parameters(MIN_POSITION_HEADER),
        )
        for path, endpoint, answer in (
            ("/tasks/{task_id}", self.show, TaskShown),
            ("/tasks/{task_id}/status", self.status, TaskStatus),
        ):
            app.add_api_route(
                path,
                endpoint,
                tags=["tasks"],
                response_model=answer,
                responses={304: {"description": "The client has it already"}, **problems(400, 404, 503)},
                openapi_extra=header_parameters(MIN_POSITION_HEADER, "If-None-Match", "Prefer"),
            )
        for path, look, shape in (
            ("/tasks/{task_id}/events", self.events, History),
            ("/tasks/{task_id}/explain", self.explain, Explained),
        ):
            app.add_api_route(path, look, tags=["tasks"], response_model=shape, responses=problems(400, 404, 503))

    async def list(self, asked: Annotated[ListQuery, Query()], request: Request) -> JsonResponse:
        """List tasks, newest first."""
        self._check_limit(asked.limit)
        conditions = Conditions.of(request.headers)
        task_filter = TaskFilter(
            statuses=asked.status or None,
            kind=asked.kind,
            queue=asked.queue,
            tags=asked.tag or None,
            created_after=asked.created_after,
            created_before=asked.created_before,
        )
        below = None if asked.cursor is None else decode_cursor(asked.cursor, task_filter)
        if conditions.position_min:
            await self._progress.reach(conditions.position_min, request)
        found = await self._reader.list(task_filter, below=below, limit=asked.limit + 1)
        page = found[: asked.limit]
        cursor = encode_cursor(page[-1].task_id, task_filter) if len(found) > len(page) else None
        return JsonResponse({"tasks": page, "next_cursor": cursor})

    async def show(self, task_id: UUID, request: Request, since_version: SinceVersion = None) -> Response:
        """Show everything known about a task, late writes that were refused included.

        With `Prefer: wait` it is answered when the task has another version than the client knows, or when the
        time is over.
        """
        conditions = Conditions.of(request.headers, since_version=since_version)
        task, applied = await self._find(task_id, conditions, request, compared=_version)
        refused = await self._store.read_stale_writes(task_id)
        shown = {name: getattr(task, name) for name in _SHOWN}
        body = {**shown, "stale_writes": [stale_write_body(write) for write in refused]}
        tag = tag_of(task_id, task.version, late_writes=len(refused))
        return _conditional(body, tag, conditions, headers=_told(task, applied))

    async def status(self, task_id: UUID, request: Request, since_version: SinceVersion = None) -> Response:
        """Show the status of a task.

        With `Prefer: wait` it is answered when the status is another than at the version that the client knows,
        or when the time is over.
        """
        conditions = Conditions.of(request.headers, since_version=since_version)
        task, applied = await self._find(task_id, conditions, request, compared=_status)
        body = {
            "task_id": task.task_id,
            "status": task.status,
            "input": task.input,
            "result": _outcome(task),
            "created_at": task.created_at,
            "updated_at": task.updated_at,
        }
        return _conditional(body, tag_of(task_id, task.version), conditions, headers=_told(task, applied))

    async def explain(self, task_id: UUID) -> JsonResponse:
        """Say why a task is not running, how it runs, or why it ended."""
        return JsonResponse((await explain_task(self._ledger, task_id)).as_dict())

    async def events(self, task_id: UUID, asked: Annotated[HistoryQuery, Query()]) -> JsonResponse:
        """Show the history of a task, oldest event first."""
        self._check_limit(asked.limit)
        found = await self._store.read_stream(task_id, after_version=asked.after_version, limit=asked.limit + 1)
        if not found and not await self._store.read_stream(task_id, limit=1):
            raise TaskNotFoundError(task_id)
        page = found[: asked.limit]
        next_after_version = page[-1].version if len(found) > len(page) else None
        return JsonResponse(
            {"events": [event_body(event) for event in page], "next_after_version": next_after_version}
        )

    async def _find(
        self, task_id: UUID, conditions: Conditions, request: Request, *, compared: Callable[[TaskView], object]
    ) -> tuple[TaskView, float | None]:
        asked = conditions.wait_seconds
        seconds = None if asked is None else min(asked, self._settings.wait_seconds_max)
        found = await self._long_poll.find(task_id, conditions, request, seconds=seconds, compared=compared)
        return found, seconds

    def _check_limit(self, limit: int) -> None:
        if limit > self._settings.page_size_max:
            bound = f"at most {self._settings.page_size_max}"
            raise InvalidRequestError(Part.QUERY, str(InvalidValueError(field="limit", bound=bound, value=limit)))


_SHOWN = tuple(TaskView.__dataclass_fields__)


def _conditional(
    body: Mapping[str, object], tag: str, conditions: Conditions, *, headers: Mapping[str, str]
) -> Response:
    headers = {"ETag": f'"{tag}"', **headers}
    if conditions.is_known(tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return JsonResponse(body, headers=headers)


def _told(task: TaskView, applied: float | None) -> dict[str, str]:
    waited = {} if applied is None else {APPLIED_HEADER: f"wait={applied:g}"}
    return {POSITION_HEADER: str(task.position), **waited}


def _version(task: TaskView) -> object:
    return task.version


def _status(task: TaskView) -> object:
    return task.status


def _outcome(task: TaskView) -> object:
    if task.status == Status.COMPLETED:
        return task.result
    if task.status == Status.FAILED and task.error is not None:
        return task.error.get("message")
    return None


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
