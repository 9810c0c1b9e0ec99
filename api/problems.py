"""The one table error → HTTP: every error is told as a problem document (RFC 9457) with the seed's `error`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import JsonValue
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from api.errors import (
    BodyTooLargeError,
    BodyTooSlowError,
    FailureGroupNotFoundError,
    ForeignPageError,
    InvalidBatchError,
    InvalidIdError,
    InvalidRequestError,
    InvalidTaskIdError,
    LedgerArchivedError,
    NotAuthenticatedError,
    NotPermittedError,
    Part,
    PastOutOfReachError,
    RateExceededError,
    ReadModelBehindError,
    TooManyBatchesError,
    TooManyExportsError,
    TooManyWaitingError,
)
from api.json_response import JsonResponse
from api.origin import traceparent_of
from api.problem_members import members_of
from api.validation import sentence_of
from ledger.errors import (
    BulkActNotFoundError,
    DeadLetterNotFoundError,
    DeadLetterStateError,
    ErasureNotFoundError,
    IdempotencyKeyReusedError,
    InvalidValueError,
    KeyInFlightError,
    ScheduleNotFoundError,
    StoreUnavailableError,
    StoreUnwritableError,
    TaskArchivedError,
    TaskNotFoundError,
    TaskStateError,
    WrongExpectedVersionError,
)
from ledger.traces import trace_fields
from ledger.webhooks.errors import WebhookDeliveryNotFoundError, WebhookNotFoundError, WebhookStateError
from ledger.workers.errors import WorkerNotFoundError, WorkerStateError
from projections.errors import (
    NotVerifiableError,
    ProjectionNotFoundError,
    ReadModelMissingError,
    RunNotFoundError,
    RunOpenError,
)

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"
_TYPE = "urn:task-ledger:problem:"
_RETRY_AFTER_SECONDS = "1"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document before it is written out."""

    status: int
    type: str
    title: str
    detail: str
    error: str
    members: Mapping[str, JsonValue] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return it as a response."""
        document = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "error": self.error,
            **self.members,
        }
        return JsonResponse(document, self.status, headers=self.headers, media_type=CONTENT_TYPE)


@dataclass(frozen=True, slots=True)
class _Row:
    """How one kind of error is told; without a detail the error's own sentence is fit for the client."""

    error: type[Exception]
    status: HTTPStatus
    name: str
    title: str
    detail: str = ""


