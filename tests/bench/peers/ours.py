"""Task Ledger as two contenders: over HTTP and RabbitMQ as processes of its roles, and in process.

- A task is an event in Postgres, committed when the submit returns; many submits at once share a commit.
- Over HTTP: one API process, 64 keep-alive connections. Drained by one worker process, while relay and projector
  run.
- In process: `ledger.commands`, 64 at once. Drained by `taskledger up`, every role in one process with the
  broker in memory; nothing can wait there, so the relay's reading of the backlog is part of it.
- What it records: an event with its content for each change (submitted, started, completed, …), and the read
  model.
"""

import asyncio
import json
from dataclasses import replace

import asyncpg

from tests.bench.batches import submit_batches
from tests.bench.measurements import LAST, PUBLISHED, SUBMISSION, load, processors, submit, until
from tests.bench.peers.bench import Bench, Place
from tests.bench.peers.cell import follow, job_text
from tests.bench.peers.peer import JobName, Peer, Task
from tests.bench.peers.programs.job import INPUT
from tests.bench.peers.programs.notes import DIRECTORY
from tests.bench.peers.sample import Sample
from tests.services.cluster import Cluster
from tests.services.processes import stable_port

_BATCH = 1000
_PROGRAM = "tests.bench.peers.programs.task_ledger_jobs"
_DURABILITY = "Postgres, committed"
_RECORDS = "an event with content for each change, and a read model"

OURS = Peer(
    name="task-ledger",
    requirements=(),
    program=_PROGRAM,
    jobs={
        JobName.ENQUEUE: Task(30_000, "POST /tasks, 64 connections, without their processor time"),
        JobName.BATCH: Task(80_000, "POST /tasks/batch of 1,000, without the client's processor time"),
        JobName.DRAIN: Task(10_000, "through RabbitMQ, one worker process beside relay and projector"),
    },
    durability=_DURABILITY,
    records=_RECORDS,
)
OURS_IN_PROCESS = Peer(
    name="task-ledger in process",
    requirements=(),
    program=_PROGRAM,
    jobs={
        JobName.ENQUEUE: Task(60_000, "commands.submit, 64 at once", {"concurrency": "64"}),
        JobName.BATCH: Task(100_000, "commands.submit_many of 1,000", {"batch": str(_BATCH)}),
        JobName.DRAIN: Task(12_000, "every role in one process, broker in memory", {"batch": str(_BATCH)}),
    },
    durability=_DURABILITY,
    records=_RECORDS,
    is_prepared=True,
)


def measure_ours(bench: Bench, job: JobName) -> Sample:
    """Do one job once with processes of the roles."""
    tasks = bench.scaled(OURS.jobs[job].tasks)
    with bench.place() as place:
        environment = {
            "BENCH_JOB": job_text(job, tasks, {}, place), DIRECTORY: str(place.notes), "LEDGER_APPS": _PROGRAM
        }  # fmt: skip
        with bench.servers.cluster(place.database_url, **environment) as cluster:
            match job:
                case JobName.ENQUEUE:
                    return asyncio.run(_enqueue(bench, cluster, tasks))
                case JobName.BATCH:
                    return asyncio.run(_batch(bench, cluster, tasks))
                case JobName.DRAIN:
                    return asyncio.run(_drain(bench, cluster, place, tasks))


def with_port(peer: Peer) -> Peer:
    """Return our program with a free port for its API to listen on while it drains."""
    drain = peer.jobs[JobName.DRAIN]
    listening = replace(drain, settings={**drain.settings, "port": str(stable_port())})
    return replace(peer, jobs={**peer.jobs, JobName.DRAIN: listening})


async def _enqueue(bench: Bench, cluster: Cluster, tasks: int) -> Sample:
    cluster.start("api")
    await asyncio.to_thread(cluster.wait_until_alive)
    with processors(bench.servers, cluster) as used:
        await load(f"{cluster.url}/tasks", tasks // 10, body=SUBMISSION)
        used.start()
        report = await load(f"{cluster.url}/tasks", tasks, body=SUBMISSION)
        used.stop()
    seconds = tasks / report["requests_per_second"]
    return Sample(tasks, seconds, report["p50_ms"], report["p99_ms"], used.seconds)


async def _batch(bench: Bench, cluster: Cluster, tasks: int) -> Sample:
    body = json.dumps([{"kind": "noop", "input": INPUT}] * _BATCH).encode()
    batches = max(1, tasks // _BATCH)
    cluster.start("api")
    await asyncio.to_thread(cluster.wait_until_alive)
    with processors(bench.servers, cluster) as used:
        await submit_batches(cluster.url, body, count=1)
        used.start()
        await submit_batches(cluster.url, body, count=batches)
        used.stop()
    return Sample(batches * _BATCH, used.elapsed_seconds, processor_seconds=used.seconds)


async def _drain(bench: Bench, cluster: Cluster, place: Place, tasks: int) -> Sample:
    await submit(cluster.database_url, tasks, kind="noop")
    cluster.start("relay")
    cluster.start("projector")
    connection = await asyncpg.connect(cluster.database_url)
    await until(connection, PUBLISHED, await connection.fetchval(LAST))
    await connection.close()
    with processors(bench.servers, cluster) as used:
        cluster.start("worker")
        noted = await asyncio.to_thread(follow, place.notes, tasks, used)
    return Sample(noted.tasks, noted.seconds, processor_seconds=used.seconds)
