"""The measurements: durable submits, drain through RabbitMQ, latency at a steady rate."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx

from ledger.bootstrap import open_ledger
from ledger.migrate import migrate
from ledger.settings import load_settings
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from tests.bench.processors import ProcessorSeconds, used_by
from tests.services.cluster import Cluster
from tests.services.postgres import chosen_binaries, run_apart, url_of_database
from tests.services.private_postgres import PrivatePostgres
from tests.services.private_rabbitmq import PrivateRabbitmq, find_rabbitmq_server
from tests.services.processes import processes_within

_DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB", "max_wal_size": "4GB"}
_SUBMITTERS = 256
SUBMISSION = '{"input":"hello world"}'
_DRAIN_SECONDS_MAX = 300.0
_LATENCY_RATE_PER_SECOND = 50

PUBLISHED = "SELECT position FROM ledger.readers WHERE name = 'relay'"
LAST = "SELECT coalesce(max(position), 0) FROM ledger.events"
COMPLETED = "SELECT count(*) FROM ledger.events WHERE type = 'task.completed'"
DRAIN_SECONDS = """
    SELECT extract(epoch FROM max(recorded_at) FILTER (WHERE type = 'task.completed')
                            - min(recorded_at) FILTER (WHERE type = 'task.started'))::float8
      FROM ledger.events
"""
_LATENCIES = """
    SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
               ORDER BY extract(epoch FROM completed.recorded_at - submitted.recorded_at)::float8 * 1000)
      FROM ledger.events AS submitted
      JOIN ledger.events AS completed
        ON completed.task_id = submitted.task_id AND completed.type = 'task.completed'
     WHERE submitted.version = 1
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One row of the table."""

    work: str
    measured: str
    aim: str
    elapsed_seconds: float
    processor_seconds: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)  # for the guard; the unit is the end of each name
    load: tuple[float, float] = (0.0, 0.0)  # of the machine, over a minute, before and after


@dataclass(frozen=True, slots=True)
class Servers:
    """The private servers of a run."""

    home: Path
    postgres: PrivatePostgres
    rabbitmq: PrivateRabbitmq

    @contextmanager
    def cluster(self, url: str | None = None, **environment: str) -> Iterator[Cluster]:
        """Make a cluster on an empty database, a fresh one where none is given, with nothing started yet."""
        url = url or self.database()
        run_apart(_migrated(url))
        home = self.home / url.rpartition("/")[2].partition("?")[0]
        with Cluster(url, self.rabbitmq.url, home, environment=environment) as cluster:
            yield cluster

    def database(self) -> str:
        """Make a fresh database with nothing in it, and return its URL."""
        name = f"bench_{secrets.token_hex(4)}"
        run_apart(_execute(self.postgres.url, f'CREATE DATABASE "{name}"'))
        return url_of_database(self.postgres.url, name)

    def used(self) -> dict[str, float]:
        """Return the processor seconds that each server has used so far."""
        return {
            "postgres": sum(map(used_by, processes_within(self.postgres.home))),
            "rabbitmq": sum(map(used_by, processes_within(self.rabbitmq.home))),
        }


@contextmanager
def open_servers(home: Path) -> Iterator[Servers]:
    """Start a durable Postgres and a RabbitMQ below this directory, and stop them on leaving."""
    script = find_rabbitmq_server()
    if script is None:
        raise SystemExit("the benchmark needs rabbitmq-server")
    home.chmod(0o755)
    postgres = PrivatePostgres(home / "postgres", binaries=chosen_binaries(), tuning=_DURABLE)
    rabbitmq = PrivateRabbitmq(home / "rabbitmq", script=script)
    postgres.start()
    try:
        rabbitmq.start()
        yield Servers(home, postgres, rabbitmq)
    finally:
        rabbitmq.stop()
        postgres.stop()


async def durable_submits(servers: Servers, scale: float) -> Measured:
    """Submit over HTTP from 64 connections to one API process."""
    requests = int(40_000 * scale)
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        cluster.start("api")
        await asyncio.to_thread(cluster.wait_until_alive)
        await load(f"{cluster.url}/tasks", requests // 10, body=SUBMISSION)
        used.start()
        report = await load(f"{cluster.url}/tasks", requests, body=SUBMISSION)
        used.stop()
    return Measured(
        work="durable POST /tasks, one API process, 64 connections",
        measured=f"{report['requests_per_second']:.0f}/s, p50 {report['p50_ms']} ms, p99 {report['p99_ms']} ms",
        aim="8,000/s, p99 25 ms",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
        figures={"submits_per_second": report["requests_per_second"], "submit_p50_ms": report["p50_ms"]},
    )


async def drain(servers: Servers, scale: float) -> Measured:
    """Run tasks that wait in RabbitMQ already with one worker process, relay and projector at work."""
    tasks = int(10_000 * scale)
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        await submit(cluster.database_url, tasks)
        cluster.start("relay")
        cluster.start("projector")
        connection = await asyncpg.connect(cluster.database_url)
        await until(connection, PUBLISHED, await connection.fetchval(LAST))
        used.start()
        cluster.start("worker")
        await until(connection, COMPLETED, tasks)
        used.stop()
        seconds = await connection.fetchval(DRAIN_SECONDS)
        await connection.close()
    return Measured(
        work=f"drain of {tasks:,} no-op tasks through RabbitMQ, one worker process",
        measured=f"{tasks / seconds:.0f} tasks/s",
        aim="2,500 tasks/s",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
        figures={"drained_per_second": tasks / seconds},
    )


async def latency(servers: Servers, scale: float) -> Measured:
    """Submit at a steady rate and compare the ledger's own times of Submitted and Completed."""
    tasks = int(_LATENCY_RATE_PER_SECOND * 20 * scale)
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        for role in ("relay", "projector", "scheduler", "worker", "api"):
            cluster.start(role)
        await asyncio.to_thread(cluster.wait_until_ready)
        await _submit_steadily(cluster.url, _LATENCY_RATE_PER_SECOND)
        connection = await asyncpg.connect(cluster.database_url)
        used.start()
        await _submit_steadily(cluster.url, tasks)
        await until(connection, COMPLETED, tasks + _LATENCY_RATE_PER_SECOND)
        used.stop()
        p50, p99 = await connection.fetchval(_LATENCIES)
        await connection.close()
    return Measured(
        work=f"submit → completed at {_LATENCY_RATE_PER_SECOND}/s",
        measured=f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        aim="p50 8 ms, p99 30 ms",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
        figures={"submit_to_completed_p50_ms": p50},
    )


