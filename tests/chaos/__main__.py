"""The chaos run: random faults under constant load, then the invariants and a table; exit 1 on a breach.

Recovery time: from the moment the harm is done and undone until the next Completed is recorded.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import typer

from ledger.bootstrap import open_ledger
from ledger.doctor import examine
from ledger.migrate import migrate
from ledger.settings import load_settings
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.chaos.faults import FAULTS, LEASE_SECONDS, ChaoticSystem
from tests.services.cluster import Cluster
from tests.services.postgres import chosen_binaries
from tests.services.private_postgres import PrivatePostgres
from tests.services.private_rabbitmq import PrivateRabbitmq, find_rabbitmq_server

_ENVIRONMENT = {"LEDGER_LEASE_SECONDS": str(LEASE_SECONDS), "LEDGER_RECONCILE_AFTER_SECONDS": "3"}
_ROLES = ("api", "relay", "projector", "scheduler", "worker", "worker")
_COMPLETED = "SELECT task_id, count(*) FROM ledger.events WHERE type = 'task.completed' GROUP BY task_id"
_COUNT = "SELECT count(*) FROM ledger.events WHERE type = 'task.completed'"


@dataclass(slots=True)
class _Run:
    accepted: list[UUID] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    unrecovered: int = 0


async def _load(url: str, run: _Run) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=5) as client:
        while True:
            try:
                answer = await client.post("/tasks", json={"kind": "sleep", "input": 0.2})
                if answer.status_code == 202:
                    run.accepted.append(UUID(answer.json()["task_id"]))
            except httpx.HTTPError:
                pass  # not answered 202: nothing was promised
            await asyncio.sleep(0.05)


async def _fetch(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def _completed(url: str) -> int:
    try:
        return int((await _fetch(url, _COUNT))[0][0])
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return -1


async def _recover(url: str, run: _Run) -> None:
    began, before = time.monotonic(), await _completed(url)
    while time.monotonic() - began < 60:
        if await _completed(url) > before >= 0:
            run.recoveries.append(time.monotonic() - began)
            return
        await asyncio.sleep(0.05)
    run.unrecovered += 1


async def _drain(url: str, run: _Run, seconds_max: float) -> Counter[UUID]:
    deadline = time.monotonic() + seconds_max
    while True:
        done = Counter({row[0]: int(row[1]) for row in await _fetch(url, _COMPLETED)})
        if set(run.accepted) <= set(done) or time.monotonic() > deadline:
            return done
        await asyncio.sleep(0.2)


async def _chaos(system: ChaoticSystem, *, seconds: float, seed: int, drain_seconds: float) -> int:
    run, dice, url = _Run(), random.Random(seed), system.postgres.url  # noqa: S311 - a seed, not a secret
    loading = asyncio.create_task(_load(system.cluster.url, run))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await asyncio.sleep(dice.uniform(0.5, 2))
        name = dice.choice(sorted(FAULTS))
        typer.echo(name)
        await FAULTS[name](system)
        run.faults[name] += 1
        await _recover(url, run)
    loading.cancel()
    done = await _drain(url, run, drain_seconds)
    await asyncio.sleep(1)  # the projector's last step
    async with open_ledger(load_settings(database_url=url)) as ledger:
        breaches = [*map(str, await examine(ledger)), *map(str, await verify(ledger, TASK_STATUS))]
    return _report(run, done, breaches)


def _report(run: _Run, done: Counter[UUID], breaches: list[str]) -> int:
    lost = [one for one in run.accepted if one not in done]
    doubled = [one for one, count in done.items() if count > 1]
    times = sorted(run.recoveries) or [float("nan")]
    for name, count in sorted(run.faults.items()):
        typer.echo(f"{name:20} {count:5}")
    typer.echo(
        f"tasks {len(run.accepted)}, lost {len(lost)}, doubled {len(doubled)}, unrecovered {run.unrecovered}"
    )
    typer.echo(f"recovery p50 {times[len(times) // 2]:.2f} s, p99 {times[int(len(times) * 0.99)]:.2f} s")
    typer.echo("\n".join([*map(str, lost[:20]), *breaches]))
    return 1 if lost or doubled or breaches or run.unrecovered else 0


def main() -> int:
    """Run it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drain-seconds", type=float, default=60)
    options = parser.parse_args()
    script = find_rabbitmq_server()
    if script is None:
        sys.exit("RabbitMQ is not installed")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)))
        postgres = PrivatePostgres(home / "postgres", binaries=chosen_binaries())
        rabbitmq = PrivateRabbitmq(home / "rabbitmq", script=script)
        stack.callback(postgres.stop)
        stack.callback(rabbitmq.stop)
        url = postgres.start()
        rabbitmq.start()
        asyncio.run(migrate(url))
        cluster = stack.enter_context(Cluster(url, rabbitmq.url, home / "logs", environment=_ENVIRONMENT))
        for role in _ROLES:
            cluster.start(role)
        cluster.wait_until_ready()
        system = ChaoticSystem(cluster, postgres, rabbitmq)
        return asyncio.run(
            _chaos(system, seconds=options.minutes * 60, seed=options.seed, drain_seconds=options.drain_seconds)
        )


if __name__ == "__main__":
    sys.exit(main())
