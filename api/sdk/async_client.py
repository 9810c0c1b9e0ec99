"""AsyncTaskLedger: the client for an event loop."""

from typing import Self, Unpack

from api.sdk.bulk_acts import AsyncBulkActs
from api.sdk.connection import AsyncConnection
from api.sdk.dead_letters import AsyncDeadLetters
from api.sdk.erasures import AsyncErasures
from api.sdk.failures import AsyncFailures
from api.sdk.log import LogOperations
from api.sdk.operations import Looping
from api.sdk.projections import AsyncProjections
from api.sdk.queues import AsyncQueues
from api.sdk.schedules import AsyncSchedules
from api.sdk.seals import AsyncSeals
from api.sdk.server import AsyncServer
from api.sdk.tasks import TaskOperations
from api.sdk.terms import ClientOptions
from api.sdk.webhooks import AsyncWebhooks
from api.sdk.workers import AsyncWorkers


class AsyncTaskLedger(TaskOperations, LogOperations, Looping):
    """A client of a running Task Ledger, for an event loop.

        async with AsyncTaskLedger() as ledger:
            receipt = await ledger.submit("echo", {"to": "ada"})
            result = await ledger.wait(receipt.task_id, timeout=30)

    Args:
        base_url: where it runs, for example `http://127.0.0.1:8080`; LEDGER_URL when absent.
        options: how to connect, see `ClientOptions`.

    Attributes:
        queues: what operators ask of queues.
        dead_letters: what failed for good.
        bulk_acts: what is done about many tasks or dead letters at once.
        schedules: recurring tasks.
        workers: who runs tasks.
        webhooks: who is told of events.
        projections: the read models, and their runs.
        erasures: what is erased by tag.
        failures: what fails, in groups, and the statistics.
        seals: what fixes the log, the evidence, and the archives.
        server: its health, its metrics, the relay.

    Every method may raise ConnectionFailedError, UnavailableError, RateLimitedError, UnauthenticatedError,
    ForbiddenError and UnexpectedAnswerError beside what it says itself.
    """

    def __init__(self, base_url: str | None = None, **options: Unpack[ClientOptions]) -> None:
        connection = AsyncConnection(base_url, options)
        super().__init__(connection)
        self.queues = AsyncQueues(connection)
        self.dead_letters = AsyncDeadLetters(connection)
        self.bulk_acts = AsyncBulkActs(connection)
        self.schedules = AsyncSchedules(connection)
        self.workers = AsyncWorkers(connection)
        self.webhooks = AsyncWebhooks(connection)
        self.projections = AsyncProjections(connection)
        self.erasures = AsyncErasures(connection)
        self.failures = AsyncFailures(connection)
        self.seals = AsyncSeals(connection)
        self.server = AsyncServer(connection)

    def __repr__(self) -> str:
        return f"AsyncTaskLedger({self.connection!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.connection.close()
