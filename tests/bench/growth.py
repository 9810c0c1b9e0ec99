"""The measurement of growth: what the same work costs on ten thousand tasks and on ten million."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from ledger.bootstrap import open_ledger
from ledger.queries import query
from ledger.settings import load_settings
from projections.generation import LIVE, make_missing_live
from projections.rebuild import rebuild
from projections.shipped import SHIPPED
from projections.task_status import TASK_STATUS
from tests.bench.measurements import Measured, Servers, load, processors, submit, until
from tests.bench.reads import some_tasks
from tests.bench.rebuild import fill
from tests.services.cluster import Cluster

_SMALL = 10_000
_LARGE = 10_000_000
_SUBMISSION = '{"input":"hello","kind":"echo"}'
_SUBMITS = 10_000
_READS = 10_000
_PAGES = 2000
_DRAINED = 3000
_LIST = "/tasks?status=FAILED&status=COMPLETED&queue=default&limit=50"
_READERS = ("relay", "follow_ups")
_UNFINISHED = "SELECT -count(*) FROM projections.task_status WHERE status IN ('PENDING', 'RUNNING')"


@dataclass(slots=True)
class Costs:
    """What pieces of work cost: microseconds of processor, of our processes and of Postgres, for one of each."""

    elapsed_seconds: float = 0.0
    of: dict[str, float] = field(default_factory=dict)

    def times(self, other: "Costs") -> Mapping[str, float]:
        """Return how many times as much as the other each costs."""
        return {name: cost / other.of[name] for name, cost in self.of.items()}


async def growth(servers: Servers, scale: float) -> Measured:
    """Submit, drain, and read status, history and a page of a list, beside many tasks and beside few.

    Few are measured before and after many. Of the read models only `task_status` has what was there before: the
    others, the relay and the follow-ups begin at the end of the log.
    """
    large = int(_LARGE * scale)
    before, beside_many, after = [await _costs_beside(servers, tasks) for tasks in (_SMALL, large, _SMALL)]
    few = Costs(of={name: (before.of[name] + after.of[name]) / 2 for name in before.of})
    ratios = beside_many.times(few)
    return Measured(
        work=f"processor time of the same work beside {large:,} tasks and beside {_SMALL:,}",
        measured="; ".join(
            f"{name} {ratios[name]:.2f} times ({few.of[name]:.0f} → {cost:.0f} µs; "
            f"beside few once more {after.of[name] / before.of[name]:.2f} times)"
            for name, cost in beside_many.of.items()
        ),
        aim="1.2 times",
        elapsed_seconds=beside_many.elapsed_seconds,
        processor_seconds={},
    )


async def _costs_beside(servers: Servers, tasks: int) -> Costs:
    costs = Costs()
    with servers.cluster() as cluster:
        await fill(cluster.database_url, tasks)
        await _make_read_models(cluster.database_url)
        ids = await some_tasks(cluster.database_url, servers.home / "ids.txt")
        for role in ("relay", "projector", "api"):
            cluster.start(role)
        await asyncio.to_thread(cluster.wait_until_alive)
        await _measure_requests(servers, cluster, costs, ids)
        await _measure_drain(servers, cluster, costs)
    return costs


async def _measure_requests(servers: Servers, cluster: Cluster, costs: Costs, ids: Path) -> None:
    for name, path, requests, body in (
        ("submit", "/tasks", _SUBMITS, _SUBMISSION),
        ("status", "/tasks/@/status", _READS, None),
        ("history", "/tasks/@/events", _READS, None),
        ("page of a list", _LIST, _PAGES, None),
    ):
        each = ids if "@" in path else None
        await load(f"{cluster.url}{path}", requests // 5, body=body, each=each)
        with _costing(servers, cluster, costs, name, requests, of=("api", "postgres")):
            await load(f"{cluster.url}{path}", requests, body=body, each=each)


async def _measure_drain(servers: Servers, cluster: Cluster, costs: Costs) -> None:
    connection = await asyncpg.connect(cluster.database_url)
    cluster.start("worker")
    await until(connection, _UNFINISHED, 0)
    with _costing(servers, cluster, costs, "drain", _DRAINED, of=("worker", "relay", "projector", "postgres")):
        await submit(cluster.database_url, _DRAINED)
        await until(connection, _UNFINISHED, 0)
    await connection.close()


@contextmanager
def _costing(
    servers: Servers, cluster: Cluster, costs: Costs, name: str, pieces: int, *, of: tuple[str, ...]
) -> Iterator[None]:
    with processors(servers, cluster) as used:
        used.start()
        yield
        used.stop()
    costs.of[name] = 1e6 * sum(used.seconds[process] for process in of) / pieces
    costs.elapsed_seconds += used.elapsed_seconds


async def _make_read_models(url: str) -> None:
    async with open_ledger(load_settings(database_url=url)) as ledger:
        await rebuild(ledger, TASK_STATUS)
        horizon = await ledger.store.safe_position()
        async with ledger.database.connection() as connection:
            others = [projection for projection in SHIPPED if projection is not TASK_STATUS]
            for projection in others:
                await make_missing_live(connection, projection)
            for name in (*(LIVE.checkpoint_of(projection) for projection in others), *_READERS):
                await connection.execute(query("set_checkpoint"), name, horizon)
            await connection.execute("VACUUM ANALYZE projections.task_status")
