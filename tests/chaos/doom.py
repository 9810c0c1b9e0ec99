"""Roles that kill themselves: `python -m tests.chaos.doom ROLE STEP` runs the real role up to a step.

The product knows nothing of it: the role is composed here as its own process composes it, on ports with trap
doors. A worker may also be given a machine whose clock is wrong.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from pydantic import JsonValue

from api.app import create_app
from api.server import serve
from ledger.bootstrap import Ledger, open_broker_when_ready, open_ledger
from ledger.clock import LedgerClock
from ledger.command_line import run_role
from ledger.commands import TaskCommands
from ledger.dead_letters.collector import Collector
from ledger.process import running_until
from ledger.relay import Relay
from ledger.roles import start_up
from ledger.scheduler import Scheduler
from ledger.settings import Settings, load_settings
from projections.projector import Projector
from projections.shipped import SHIPPED
from tests.chaos.trapdoors import Doom, DoomedBroker, DoomedProjection, DoomedStore
from worker.consumer import Worker
from worker.context import TaskContext
from worker.errors import RetryAfter
from worker.registry import Registry, load_registry


class WrongMachineClock(LedgerClock):
    """The ledger's clock on a machine whose own clock is hours off: wrong until the first beat sets it."""

    def __init__(self, hours: float) -> None:
        super().__init__()
        self.set(self.now() + timedelta(hours=hours), round_trip_seconds=0)


async def run(stop: asyncio.Event, role: str, doom: Doom, clock: LedgerClock | None) -> None:
    """Run a role until its doom, or until it is asked to stop."""
    settings = start_up(load_settings(), role=role)
    async with _opened_ledger(settings, doom, clock) as (ledger, store):
        match role:
            case "api":
                await serve(create_app(ledger), settings, stop=stop)
            case "projector":
                projections = [DoomedProjection(projection, store, doom) for projection in SHIPPED]
                async with running_until(stop, Projector(ledger, projections).run()):
                    pass
            case "scheduler":
                async with running_until(stop, Scheduler(ledger).run()):
                    pass
            case "relay" | "worker":
                async with open_broker_when_ready(settings, stop) as broker:
                    await _run_on_broker(stop, role, ledger, DoomedBroker(broker, doom))


async def _run_on_broker(stop: asyncio.Event, role: str, ledger: Ledger, broker: DoomedBroker) -> None:
    if role == "relay":
        async with running_until(stop, Relay(ledger, broker).run(), Collector(ledger, broker).run()):
            return
    async with asyncio.TaskGroup() as group:
        worker = Worker(ledger, broker, _registry(broker.doom))
        group.create_task(worker.run())
        await stop.wait()
        await worker.stop()


def _registry(doom: Doom) -> Registry:
    registry = Registry(fallback=load_registry(()))

    @registry.task_handler("echo")
    async def echo(value: JsonValue) -> JsonValue:
        doom.reach("during:run")
        return value

    @registry.task_handler("pay")
    async def pay(_value: JsonValue, context: TaskContext) -> None:
        async with context.transaction() as connection:
            await connection.execute("INSERT INTO payments (task_id) VALUES ($1)", context.task_id)
            await context.complete(None, connection=connection)

    @registry.task_handler("come-back")
    async def come_back(seconds: float) -> None:
        raise RetryAfter(seconds)

    return registry


@asynccontextmanager
async def _opened_ledger(
    settings: Settings, doom: Doom, clock: LedgerClock | None
) -> AsyncIterator[tuple[Ledger, DoomedStore]]:
    async with open_ledger(settings) as ledger:
        clock = clock or ledger.clock
        store = DoomedStore(ledger.database, settings, doom)
        commands = TaskCommands(store, clock, ledger.policies)
        try:
            yield replace(ledger, store=store, commands=commands, clock=clock), store
        finally:
            await store.close()


def main() -> None:
    """Run the role that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.doom")
    parser.add_argument("role", choices=("api", "relay", "projector", "scheduler", "worker"))
    parser.add_argument("step", nargs="?", default="")
    parser.add_argument("--clock-hours", type=float)
    options = parser.parse_args()
    clock = None if options.clock_hours is None else WrongMachineClock(options.clock_hours)
    run_role(lambda stop: run(stop, options.role, Doom(options.step), clock))


if __name__ == "__main__":
    main()
