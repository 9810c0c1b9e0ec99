"""What nothing to do costs: every role at rest, on an empty ledger and beside many tasks that wait."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from tests.bench.measurements import Measured, Servers, processors, submit, until

_REST_SECONDS = 20.0
_WAITING = 100_000
_SERVERS = ("postgres", "rabbitmq")
_FOLDED = "SELECT count(*) FROM projections.task_status"
_PAUSE = "INSERT INTO ledger.queues (name, paused_at) VALUES ('paused', now())"


async def idle(servers: Servers, scale: float) -> Measured:
    """Let every role rest, on an empty ledger and with tasks waiting: half for a time, half for a paused queue."""
    waiting = int(_WAITING * scale)
    shares: list[tuple[float, float]] = []
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        connection = await asyncpg.connect(cluster.database_url)
        await connection.execute(_PAUSE)
        for role in ("relay", "projector", "scheduler", "worker", "api"):
            cluster.start(role)
        await asyncio.to_thread(cluster.wait_until_ready)
        for tasks in (0, waiting):
            run_at = datetime.now(UTC) + timedelta(days=300)
            await submit(cluster.database_url, tasks // 2, run_at=run_at)
            await submit(cluster.database_url, tasks - tasks // 2, queue="paused")
            await until(connection, _FOLDED, tasks)
            await asyncio.sleep(_REST_SECONDS / 2)  # autovacuum and checkpoints of what was just written
            used.start()
            await asyncio.sleep(_REST_SECONDS)
            used.stop()
            everything = 100 * sum(used.seconds.values()) / used.elapsed_seconds
            servers_alone = 100 * sum(used.seconds[one] for one in _SERVERS) / used.elapsed_seconds
            shares.append((everything - servers_alone, everything))
        await connection.close()
    return Measured(
        work=f"at rest: every role, on an empty ledger and beside {waiting:,} tasks that wait",
        measured=" and ".join(
            f"{roles:.1f} % of a core, with both servers {all_:.1f} %" for roles, all_ in shares
        ),
        aim="1 % for all roles",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
        figures={"idle_percent": shares[0][0], "idle_beside_waiting_percent": shares[1][0]},
    )
