"""Every role as its own process, killed while 1,000 tasks go through: nothing lost, nothing twice."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from ledger.bootstrap import open_ledger
from ledger.settings import load_settings
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.services.cluster import Cluster
from tests.services.private_rabbitmq import PrivateRabbitmq

TASKS = 1000
_FINISH_SECONDS_MAX = 90.0
_POLL_SECONDS = 0.1

_STATUSES = "SELECT status, count(*) FROM projections.task_status GROUP BY status"
_BROKEN_STREAMS = """
    SELECT task_id FROM ledger.events GROUP BY task_id
    HAVING count(*) <> max(version) OR count(*) <> count(DISTINCT version) OR min(version) <> 1
"""
_OUTCOMES = """
    SELECT task_id FROM ledger.events WHERE type = 'task.completed' GROUP BY task_id HAVING count(*) <> 1
"""


@pytest.fixture
def cluster(database_url: str, private_rabbitmq: PrivateRabbitmq, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(database_url, private_rabbitmq.url, tmp_path / "logs") as cluster:
        for role in ("api", "relay", "projector", "scheduler", "worker", "worker"):
            cluster.start(role)
        cluster.wait_until_ready()
        yield cluster


@pytest.mark.timeout(240)
async def test_a_thousand_tasks_complete_although_worker_relay_and_projector_are_killed(
    cluster: Cluster, database_url: str
) -> None:
    async with httpx.AsyncClient(base_url=cluster.url, timeout=30) as client:
        submitting = asyncio.create_task(_submit(client, TASKS))
        for role in ("worker", "relay", "projector"):
            await _until_completed(database_url, at_least=50)
            cluster.kill(role)
            cluster.start(role)
        accepted = await submitting

        await _until_completed(database_url, at_least=TASKS)
        connection = await asyncpg.connect(database_url)
        statuses = dict(map(tuple, await connection.fetch(_STATUSES)))
        broken = await connection.fetch(_BROKEN_STREAMS)
        doubled = await connection.fetch(_OUTCOMES)
        recorded = {row[0] for row in await connection.fetch("SELECT DISTINCT task_id FROM ledger.events")}
        await connection.close()
        answers = [await client.get(f"/tasks/{task_id}/status") for task_id in accepted[:20]]

    assert statuses == {"COMPLETED": TASKS}
    assert recorded == set(accepted)
    assert broken == []
    assert doubled == []
    assert Counter(answer.json()["status"] for answer in answers) == {"COMPLETED": 20}
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        assert await verify(ledger, TASK_STATUS) == []


async def _submit(client: httpx.AsyncClient, count: int) -> list[UUID]:
    accepted = []
    for number in range(count):
        answer = await client.post("/tasks", json={"kind": "sleep", "input": 0.02, "tags": [f"n:{number}"]})
        assert answer.status_code == 202, answer.text
        accepted.append(UUID(answer.json()["task_id"]))
    return accepted


async def _until_completed(database_url: str, *, at_least: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(_FINISH_SECONDS_MAX):
            while await _completed(connection) < at_least:
                await asyncio.sleep(_POLL_SECONDS)
    finally:
        await connection.close()


async def _completed(connection: asyncpg.Connection) -> int:
    exists = await connection.fetchval("SELECT to_regclass('projections.task_status') IS NOT NULL")
    if not exists:
        return 0
    return int(
        await connection.fetchval("SELECT count(*) FROM projections.task_status WHERE status = 'COMPLETED'")
    )
