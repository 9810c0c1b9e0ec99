"""The Python client of a running Task Ledger: everything that its users import.

    from api.client import TaskLedger

    with TaskLedger("http://127.0.0.1:8080") as ledger:
        receipt = ledger.submit("report.daily", {"of": "yesterday"}, queue="reports", delay=60)
        print(ledger.wait(receipt.task_id, timeout=300))

What is about tasks stands on the client itself, the rest in topics: `ledger.queues`, `ledger.webhooks`, …; every
operation of the API has its place. `AsyncTaskLedger` is the same for an event loop, and
`api.sdk.transactional.submit_in` submits within a database transaction of the caller's own. Importing this starts
nothing and imports no part of the server.
"""

from api.sdk.answers import (
    Commanded,
    Event,
    Explanation,
    Lane,
    LedgerCounts,
    LedgerDiff,
    Moved,
    Reason,
    Receipt,
    StaleWrite,
    Task,
    TaskDiff,
    TaskFailure,
    TaskMoment,
    TaskStatus,
    Timeline,
)
from api.sdk.async_client import AsyncTaskLedger
from api.sdk.bulk_acts import BulkAct, ChosenTask, Found
from api.sdk.calls import Page
from api.sdk.changes import Change
from api.sdk.dead_letters import DeadLetter, LetterAct, LetterActTaken
from api.sdk.erasures import Erasure
from api.sdk.errors import (
    ApiError,
    ArchivedError,
    ClientSettingError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    RunFailedError,
    StillAtWorkError,
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
from api.sdk.failures import FailureGroup, FailureHour, Figures, Latencies, Stats
from api.sdk.log import AuditEntry
from api.sdk.options import (
    AuditFilter,
    EventFilter,
    LetterChoice,
    LetterFilter,
    LogFilter,
    NewTask,
    SubmitOptions,
    TaskChoice,
    TaskFilter,
    TaskOptions,
)
from api.sdk.projections import Difference, Halt, Projection, Run
from api.sdk.queues import Queue
from api.sdk.retries import Retries
from api.sdk.schedules import Fire, Fired, Schedule
from api.sdk.seals import Archive, Evidence, Seal
from api.sdk.server import Broker, Candidate, Health, QueueDepth, Relay, RelayPosition
from api.sdk.sync_client import TaskLedger
from api.sdk.terms import ClientOptions
from api.sdk.webhooks import Delivery, Webhook, WebhookFilter, WebhookOptions
from api.sdk.workers import TaskAtWork, Worker, WorkerList

__all__ = [
    "ApiError",
    "Archive",
    "ArchivedError",
    "AsyncTaskLedger",
    "AuditEntry",
    "AuditFilter",
    "Broker",
    "BulkAct",
    "Candidate",
    "Change",
    "ChosenTask",
    "ClientOptions",
    "ClientSettingError",
    "Commanded",
    "ConflictError",
    "ConnectionFailedError",
    "DeadLetter",
    "Delivery",
    "Difference",
    "Erasure",
    "Event",
    "EventFilter",
    "Evidence",
    "Explanation",
    "FailureGroup",
    "FailureHour",
    "Figures",
    "Fire",
    "Fired",
    "ForbiddenError",
    "Found",
    "Halt",
    "Health",
    "IdempotencyKeyReusedError",
    "InvalidRequestError",
    "Lane",
    "Latencies",
    "LedgerCounts",
    "LedgerDiff",
    "LetterAct",
    "LetterActTaken",
    "LetterChoice",
    "LetterFilter",
    "LogFilter",
    "Moved",
    "NewTask",
    "NotFoundError",
    "Page",
    "Projection",
    "Queue",
    "QueueDepth",
    "RateLimitedError",
    "Reason",
    "Receipt",
    "Relay",
    "RelayPosition",
    "Retries",
    "Run",
    "RunFailedError",
    "Schedule",
    "Seal",
    "StaleWrite",
    "Stats",
    "StillAtWorkError",
    "SubmitManyError",
    "SubmitOptions",
    "Task",
    "TaskAtWork",
    "TaskCancelledError",
    "TaskChoice",
    "TaskDiff",
    "TaskEndedError",
    "TaskFailedError",
    "TaskFailure",
    "TaskFilter",
    "TaskLedger",
    "TaskLedgerError",
    "TaskMoment",
    "TaskOptions",
    "TaskStatus",
    "Timeline",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
    "Webhook",
    "WebhookFilter",
    "WebhookOptions",
    "Worker",
    "WorkerList",
]
