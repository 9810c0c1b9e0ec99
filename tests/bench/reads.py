"""The measurement of reads: how fast one API process answers for the status and the history of tasks."""

import asyncio
from pathlib import Path

import asyncpg

from ledger.bootstrap import open_ledger
from ledger.settings import load_settings
from projections.rebuild import rebuild
from projections.task_status import TASK_STATUS
from tests.bench.measurements import Measured, Servers, load, processors
from tests.bench.rebuild import fill

_TASKS = 10_000
_REQUESTS = 20_000
_ASKED = 2000
_SOME = "SELECT task_id::text FROM projections.task_status ORDER BY md5(task_id::text) LIMIT $1"


async def reads(servers: Servers, scale: float) -> Measured:
    """Ask from 64 connections for the status of tasks, then for their histories, of two thousand in turn."""
    requests = int(_REQUESTS * scale)
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        await fill(cluster.database_url, _TASKS)
        async with open_ledger(load_settings(database_url=cluster.database_url)) as ledger:
            await rebuild(ledger, TASK_STATUS)
        ids = await some_tasks(cluster.database_url, servers.home / "ids.txt")
        cluster.start("api")
        await asyncio.to_thread(cluster.wait_until_alive)
        reports = {}
        for what in ("status", "events"):
            await load(f"{cluster.url}/tasks/@/{what}", requests // 10, each=ids)
            used.start()
            reports[what] = await load(f"{cluster.url}/tasks/@/{what}", requests, each=ids)
            used.stop()
    return Measured(
        work="status of a task, then its history, one API process, 64 connections",
        measured="; ".join(
            f"{what} {report['requests_per_second']:,.0f}/s, p99 {report['p99_ms']} ms"
            for what, report in reports.items()
        ),
        aim="6,000/s; 4,000/s",
        figures={f"{what}_per_second": report["requests_per_second"] for what, report in reports.items()},
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
    )


async def some_tasks(database_url: str, file: Path) -> Path:
    """Write the ids of some tasks to a file, a line each."""
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(_SOME, _ASKED)
    await connection.close()
    await asyncio.to_thread(file.write_text, "\n".join(row[0] for row in rows))
    return file
