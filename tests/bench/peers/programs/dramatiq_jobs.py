"""The jobs with Dramatiq."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.cli import main, make_argument_parser

from tests.bench.peers.programs.job import INPUT, Job, environment_job, run
from tests.bench.peers.programs.notes import note

given = environment_job()
broker = RabbitmqBroker(url=given.rabbitmq_url, confirm_delivery=True)
dramatiq.set_broker(broker)


def _noop(_: str) -> None:
    note()


noop = dramatiq.actor(_noop, actor_name="noop", queue_name=given.queue)


def enqueue(job: Job) -> None:
    """Send messages one by one, from several threads, each over a channel of its own."""
    broker.declare_queue(job.queue, ensure=True)
    job.measure_calls(lambda: noop.send(INPUT))


def batch(job: Job) -> None:
    """Send groups of messages."""
    broker.declare_queue(job.queue, ensure=True)
    job.measure_batches(lambda size: dramatiq.group([noop.message(INPUT) for _ in range(size)]).run())


def work(job: Job) -> None:
    """Be the worker."""
    options = ["--processes", job.settings["processes"], "--threads", job.settings["threads"]]
    arguments = [*options, "tests.bench.peers.programs.dramatiq_jobs:broker"]
    main(make_argument_parser().parse_args(arguments))


if __name__ == "__main__":
    run({"enqueue": enqueue, "batch": batch, "work": work})
