"""The jobs with Celery."""

from celery import Celery, group

from tests.bench.peers.programs.job import INPUT, Job, environment_job, run
from tests.bench.peers.programs.notes import note

given = environment_job()
app = Celery("bench", broker=given.rabbitmq_url)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_pool_limit=int(given.settings.get("connections", "10")),
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_exchange=given.queue,
    task_default_queue=given.queue,
    task_default_queue_type="quorum",
    task_default_routing_key=given.queue,
    task_default_delivery_mode="persistent",
    task_ignore_result=given.settings.get("results") != "postgres",
    task_publish_retry=True,
    worker_prefetch_multiplier=int(given.settings.get("prefetch", "4")),
)
if given.settings.get("results") == "postgres":
    app.conf.update(
        result_backend="db+" + given.database_url.replace("postgresql://", "postgresql+psycopg2://", 1),
        database_short_lived_sessions=False,
        database_engine_options={"pool_size": 10},
    )


def _noop(_: str) -> None:
    note()


noop = app.task(name="noop")(_noop)


def enqueue(job: Job) -> None:
    """Send tasks one by one, from several threads, each over a producer of the pool."""
    _declare()
    job.measure_calls(lambda: noop.delay(INPUT))


def batch(job: Job) -> None:
    """Send groups of tasks."""
    _declare()
    job.measure_batches(lambda size: group(noop.s(INPUT) for _ in range(size)).apply_async())


def work(job: Job) -> None:
    """Be the worker."""
    options = ["--pool", job.settings["pool"], "--concurrency", job.settings["concurrency"]]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    app.worker_main(["worker", *options, *quiet])


def _declare() -> None:
    with app.connection_for_write() as connection:
        app.amqp.queues[given.queue](connection.default_channel).declare()


if __name__ == "__main__":
    run({"enqueue": enqueue, "batch": batch, "work": work})
