"""The worker as a process of its own."""

import asyncio
from collections.abc import Mapping

from ledger.bootstrap import open_broker_when_ready, open_ledger_when_ready
from ledger.roles import start_up
from ledger.settings import Settings, load_settings
from worker.consumer import Worker
from worker.registry import Registry, load_registry


async def run_worker(stop: asyncio.Event, overrides: Mapping[str, object]) -> None:
    """Work until `stop` is set, then leave in good order.

    Raises:
        ConfigurationError: a setting is refused, or an app cannot be imported.
        StoreUnavailableError: the database was out of reach for LEDGER_STARTUP_WAIT_SECONDS.
        BrokerUnavailableError: so was the broker.
    """
    settings = start_up(load_settings(**overrides), role="worker")
    registry = load_registry(settings.worker_apps)
    opened: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        working = group.create_task(_work(settings, registry, opened))
        await stop.wait()
        if opened.done():
            await opened.result().stop()
        else:
            working.cancel()  # it still waits for the database or the broker


async def _work(settings: Settings, registry: Registry, opened: "asyncio.Future[Worker]") -> None:
    async with open_ledger_when_ready(settings) as ledger, open_broker_when_ready(settings) as broker:
        worker = Worker(ledger, broker, registry)
        opened.set_result(worker)
        await worker.run()
