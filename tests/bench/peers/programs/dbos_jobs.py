"""The jobs with DBOS."""

import threading

import sqlalchemy
from dbos import DBOS, DBOSClient

from tests.bench.peers.programs.job import INPUT, Job, environment_job, run
from tests.bench.peers.programs.notes import note

given = environment_job()
_url = given.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
_options = {"queue_name": given.queue, "workflow_name": "noop", "app_version": "1"}


def prepare(_: Job) -> None:
    """Make the tables, and the queue."""
    _launch(given)
    DBOS.destroy()


def enqueue(job: Job) -> None:
    """Enqueue workflows one by one, from several threads, each over a connection of the pool."""
    client = DBOSClient(system_database_url=_url, application_name="bench")
    job.measure_calls(lambda: client.enqueue(dict(_options), INPUT))


def batch(job: Job) -> None:
    """Enqueue workflows, many in one transaction of ours."""
    client = DBOSClient(system_database_url=_url, application_name="bench")
    engine = sqlalchemy.create_engine(_url)

    def enqueue_some(size: int) -> None:
        with engine.begin() as connection:
            for _ in range(size):
                client.enqueue_in_transaction(connection, dict(_options), INPUT)

    job.measure_batches(enqueue_some)


def work(job: Job) -> None:
    """Be the worker."""
    _launch(job)
    threading.Event().wait()


def _launch(job: Job) -> None:
    threads = int(job.settings.get("threads", "16"))
    DBOS(
        config={
            "name": "bench", "system_database_url": _url, "application_version": "1", "log_level": "WARNING",
            "sys_db_pool_size": int(job.settings.get("connections", "20")), "max_executor_threads": threads,
        }
    )  # fmt: skip
    DBOS.workflow(name="noop")(_noop)
    DBOS.launch()
    limit = job.settings.get("worker_concurrency")
    DBOS.register_queue(
        job.queue,
        worker_concurrency=None if limit is None else int(limit),
        polling_interval_sec=float(job.settings.get("polling_seconds", "1.0")),
        on_conflict="always_update",
    )


def _noop(_: str) -> None:
    note()


if __name__ == "__main__":
    run({"prepare": prepare, "enqueue": enqueue, "batch": batch, "work": work})
