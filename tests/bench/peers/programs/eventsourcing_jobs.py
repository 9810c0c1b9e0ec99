"""The jobs with the recorder for Postgres of the `eventsourcing` library: it appends events, and runs nothing."""

from urllib.parse import unquote, urlsplit
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from tests.bench.peers.programs.job import Job, environment_job, run

given = environment_job()
_STATE = b'{"kind":"echo","input":"hello world","queue":"default","priority":5,"max_attempts":3}'


def prepare(job: Job) -> None:
    """Make the table."""
    _recorder(job)


def enqueue(job: Job) -> None:
    """Append one event a transaction, from several threads, each over a connection of the pool."""
    recorder = _recorder(job)
    job.measure_calls(lambda: recorder.insert_events([_submitted()]))


def batch(job: Job) -> None:
    """Append many events a transaction."""
    recorder = _recorder(job)
    job.measure_batches(lambda size: recorder.insert_events([_submitted() for _ in range(size)]))


def _submitted() -> StoredEvent:
    return StoredEvent(uuid4(), 1, "task.submitted", _STATE)


def _recorder(job: Job) -> PostgresApplicationRecorder:
    parts = urlsplit(given.database_url)
    connections = int(job.settings.get("connections", "5"))
    datastore = PostgresDatastore(
        parts.path.removeprefix("/"), str(parts.hostname), str(parts.port),
        unquote(parts.username or ""), unquote(parts.password or ""),
        pool_size=connections, max_overflow=0, max_waiting=connections * 100,
    )  # fmt: skip
    recorder = PostgresApplicationRecorder(datastore, events_table_name="stored_events")
    recorder.create_table()
    return recorder


if __name__ == "__main__":
    run({"prepare": prepare, "enqueue": enqueue, "batch": batch})
