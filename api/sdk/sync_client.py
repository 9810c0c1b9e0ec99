"""TaskLedger: the blocking client."""

from typing import Self, Unpack

from api.sdk.bulk_acts import BulkActs
from api.sdk.connection import Connection
from api.sdk.dead_letters import DeadLetters
from api.sdk.erasures import Erasures
from api.sdk.failures import Failures
from api.sdk.log import LogOperations
from api.sdk.operations import Blocking
from api.sdk.projections import Projections
from api.sdk.queues import Queues
from api.sdk.schedules import Schedules
from api.sdk.seals import Seals
from api.sdk.server import Server
from api.sdk.tasks import TaskOperations
from api.sdk.terms import ClientOptions
from api.sdk.webhooks import Webhooks
from api.sdk.workers import Workers


class TaskLedger(TaskOperations, LogOperations, Blocking):
    """A client of a running Task Ledger; threads may share it.

    >>> with TaskLedger() as ledger:
    ...     receipt = ledger.submit("echo", {"to": "ada"})
    ...     ledger.wait(receipt.task_id, timeout=30)
    {'to': 'ada'}

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
        connection = Connection(base_url, options)
        super().__init__(connection)
        self.queues = Queues(connection)
        self.dead_letters = DeadLetters(connection)
        self.bulk_acts = BulkActs(connection)
        self.schedules = Schedules(connection)
        self.workers = Workers(connection)
        self.webhooks = Webhooks(connection)
        self.projections = Projections(connection)
        self.erasures = Erasures(connection)
        self.failures = Failures(connection)
        self.seals = Seals(connection)
        self.server = Server(connection)

    def __repr__(self) -> str:
        return f"TaskLedger({self.connection!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()
