"""The most telling faults, each on servers of its own: nothing lost, nothing doubled, every invariant holds."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from ledger.bootstrap import open_ledger
from ledger.doctor import examine
from ledger.migrate import migrate
from ledger.settings import load_settings
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.chaos.faults import LEASE_SECONDS, ChaoticSystem, freeze_worker_beyond_its_lease, wipe_broker
from tests.services.cluster import Cluster
from tests.services.postgres import run_apart
from tests.services.private_postgres import PrivatePostgres
from tests.services.private_rabbitmq import PrivateRabbitmq

_SECONDS_MAX = 60.0
_COMPLETED = "SELECT count(*) FROM projections.task_status WHERE status = 'COMPLETED'"
_RUNNING = "SELECT count(*) FROM projections.task_status WHERE status = 'RUNNING'"
_DOUBLED = """
    SELECT count(*) FROM (SELECT task_id FROM ledger.events WHERE type = 'task.completed'
                           GROUP BY task_id HAVING count(*) > 1) AS doubled
"""
_STALE = "SELECT task_id, type, attempt, current_attempt, status FROM ledger.stale_writes"


@pytest.fixture
def system(
    private_postgres: PrivatePostgres, private_rabbitmq: PrivateRabbitmq, tmp_path: Path
) -> Iterator[ChaoticSystem]:
    run_apart(migrate(private_postgres.url))
    environment = {
        "LEDGER_LEASE_SECONDS": str(LEASE_SECONDS),
        "LEDGER_RECONCILE_AFTER_SECONDS": "3",
        "LEDGER_WORKER_CONCURRENCY": "20",
    }
    with Cluster(
        private_postgres.url, private_rabbitmq.url, tmp_path / "logs", environment=environment
    ) as cluster:
        for role in ("api", "relay", "projector", "scheduler", "worker"):
            cluster.start(role)
        cluster.wait_until_ready()
        yield ChaoticSystem(cluster, private_postgres, private_rabbitmq)


@pytest.mark.timeout(180)
async def test_zombie_that_wakes_up_late_is_refused_and_its_writes_are_kept(system: ChaoticSystem) -> None:
    tasks = await submit(system, 10, seconds=2.0)
    await until(system, _RUNNING, 10)

    frozen = asyncio.create_task(freeze_worker_beyond_its_lease(system))
    system.cluster.start("worker")
    await until(system, _COMPLETED, 10)
    await frozen
    stale = await stale_writes(system, at_least=1)

    async with httpx.AsyncClient(base_url=system.cluster.url) as client:
        shown = (await client.get(f"/tasks/{stale[0]['task_id']}")).json()["stale_writes"]
    assert {str(row["task_id"]) for row in stale} <= set(tasks)
    assert all(row["attempt"] < row["current_attempt"] or row["status"] != "RUNNING" for row in stale)
    assert shown[0]["attempt"] == stale[0]["attempt"]
    await all_is_well(system, tasks)


@pytest.mark.timeout(180)
async def test_broker_that_lost_everything_loses_no_task(system: ChaoticSystem) -> None:
    tasks = await submit(system, 100, seconds=0.2)

    await wipe_broker(system)
    tasks += await submit(system, 20, seconds=0.01)
    await until(system, _COMPLETED, len(tasks))

    await all_is_well(system, tasks)


@pytest.mark.timeout(180)
async def test_database_and_worker_killed_in_the_middle_lose_and_double_nothing(system: ChaoticSystem) -> None:
    tasks = await submit(system, 100, seconds=0.2)

    await asyncio.to_thread(system.postgres.kill)
    await asyncio.to_thread(system.postgres.start)
    tasks += await submit(system, 20, seconds=0.2)
    system.cluster.kill("worker")
    system.cluster.start("worker")
    await until(system, _COMPLETED, len(tasks))

    await all_is_well(system, tasks)


async def submit(system: ChaoticSystem, count: int, *, seconds: float) -> list[str]:
    accepted: list[str] = []
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=30) as client:
        async with asyncio.timeout(_SECONDS_MAX):
            while len(accepted) < count:
                answer = await client.post("/tasks", json={"kind": "sleep", "input": seconds, "max_attempts": 10})
                if answer.status_code == 202:
                    accepted.append(answer.json()["task_id"])
                else:
                    assert answer.status_code == 503, answer.text
                    await asyncio.sleep(0.1)
    return accepted


async def until(system: ChaoticSystem, statement: str, count: int) -> None:
    async with asyncio.timeout(_SECONDS_MAX):
        while await value(system, statement) < count:
            await asyncio.sleep(0.1)


async def stale_writes(system: ChaoticSystem, *, at_least: int) -> list[asyncpg.Record]:
    async with asyncio.timeout(_SECONDS_MAX):
        while True:
            connection = await asyncpg.connect(system.postgres.url)
            rows = await connection.fetch(_STALE)
            await connection.close()
            if len(rows) >= at_least:
                return list(rows)
            await asyncio.sleep(0.1)


async def all_is_well(system: ChaoticSystem, tasks: list[str]) -> None:
    assert await value(system, _COMPLETED) == len(tasks)
    assert await value(system, _DOUBLED) == 0
    async with open_ledger(load_settings(database_url=system.postgres.url)) as ledger:
        assert await examine(ledger, bound_seconds=30) == []
        assert await verify(ledger, TASK_STATUS) == []


async def value(system: ChaoticSystem, statement: str) -> int:
    connection = await asyncpg.connect(system.postgres.url)
    try:
        return int(await connection.fetchval(statement))
    finally:
        await connection.close()
