"""The jobs with PgQueuer."""

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

from tests.bench.peers.programs.job import INPUT, Job, environment_job, run
from tests.bench.peers.programs.notes import note

given = environment_job()


def prepare(_: Job) -> None:
    """Make the tables."""
    uvloop.run(_prepare())


def enqueue(job: Job) -> None:
    """Enqueue jobs one by one, many at once over a pool."""
    uvloop.run(_enqueue(job))


def batch(job: Job) -> None:
    """Enqueue jobs in batches, a statement each."""
    uvloop.run(_batch(job))


def work(job: Job) -> None:
    """Be the worker."""
    uvloop.run(_work(job))


async def _prepare() -> None:
    connection = await asyncpg.connect(given.database_url)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def _enqueue(job: Job) -> None:
    connections = job.number("connections")
    async with asyncpg.create_pool(given.database_url, min_size=connections, max_size=connections) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await job.measure_calls_async(lambda: queries.enqueue("noop", INPUT.encode()))


async def _batch(job: Job) -> None:
    connection = await asyncpg.connect(given.database_url)
    queries = Queries(AsyncpgDriver(connection))
    await job.measure_batches_async(
        lambda size: queries.enqueue(["noop"] * size, [INPUT.encode()] * size, [0] * size)
    )
    await connection.close()


async def _work(job: Job) -> None:
    connections = job.number("connections")
    async with asyncpg.create_pool(given.database_url, min_size=connections, max_size=connections) as pool:
        queue = PgQueuer(AsyncpgPoolDriver(pool))
        queue.entrypoint("noop")(_noop)
        await queue.run(batch_size=job.number("batch_size"))


async def _noop(_: object) -> None:
    note()


if __name__ == "__main__":
    run({"prepare": prepare, "enqueue": enqueue, "batch": batch, "work": work})