_TABLE = (
    _Row(InvalidRequestError, HTTPStatus.BAD_REQUEST, "invalid-request", "The request is not valid"),
    _Row(InvalidTaskIdError, HTTPStatus.BAD_REQUEST, "invalid-task-id", "The task id is not valid"),
    _Row(NotAuthenticatedError, HTTPStatus.UNAUTHORIZED, "not-authenticated", "An API key is needed"),
    _Row(NotPermittedError, HTTPStatus.FORBIDDEN, "not-permitted", "The API key may not do this"),
    _Row(ForeignPageError, HTTPStatus.FORBIDDEN, "foreign-page", "A foreign page asked for this"),
    _Row(RateExceededError, HTTPStatus.TOO_MANY_REQUESTS, "rate-exceeded", "Too many requests"),
    _Row(InvalidIdError, HTTPStatus.BAD_REQUEST, "invalid-id", "The id is not valid"),
    _Row(InvalidValueError, HTTPStatus.BAD_REQUEST, "invalid-request", "The request is not valid"),
    _Row(BodyTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", "The body is too large"),
    _Row(BodyTooSlowError, HTTPStatus.REQUEST_TIMEOUT, "body-too-slow", "The body came too slowly"),
    _Row(InvalidBatchError, HTTPStatus.BAD_REQUEST, "invalid-batch", "The batch is not valid"),
    _Row(TooManyBatchesError, HTTPStatus.SERVICE_UNAVAILABLE, "too-many-batches", "Too many batches at once"),
    _Row(TooManyExportsError, HTTPStatus.SERVICE_UNAVAILABLE, "too-many-exports", "Too many exports at once"),
    _Row(TooManyWaitingError, HTTPStatus.SERVICE_UNAVAILABLE, "too-many-waiting", "Too many are waiting"),
    _Row(ReadModelBehindError, HTTPStatus.SERVICE_UNAVAILABLE, "read-model-behind", "The read model is behind"),
    _Row(PastOutOfReachError, HTTPStatus.SERVICE_UNAVAILABLE, "past-out-of-reach", "The moment is out of reach"),
    _Row(ReadModelMissingError, HTTPStatus.SERVICE_UNAVAILABLE, "read-model-missing", "There is no read model"),
    _Row(FailureGroupNotFoundError, HTTPStatus.NOT_FOUND, "failure-not-found", "There is no such failure group"),
    _Row(TaskArchivedError, HTTPStatus.GONE, "task-archived", "The history of the task is archived"),
    _Row(LedgerArchivedError, HTTPStatus.GONE, "ledger-archived", "The past is archived"),
    _Row(TaskNotFoundError, HTTPStatus.NOT_FOUND, "task-not-found", "There is no such task"),
    _Row(
        IdempotencyKeyReusedError, HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused",
        "The idempotency key stands for another request",
    ),
    _Row(KeyInFlightError, HTTPStatus.CONFLICT, "key-in-flight", "A request with the same key is in flight"),
    _Row(ScheduleNotFoundError, HTTPStatus.NOT_FOUND, "schedule-not-found", "There is no such schedule"),
    _Row(WebhookNotFoundError, HTTPStatus.NOT_FOUND, "webhook-not-found", "There is no such webhook"),
    _Row(
        WebhookDeliveryNotFoundError, HTTPStatus.NOT_FOUND, "webhook-delivery-not-found",
        "There is no such delivery",
    ),
    _Row(WebhookStateError, HTTPStatus.CONFLICT, "webhook-state", "The webhook's state refuses this"),
    _Row(DeadLetterNotFoundError, HTTPStatus.NOT_FOUND, "dead-letter-not-found", "There is no such dead letter"),
    _Row(ErasureNotFoundError, HTTPStatus.NOT_FOUND, "erasure-not-found", "There is no such erasure"),
    _Row(BulkActNotFoundError, HTTPStatus.NOT_FOUND, "bulk-act-not-found", "There is no such bulk act"),
    _Row(WorkerNotFoundError, HTTPStatus.NOT_FOUND, "worker-not-found", "There is no such worker"),
    _Row(WorkerStateError, HTTPStatus.CONFLICT, "worker-state", "The worker refuses this"),
    _Row(DeadLetterStateError, HTTPStatus.CONFLICT, "dead-letter-state", "The dead letter refuses this"),
    _Row(ProjectionNotFoundError, HTTPStatus.NOT_FOUND, "projection-not-found", "There is no such projection"),
    _Row(RunNotFoundError, HTTPStatus.NOT_FOUND, "run-not-found", "There is no such run"),
    _Row(RunOpenError, HTTPStatus.CONFLICT, "run-open", "The projection has an open run"),
    _Row(NotVerifiableError, HTTPStatus.CONFLICT, "not-verifiable", "The projection cannot be verified"),
    _Row(TaskStateError, HTTPStatus.CONFLICT, "task-state", "The task's state refuses this"),
    _Row(
        WrongExpectedVersionError, HTTPStatus.CONFLICT, "task-busy", "The task is busy",
        "Others changed the task at the same time, again and again; nothing was recorded.",
    ),
    _Row(
        StoreUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Service unavailable",
        "The ledger is out of reach at the moment; whether a command in flight took hold is not known.",
    ),
    _Row(
        StoreUnwritableError, HTTPStatus.SERVICE_UNAVAILABLE, "unwritable", "Service unavailable",
        "The ledger takes no writes at the moment; nothing was recorded.",
    ),
)  # fmt: skip
_IDS = {
    ("path", "letter_id"): "Dead Letter",
    ("path", "bulk_id"): "Bulk Act",
    ("path", "run_id"): "Run",
    ("path", "failure_id"): "Failure",
    ("path", "order_id"): "Erasure",
    ("path", "worker_id"): "Worker",
}
_UNKNOWN = _Row(
    Exception, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal server error",
    "Something went wrong on the server; its log has the details.",
)  # fmt: skip


def problem_of(error: Exception) -> Problem:
    """Return how an error is told to a client; what is not in the table tells nothing of what is inside."""
    if isinstance(error, HTTPException):
        return _of_router(error)
    if isinstance(error, RequestValidationError):
        error = _of_framework(error)
    row = next((row for row in _TABLE if isinstance(error, row.error)), _UNKNOWN)
    return Problem(
        status=row.status,
        type=f"{_TYPE}{row.name}",
        title=row.title,
        detail=row.detail or str(error),
        error=row.title if row.detail else str(error),
        members=members_of(error),
        headers=_headers(error, row),
    )


def unready_problem(checks: Mapping[str, JsonValue], detail: str) -> Problem:
    """Return the problem of a process that cannot serve yet, with what it checked."""
    return Problem(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        type=f"{_TYPE}not-ready",
        title="Not ready",
        detail=detail,
        error="Not ready",
        members={"checks": dict(checks)},
        headers={"Retry-After": _RETRY_AFTER_SECONDS},
    )


async def tell(request: Request, error: Exception) -> Response:
    """Answer an error; one that nobody foresaw is logged."""
    if isinstance(error, RequestValidationError) and not _is_taken(request):
        error = HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
    problem = problem_of(error)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        trace = trace_fields(traceparent_of(request.scope))
        log.error("request.failed", method=request.method, path=request.url.path, exc_info=error, **trace)
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        # The router names the methods of the first route that has the path; another may have it too.
        problem = replace(problem, headers={"Allow": _allowed(request)})
    return problem.response()


def _of_router(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    return Problem(
        status=error.status_code,
        type="about:blank",
        title=phrase,
        detail=str(error.detail),
        error=str(error.detail),
        headers=error.headers or {},
    )


def _of_framework(error: RequestValidationError) -> Exception:
    problems = error.errors()
    if any(problem["loc"] == ("path", "task_id") for problem in problems):
        return InvalidTaskIdError()
    for problem in problems:
        if problem["loc"] in _IDS:
            return InvalidIdError(_IDS[problem["loc"]])
    return InvalidRequestError(Part.QUERY, sentence_of(problems))


def _headers(error: Exception, row: _Row) -> dict[str, str]:
    if isinstance(error, NotAuthenticatedError):
        return {"WWW-Authenticate": 'Bearer realm="task-ledger"'}
    if isinstance(error, RateExceededError):
        return {"Retry-After": str(math.ceil(error.wait_seconds))}
    return {"Retry-After": _RETRY_AFTER_SECONDS} if _may_pass_soon(error, row) else {}


def _may_pass_soon(error: Exception, row: _Row) -> bool:
    return row.status == HTTPStatus.SERVICE_UNAVAILABLE or isinstance(error, KeyInFlightError)


def _is_taken(request: Request) -> bool:
    # GET /tasks/retry comes to the route of /tasks/{task_id}, and is no task with a bad id.
    allowed = _methods(request)
    return not allowed or request.method in allowed


def _allowed(request: Request) -> str:
    return ", ".join(sorted(_methods(request)))


def _methods(request: Request) -> set[str]:
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    named = [route for route in routes if not getattr(route, "param_convertors", None)]
    return {method for route in named or routes for method in getattr(route, "methods", None) or ()}
