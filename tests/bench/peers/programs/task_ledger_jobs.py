"""The jobs with Task Ledger in process, for an application that submits by the library, not over HTTP."""

import asyncio

import uvloop

from api.up import run_up
from ledger.bootstrap import open_ledger
from ledger.migrate import migrate
from ledger.settings import load_settings
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from tests.bench.peers.programs.job import INPUT, Job, environment_job, run
from tests.bench.peers.programs.notes import note
from worker.registry import task_handler

given = environment_job()
_TASK = TaskSpecification(kind="noop", input=INPUT)
_ORIGIN = Origin(actor="bench")


@task_handler("noop")
async def noop(_: str) -> None:
    """Do nothing, and note it."""
    note()


def prepare(job: Job) -> None:
    """Make the tables."""
    asyncio.run(_prepare(job))


def enqueue(job: Job) -> None:
    """Submit tasks one by one, many at once."""
    uvloop.run(_enqueue(job))


def batch(job: Job) -> None:
    """Submit tasks in batches, a transaction each."""
    uvloop.run(_batch(job))


def work(job: Job) -> None:
    """Be every role in one process, with the broker in memory; the handler above is registered already."""
    uvloop.run(run_up(asyncio.Event(), {"database_url": job.database_url, "port": job.number("port")}))


async def _prepare(job: Job) -> None:
    await migrate(job.database_url)


async def _enqueue(job: Job) -> None:
    async with open_ledger(load_settings(database_url=given.database_url)) as ledger:
        await job.measure_calls_async(lambda: ledger.commands.submit(_TASK, origin=_ORIGIN))


async def _batch(job: Job) -> None:
    async with open_ledger(load_settings(database_url=given.database_url)) as ledger:
        await job.measure_batches_async(lambda size: ledger.commands.submit_many([_TASK] * size, origin=_ORIGIN))


if __name__ == "__main__":
    run({"prepare": prepare, "enqueue": enqueue, "batch": batch, "work": work})
