"""The Python client of a running Task Ledger: everything that its users import.

    from api.client import TaskLedger

    with TaskLedger("http://127.0.0.1:8080") as ledger:
        receipt = ledger.submit("report.daily", {"of": "yesterday"}, queue="reports", delay=60)
        print(ledger.wait(receipt.task_id, timeout=300))

`AsyncTaskLedger` is the same for an event loop, and `api.sdk.transactional.submit_in` submits within a database
transaction of the caller's own. Importing this starts nothing and imports no part of the server.
"""

from api.sdk.answers import (
    Commanded,
    DeadLetter,
    Event,
    Explanation,
    Fired,
    LedgerCounts,
    LetterAct,
    Page,
    Queue,
    Reason,
    Receipt,
    Schedule,
    Task,
    TaskFailure,
    TaskStatus,
)
from api.sdk.async_client import AsyncTaskLedger
from api.sdk.connection import ClientOptions
from api.sdk.errors import (
    ApiError,
    ClientSettingError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    SubmitManyError,
    TaskCancelledError,
    TaskEndedError,
    TaskFailedError,
    TaskLedgerError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from api.sdk.options import EventFilter, LetterFilter, LogFilter, NewTask, SubmitOptions, TaskFilter, TaskOptions
from api.sdk.retries import Retries
from api.sdk.sync_client import TaskLedger

__all__ = [
    "ApiError",
    "AsyncTaskLedger",
    "ClientOptions",
    "ClientSettingError",
    "Commanded",
    "ConflictError",
    "ConnectionFailedError",
    "DeadLetter",
    "Event",
    "EventFilter",
    "Explanation",
    "Fired",
    "ForbiddenError",
    "IdempotencyKeyReusedError",
    "InvalidRequestError",
    "LedgerCounts",
    "LetterAct",
    "LetterFilter",
    "LogFilter",
    "NewTask",
    "NotFoundError",
    "Page",
    "Queue",
    "RateLimitedError",
    "Reason",
    "Receipt",
    "Retries",
    "Schedule",
    "SubmitManyError",
    "SubmitOptions",
    "Task",
    "TaskCancelledError",
    "TaskEndedError",
    "TaskFailedError",
    "TaskFailure",
    "TaskFilter",
    "TaskLedger",
    "TaskLedgerError",
    "TaskOptions",
    "TaskStatus",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
]
