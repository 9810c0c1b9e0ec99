"""`task_status` as a projection of the `eventsourcing` library, in the way that its documentation shows.

Nothing imports this module at the top: the library's recorders for Postgres need psycopg, of the extra `bench`.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from urllib.parse import unquote, urlsplit
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from ledger.task import Task
from ledger.task_events import Failed, TaskEvent

HISTORIES_SCHEMA = "library"
VIEW_SCHEMA = "library_view"

_FILL_EVENTS_MAX = 5000
_RUN_SECONDS_MAX = 1800.0
_LOOK_SECONDS = 0.02


class TaskHistories(Application[UUID]):
    """The application whose recorder holds the histories of the tasks."""


class TaskStatusView(PostgresTrackingRecorder):
    """A row a task, written in one transaction with the position of the event that it comes from."""

    def __init__(self, datastore: PostgresDatastore, *, tracking_table_name: str) -> None:
        super().__init__(datastore, tracking_table_name=tracking_table_name)
        self.position = 0
        schema = Identifier(datastore.schema)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {schema}.task_status "
                "(task_id uuid PRIMARY KEY, status text NOT NULL, version integer NOT NULL)"
            ).format(schema=schema)
        )
        self._upsert = SQL(
            "INSERT INTO {schema}.task_status (task_id, status, version) VALUES (%s, %s, %s) "
            "ON CONFLICT (task_id) DO UPDATE SET status = EXCLUDED.status, version = EXCLUDED.version"
        ).format(schema=schema)
        self._update_version = SQL("UPDATE {schema}.task_status SET version = %s WHERE task_id = %s").format(
            schema=schema
        )

    def move(self, event: TaskEvent, status: str, tracking: Tracking) -> None:
        """Record that the event brought the task into this status."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(self._upsert, (event.originator_id, status, event.originator_version), prepare=True)
            self._insert_tracking(cursor, tracking)
        self.position = tracking.notification_id

    def stay(self, event: TaskEvent, tracking: Tracking) -> None:
        """Record that the event left the task in the status that it had."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(self._update_version, (event.originator_version, event.originator_id), prepare=True)
            self._insert_tracking(cursor, tracking)
        self.position = tracking.notification_id


class TaskStatusProjection(Projection[TaskStatusView]):
    """Folds each event of a task into its row."""

    name = "task_status"

    @singledispatchmethod
    def process_event(self, domain_event: TaskEvent, tracking: Tracking) -> None:
        """Leave the status as it is, for progress, a request to cancel and whatever else does not move a task."""
        self.view.stay(domain_event, tracking)

    @process_event.register(Task.Submitted)
    @process_event.register(Task.Released)
    @process_event.register(Task.Held)
    @process_event.register(Task.Retried)
    def _(self, domain_event: TaskEvent, tracking: Tracking) -> None:
        self.view.move(domain_event, "PENDING", tracking)

    @process_event.register(Task.Started)
    def _(self, domain_event: TaskEvent, tracking: Tracking) -> None:
        self.view.move(domain_event, "RUNNING", tracking)

    @process_event.register(Task.Completed)
    def _(self, domain_event: TaskEvent, tracking: Tracking) -> None:
        self.view.move(domain_event, "COMPLETED", tracking)

    @process_event.register(Failed)
    def _(self, domain_event: Failed, tracking: Tracking) -> None:
        self.view.move(domain_event, "FAILED" if domain_event.retry_at is None else "PENDING", tracking)

    @process_event.register(Task.Cancelled)
    def _(self, domain_event: TaskEvent, tracking: Tracking) -> None:
        self.view.move(domain_event, "CANCELLED", tracking)


def driver() -> str:
    """Name the driver as it is installed: its C implementation is faster than the one in Python."""
    return f"psycopg {psycopg.__version__} ({psycopg.pq.__impl__})"


def environment_of(url: str) -> Mapping[str, str]:
    """Return what the library has to know to use this database."""
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_HOST": str(parts.hostname),
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_USER": unquote(parts.username or ""),
        "POSTGRES_PASSWORD": unquote(parts.password or ""),
        "POSTGRES_SCHEMA": HISTORIES_SCHEMA,
        f"{TaskStatusProjection.name.upper()}_POSTGRES_SCHEMA": VIEW_SCHEMA,
    }


def record(environment: Mapping[str, str], events: Iterable[TaskEvent]) -> int:
    """Record the events, in their order, in the library's own tables, and return the position of the last one."""
    application = TaskHistories(dict(environment))
    position = 0
    left = iter(events)
    while batch := list(islice(left, _FILL_EVENTS_MAX)):
        stored = [application.mapper.to_stored_event(event) for event in batch]
        positions: Sequence[int] = application.recorder.insert_events(stored) or ()
        position = positions[-1]
    application.close()
    return position


def project(environment: Mapping[str, str], *, upto: int) -> None:
    """Run the library's runner until its view is at this position.

    Raises:
        TimeoutError: it is not, in half an hour.
    """
    deadline = time.monotonic() + _RUN_SECONDS_MAX
    with ProjectionRunner(
        application_class=TaskHistories,
        projection_class=TaskStatusProjection,
        view_class=TaskStatusView,
        env=dict(environment),
    ) as runner:
        # Its own wait() asks the database, up to 0.8 s late: that would count against it.
        while runner.view.position < upto and not runner.is_interrupted.wait(_LOOK_SECONDS):
            if time.monotonic() > deadline:
                message = f"the runner is at {runner.view.position} of {upto} after {_RUN_SECONDS_MAX} s"
                raise TimeoutError(message)