Measurement = Callable[[Servers, float], Coroutine[None, None, Measured]]


@contextmanager
def processors(servers: Servers, cluster: Cluster) -> Iterator[ProcessorSeconds]:
    """Count what every process of the servers and the cluster uses."""
    yield ProcessorSeconds(lambda: {**servers.used(), **_used_by_roles(cluster)})


def _used_by_roles(cluster: Cluster) -> dict[str, float]:
    used: dict[str, float] = {}
    for role in cluster.running:
        name = role.name or role.role
        used[name] = used.get(name, 0.0) + used_by(role.process.pid)
    return used


async def load(
    url: str, requests: int, *, body: str | None = None, each: Path | None = None, headers: Sequence[str] = ()
) -> dict[str, float]:
    """Send so many requests from 64 connections of another process, and return its report (tests.bench.load)."""
    given = (
        "--requests",
        str(requests),
        *(("--body", body) if body else ()),
        *(("--each", str(each)) if each else ()),
        *(argument for header in headers for argument in ("--header", header)),
    )
    generator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load", url, "--connections", "64", *given),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await generator.communicate()
    report: dict[str, float] = json.loads(output)
    return report


async def submit(database_url: str, count: int, **specification: object) -> None:
    """Submit so many tasks, past HTTP, many at once."""
    origin = Origin(actor="bench")
    task = TaskSpecification(**{"kind": "echo", "input": "hello", **specification})  # type: ignore[arg-type]  # each of its own type
    async with open_ledger(load_settings(database_url=database_url)) as ledger:

        async def submit_some(number: int) -> None:
            for _ in range(number):
                await ledger.commands.submit(task, origin=origin)

        await asyncio.gather(*(submit_some(count // _SUBMITTERS) for _ in range(_SUBMITTERS - 1)))
        await submit_some(count - (count // _SUBMITTERS) * (_SUBMITTERS - 1))


async def _submit_steadily(url: str, count: int) -> None:
    async with httpx.AsyncClient(base_url=url) as client, asyncio.TaskGroup() as group:
        began_at = time.monotonic()
        for number in range(count):
            due_at = began_at + number / _LATENCY_RATE_PER_SECOND
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
            group.create_task(client.post("/tasks", json={"input": "hello", "kind": "echo"}))


async def until(connection: asyncpg.Connection, statement: str, value: int) -> None:
    """Return when the statement's value has reached this one."""
    async with asyncio.timeout(_DRAIN_SECONDS_MAX):
        while (await connection.fetchval(statement) or 0) < value:
            await asyncio.sleep(0.1)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def _migrated(url: str) -> None:
    await migrate(url)
