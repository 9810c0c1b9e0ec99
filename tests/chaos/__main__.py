"""The chaos run: faults under constant load, the invariants after each, and a table; exit 1 if anything is wrong.

`--minutes N --seed S` injects faults of every kind at random, the exact steps among them, first each kind once.
From 15 minutes on it begins with a worker that is frozen for 90 s and a broker that is away for 60 s.
With `--hasty` a fault does not wait for what the one before it hit.
`--kills N` kills workers only, one every `--every` seconds.

Recovery time: from the moment of the harm until the tasks that a killed worker held are completed elsewhere; or
what was ready at the moment, where messages were lost; else until a task that came after the harm is completed.
"""

import argparse
import asyncio
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import typer

from ledger.bootstrap import open_ledger
from ledger.doctor import examine
from ledger.errors import LedgerError
from ledger.settings import load_settings
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.chaos.account import Account
from tests.chaos.faults import FAULTS, Dose, Fault, FaultNotPossibleError, Harm, kill_worker
from tests.chaos.load import CONCURRENCY_MAX, LIMITED_QUEUE, Load
from tests.chaos.report import Report
from tests.chaos.steps import EXACT_FAULTS
from tests.chaos.system import ChaoticSystem, chaotic_system

_LONG = Dose(freeze_seconds=90.0, outage_seconds=60.0)
_SHORT = Dose()
_LONG_RUN_SECONDS = 900.0
_BOUND_SECONDS = 30.0
# Whenever the database was interrupted, the sweeper holds back for 10 s; in haste, again and again.
_HASTY_BOUND_SECONDS = 180.0
_CHECKED_EVERY_KILLS = 100
_SETTLE_SECONDS_MAX = 60.0
_ENVIRONMENT = {
    "LEDGER_WORKER_CONCURRENCY": "5",
    "LEDGER_WORKER_PREFETCH": "5",
    "LEDGER_WORKER_QUEUES": f"default,{LIMITED_QUEUE}",
}
_STALE_WRITES = "SELECT task_id::text, count(*) AS writes FROM ledger.stale_writes GROUP BY task_id LIMIT 200"
_UNFINISHED = """
    SELECT count(*) FROM ledger.events AS submitted LEFT JOIN projections.task_status AS task USING (task_id)
     WHERE submitted.version = 1 AND submitted.recorded_at <= to_timestamp($1)
       AND coalesce(task.status, 'PENDING') NOT IN ('COMPLETED', 'CANCELLED')
"""


@dataclass(slots=True)
class _Run:
    system: ChaoticSystem
    load: Load
    dice: random.Random
    harms: list[Harm] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    bound_seconds: float = _BOUND_SECONDS

    async def inject(self, fault: Fault, dose: Dose) -> None:
        try:
            harm = await fault(self.system, dose)
        except FaultNotPossibleError as error:
            typer.echo(f"left out: {error}")
            return
        self.harms.append(harm)

    async def examine(self) -> None:
        url = self.system.postgres.url
        try:
            async with open_ledger(load_settings(database_url=url)) as ledger:
                found = [
                    *await examine(ledger, bound_seconds=self.bound_seconds),
                    *await verify(ledger, TASK_STATUS),
                ]
        except LedgerError as error:
            found = []
            typer.echo(f"not examined: {error}")
        for one in found:
            typer.echo(f"BREACH {one}")
            self.breaches.append(f"{len(self.harms)}. {self.harms[-1].kind}: {one}")


async def _all_faults(run: _Run, *, seconds: float, is_hasty: bool) -> None:
    every = {**FAULTS, **EXACT_FAULTS}
    deadline = time.monotonic() + seconds
    order = run.dice.sample(sorted(every), len(every))
    if seconds >= _LONG_RUN_SECONDS:
        for name in ("freeze_worker", "stop_broker"):
            typer.echo(f"{name}, long")
            await run.inject(every[name], _LONG)
            await _drain(run, _SETTLE_SECONDS_MAX)
            await run.examine()
    while time.monotonic() < deadline:
        name = order.pop() if order else run.dice.choice(sorted(every))
        typer.echo(name)
        await run.inject(every[name], _SHORT)
        if is_hasty:
            await asyncio.sleep(run.dice.uniform(0.5, 3))
        else:
            await _drain(run, _SETTLE_SECONDS_MAX)
        await run.examine()


async def _kills(run: _Run, *, count: int, every_seconds: float) -> None:
    while len(run.harms) < count:
        pause = asyncio.create_task(asyncio.sleep(every_seconds))
        await run.inject(kill_worker, _SHORT)
        if len(run.harms) % _CHECKED_EVERY_KILLS == 0:
            typer.echo(f"{len(run.harms)} kills")
            await run.examine()
        await pause


async def _check_stale_writes(run: _Run) -> int:
    rows = await run.system.fetch(_STALE_WRITES)
    async with httpx.AsyncClient(base_url=run.system.cluster.url, timeout=10) as client:
        for row in rows:
            answer = await client.get(f"/tasks/{row['task_id']}")
            if len(answer.json()["stale_writes"]) != row["writes"]:
                run.breaches.append(f"the API does not show the stale writes of {row['task_id']}")
    return sum(row["writes"] for row in rows)


async def _drain(run: _Run, seconds_max: float) -> None:
    until = time.time()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds_max):
            while await run.system.count(_UNFINISHED, until):
                await asyncio.sleep(0.2)


async def _chaos(system: ChaoticSystem, options: argparse.Namespace) -> Report:
    random.seed(options.seed)
    dice = random.Random(options.seed)  # noqa: S311 - a seed, not a secret
    run = _Run(
        system,
        Load(system.cluster.url, dice, per_second=options.per_second, task_seconds=options.task_seconds),
        dice,
    )
    run.bound_seconds = _HASTY_BOUND_SECONDS if options.hasty else _BOUND_SECONDS
    began = time.monotonic()
    loading = asyncio.create_task(run.load.run())
    if options.kills:
        await _kills(run, count=options.kills, every_seconds=options.every)
    else:
        await _all_faults(run, seconds=options.minutes * 60, is_hasty=options.hasty)
    loading.cancel()
    run.bound_seconds = _BOUND_SECONDS
    seconds = time.monotonic() - began
    await _drain(run, options.drain_seconds)
    await asyncio.sleep(1)  # the projector's last step
    await run.examine()
    typer.echo(f"{await _check_stale_writes(run)} writes of zombies refused, as the API shows")
    account = await Account.read(system)
    at_once_max = account.at_once_max(LIMITED_QUEUE)
    typer.echo(f"{at_once_max} tasks at once in the queue that is limited to {CONCURRENCY_MAX}")
    if at_once_max > CONCURRENCY_MAX:
        run.breaches.append(f"{at_once_max} tasks at once where the limit is {CONCURRENCY_MAX}")
    return Report.of(account, run.load.accepted, run.harms, run.breaches, seconds)


def main() -> int:
    """Run it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--hasty", action="store_true", help="do not wait until what a fault hit is completed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="kill so many workers and do nothing else")
    parser.add_argument("--every", type=float, default=0.75, help="seconds between two kills")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--per-second", type=float, default=15, help="tasks submitted")
    parser.add_argument("--task-seconds", type=float, default=0.4, help="how long most of them take")
    parser.add_argument("--drain-seconds", type=float, default=90)
    options = parser.parse_args()
    with chaotic_system(workers=options.workers, environment=_ENVIRONMENT, with_disk=True) as system:
        report = asyncio.run(_chaos(system, options))
        for line in report.lines():
            typer.echo(line)
    return 1 if report.is_bad else 0


if __name__ == "__main__":
    sys.exit(main())
