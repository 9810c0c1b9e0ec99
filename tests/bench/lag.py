"""The measurement of the read model's lag while everything works as fast as it can."""

import asyncio
import statistics
import time

import asyncpg

from tests.bench.measurements import Measured, Servers, load, processors

_REQUESTS = 40_000
_SUBMISSION = '{"input":"hello","kind":"echo"}'
_PROBES_MIN = 20
_LOOK_SECONDS = 0.002
_PAUSE_SECONDS = 0.05
_HEAD = "SELECT ledger.safe_position()"
_FOLDED = "SELECT position FROM ledger.checkpoints WHERE name = 'projection:task_status'"


async def lag(servers: Servers, scale: float) -> Measured:
    """Submit from 64 connections while a worker drains, and see how long the read model takes to have an event.

    A probe asks for the log's horizon, and then for the read model's checkpoint until it is there.
    """
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        for role in ("relay", "projector", "scheduler", "worker", "api"):
            cluster.start(role)
        await asyncio.to_thread(cluster.wait_until_ready)
        connection = await asyncpg.connect(cluster.database_url)
        await load(f"{cluster.url}/tasks", 1000, body=_SUBMISSION)
        used.start()
        submitting = asyncio.create_task(load(f"{cluster.url}/tasks", int(_REQUESTS * scale), body=_SUBMISSION))
        lags: list[float] = []
        while not submitting.done() or len(lags) < _PROBES_MIN:
            lags.append(await _probe(connection))
            await asyncio.sleep(_PAUSE_SECONDS)
        used.stop()
        report = await submitting
        await connection.close()
    p50, p99 = statistics.median(lags), sorted(lags)[int(len(lags) * 0.99)]
    return Measured(
        work=f"lag of task_status under {report['requests_per_second']:,.0f} submits/s, {len(lags)} probes",
        measured=f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms",
        aim="p99 50 ms",
        figures={"lag_p50_ms": p50 * 1000},
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
    )


async def _probe(connection: asyncpg.Connection) -> float:
    head = await connection.fetchval(_HEAD)
    began = time.monotonic()
    while await connection.fetchval(_FOLDED) < head:
        await asyncio.sleep(_LOOK_SECONDS)
    return time.monotonic() - began
