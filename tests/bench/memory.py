"""The measurement of memory: what each role holds while a million tasks go through it."""

import asyncio
from collections import defaultdict
from pathlib import Path

import asyncpg

from tests.bench.measurements import Measured, Servers, load, processors
from tests.services.cluster import Cluster

_TASKS = 1_000_000
_SUBMISSION = '{"input":"hello","kind":"echo"}'
_SAMPLE_SECONDS = 2.0
_ROLES = ("relay", "projector", "scheduler", "worker", "api")
_COMPLETED = "SELECT count(*) FROM projections.task_status WHERE status = 'COMPLETED'"


async def memory(servers: Servers, scale: float) -> Measured:
    """Submit and drain, and look at the resident memory of each role all the time.

    It is told after a tenth of the tasks, at the end, and at its highest.
    """
    tasks = int(_TASKS * scale)
    held: dict[str, list[float]] = defaultdict(list)
    early: dict[str, float] = {}
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        for role in _ROLES:
            cluster.start(role)
        await asyncio.to_thread(cluster.wait_until_ready)
        connection = await asyncpg.connect(cluster.database_url)
        used.start()
        submitting = asyncio.create_task(load(f"{cluster.url}/tasks", tasks, body=_SUBMISSION))
        completed = 0
        while completed < tasks:
            await asyncio.sleep(_SAMPLE_SECONDS)
            completed = await connection.fetchval(_COMPLETED)
            now = _resident_megabytes(cluster)
            for role, size in now.items():
                held[role].append(size)
            if not early and completed >= tasks // 10:
                early = now
        used.stop()
        await submitting
        await connection.close()
    return Measured(
        work=f"resident memory (MB) over {tasks:,} tasks, submitted and drained: after a tenth, at last, at most",
        measured="; ".join(
            f"{role} {early[role]:.0f}, {sizes[-1]:.0f}, {max(sizes):.0f}" for role, sizes in held.items()
        ),
        aim="api, relay, projector 120; worker 150; flat",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
    )


def _resident_megabytes(cluster: Cluster) -> dict[str, float]:
    return {one.role: _resident(one.process.pid) for one in cluster.running}


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kilobytes) / 1024
