"""The jobs with Procrastinate."""

import asyncio

import procrastinate

from tests.bench.peers.programs.job import INPUT, Job, environment_job, run
from tests.bench.peers.programs.notes import note

given = environment_job()
_connections = int(given.settings.get("connections", "10"))
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=given.database_url, min_size=_connections, max_size=_connections
    )
)


async def _noop(value: str) -> None:  # noqa: ARG001 - an argument of a job has a name
    note()


noop = app.task(_noop, name="noop", queue=given.queue, pass_context=False)


def enqueue(job: Job) -> None:
    """Defer jobs one by one, many at once over the pool."""
    asyncio.run(_enqueue(job))


def batch(job: Job) -> None:
    """Defer jobs in batches, a transaction each."""
    asyncio.run(_batch(job))


def work(job: Job) -> None:
    """Be the worker."""
    asyncio.run(_work(job))


def prepare(_: Job) -> None:
    """Make the tables."""
    asyncio.run(_prepare())


async def _prepare() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def _enqueue(job: Job) -> None:
    async with app.open_async():
        await job.measure_calls_async(lambda: noop.defer_async(value=INPUT))


async def _batch(job: Job) -> None:
    async with app.open_async():
        await job.measure_batches_async(
            lambda size: noop.batch_defer_async(*({"value": INPUT} for _ in range(size)))
        )


async def _work(job: Job) -> None:
    async with app.open_async():
        await app.run_worker_async(
            queues=[job.queue], concurrency=job.number("concurrency"), install_signal_handlers=False
        )


if __name__ == "__main__":
    run({"prepare": prepare, "enqueue": enqueue, "batch": batch, "work": work})
