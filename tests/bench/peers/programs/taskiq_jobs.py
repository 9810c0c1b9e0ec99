"""The jobs with taskiq and taskiq-aio-pika."""

import uvloop
from taskiq.cli.worker.cmd import WorkerCMD
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.exchange import Exchange
from taskiq_aio_pika.queue import Queue, QueueType

from tests.bench.peers.programs.job import INPUT, Job, environment_job, run
from tests.bench.peers.programs.notes import note

given = environment_job()
broker = AioPikaBroker(
    given.rabbitmq_url,
    qos=int(given.settings.get("prefetch", "10")),
    exchange=Exchange(name=given.queue),
    task_queues=[Queue(name=given.queue, type=QueueType.QUORUM, durable=True)],
    dead_letter_queue=Queue(name=f"{given.queue}.dead"),
)


async def _noop(_: str) -> None:
    note()


noop = broker.task(task_name="noop")(_noop)


def enqueue(job: Job) -> None:
    """Send tasks one by one, many at once over the broker's one channel."""
    uvloop.run(_enqueue(job))


def work(job: Job) -> None:
    """Be the worker."""
    arguments = [
        "tests.bench.peers.programs.taskiq_jobs:broker",
        *("--workers", job.settings["workers"], "--max-async-tasks", job.settings["concurrency"]),
        *("--max-prefetch", job.settings["prefetch"], "--ack-type", "when_executed", "--log-level", "WARNING"),
    ]
    WorkerCMD().exec(arguments)


async def _enqueue(job: Job) -> None:
    await broker.startup()
    await job.measure_calls_async(lambda: noop.kiq(INPUT))
    await broker.shutdown()


if __name__ == "__main__":
    run({"enqueue": enqueue, "work": work})
