"""Several processes of each role on one database and one broker: that they are right together, and what it costs.

On one machine more processes are not faster. What carries over is the processor time of each role per task: from
that follows how many of it, on machines of their own, a rate needs. Tasks are submitted first, while relays
publish and projectors fold, and run then; at the end every invariant is checked.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGCONT, SIGSTOP

import asyncpg
import httpx

from ledger.bootstrap import open_ledger
from ledger.doctor import examine
from ledger.settings import load_settings
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.bench.measurements import (
    COMPLETED,
    DRAIN_SECONDS,
    LAST,
    PUBLISHED,
    Measured,
    Servers,
    load,
    processors,
    until,
)
from tests.bench.processors import ProcessorSeconds
from tests.services.cluster import Cluster, RoleProcess
from tests.services.processes import stable_port

_TASKS = 10_000
_BODY = '{"input":"hello world"}'
_FOLDED = "SELECT position FROM ledger.checkpoints WHERE name = 'projection:task_status'"
_ALIVE = "SELECT count(*) FROM ledger.workers"
_STANDING = (
    "SELECT count(DISTINCT pid) FROM pg_locks WHERE classid = 19545 AND granted"  # relays and the scheduler
)
_LATE_SECONDS = 1.0
_READY_SECONDS_MAX = 60.0
_END_SECONDS_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many processes of each role there are, and among how many shards the log is divided."""

    apis: int = 1
    relays: int = 1
    workers: int = 1
    projectors: int = 1

    def __str__(self) -> str:
        return f"{self.apis} api, {self.relays} relay, {self.workers} worker, {self.projectors} projector"


async def one_of_each(servers: Servers, scale: float) -> Measured:
    """Run one process of each role."""
    return await _measured(servers, scale, Fleet())


async def several_of_each(servers: Servers, scale: float) -> Measured:
    """Run two APIs, two relays with two shards, four workers, one scheduler, two projectors."""
    return await _measured(servers, scale, Fleet(apis=2, relays=2, workers=4, projectors=2))


async def _measured(servers: Servers, scale: float, fleet: Fleet) -> Measured:
    tasks = int(_TASKS * scale) // fleet.apis * fleet.apis
    with (
        servers.cluster(LEDGER_RELAY_SHARDS=str(fleet.relays)) as cluster,
        processors(servers, cluster) as used,
    ):
        connection = await asyncpg.connect(cluster.database_url)
        urls, workers = await _start(cluster, fleet, connection)
        used.start()
        reports = await asyncio.gather(*(load(f"{url}/tasks", tasks // fleet.apis, body=_BODY) for url in urls))
        await until(connection, PUBLISHED, await connection.fetchval(LAST))
        for worker in workers:
            worker.process.send_signal(SIGCONT)
        await until(connection, COMPLETED, tasks)
        for position in (PUBLISHED, _FOLDED):
            await until(connection, position, await connection.fetchval(LAST))
        used.stop()
        seconds = await connection.fetchval(DRAIN_SECONDS)
        await connection.close()
        wrong = [*await _of_two_apis(urls), *await _breaches(cluster.database_url)]
    rate = sum(report["requests_per_second"] for report in reports)
    return Measured(
        work=f"{tasks:,} tasks through {fleet}, one scheduler",
        measured=f"{rate:.0f} submits/s, {tasks / seconds:.0f} tasks/s drained; {_costs(used, tasks)} us a task;"
        f" wrong: {', '.join(wrong) or 'nothing'}",
        aim="nothing wrong",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
    )


async def _start(
    cluster: Cluster, fleet: Fleet, connection: asyncpg.Connection
) -> tuple[list[str], list[RoleProcess]]:
    """Start everything; the workers sleep, so that neither their start nor their work counts before it is time."""
    urls = []
    for number in range(fleet.apis):
        port = stable_port()
        _named(cluster, "api", number, PORT=str(port))
        urls.append(f"http://127.0.0.1:{port}")
    for number in range(fleet.relays):
        _named(cluster, "relay", number)
    for number in range(fleet.projectors):
        _named(cluster, "projector", number)
    cluster.start("scheduler")
    workers = [_named(cluster, "worker", number) for number in range(fleet.workers)]
    async with asyncio.timeout(_READY_SECONDS_MAX):
        for url in urls:
            while not await _answers(url):
                await asyncio.sleep(0.1)
    await until(connection, _STANDING, fleet.relays + 1)
    await until(connection, _ALIVE, fleet.workers)
    for worker in workers:
        worker.process.send_signal(SIGSTOP)
    return urls, workers


def _named(cluster: Cluster, role: str, number: int, **environment: str) -> RoleProcess:
    started = cluster.start(role, **environment)
    started.name = f"{role} {number + 1}"
    return started


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url) as client:
        try:
            return (await client.get("/health/ready")).is_success
        except httpx.HTTPError:
            return False


async def _of_two_apis(urls: list[str]) -> list[str]:
    """Return what is wrong between the first API and the last: a submit, its repeat, and reading it to its end."""
    body, headers = {"kind": "echo", "input": 1}, {"Idempotency-Key": "of-two-apis"}
    async with httpx.AsyncClient(timeout=_END_SECONDS_MAX) as client:
        first = await client.post(f"{urls[0]}/tasks", json=body, headers=headers)
        again = await client.post(f"{urls[-1]}/tasks", json=body, headers=headers)
        task_id = first.json()["task_id"]
        wrong = [] if again.json()["task_id"] == task_id else ["an idempotency key made two tasks"]
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS_MAX):
                while (await client.get(f"{urls[-1]}/tasks/{task_id}/status")).json()["status"] != "COMPLETED":
                    await asyncio.sleep(0.1)
                return wrong
    return [*wrong, f"{task_id} is not completed after {_END_SECONDS_MAX:g} s"]


async def _breaches(database_url: str) -> list[str]:
    await asyncio.sleep(2 * _LATE_SECONDS)
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        findings = await examine(ledger, bound_seconds=_LATE_SECONDS)
        differences = await verify(ledger, TASK_STATUS)
    return [*map(str, findings), *map(str, differences)]


def _costs(used: ProcessorSeconds, tasks: int) -> str:
    by_role: dict[str, float] = defaultdict(float)
    for name, seconds in used.seconds.items():
        by_role[name.split()[0]] += seconds
    return _listed({role: seconds / tasks * 1_000_000 for role, seconds in by_role.items()})


def _listed(costs: Mapping[str, float]) -> str:
    return ", ".join(f"{role} {cost:.0f}" for role, cost in sorted(costs.items(), key=lambda item: -item[1]))
