"""The worker as a process of its own."""

import asyncio
from collections.abc import Mapping

from ledger.bootstrap import open_broker_when_ready, open_ledger_when_ready
from ledger.metrics_listener import serving_metrics
from ledger.roles import start_up
from ledger.settings import load_settings
from ledger.telemetry import Role
from worker.consumer import Worker
from worker.registry import load_registry


async def run_worker(stop: asyncio.Event, overrides: Mapping[str, object]) -> None:
    """Work until `stop` is set, then leave in good order.

    Raises:
        ConfigurationError: a setting is refused, or an app cannot be imported.
        StoreUnavailableError: the database was out of reach for LEDGER_STARTUP_WAIT_SECONDS.
        BrokerUnavailableError: so was the broker.
    """
    settings = start_up(load_settings(**overrides), role=Role.WORKER)
    registry = load_registry(settings.worker_apps)
    async with (
        open_ledger_when_ready(settings, stop, role=Role.WORKER) as ledger,
        open_broker_when_ready(settings, stop) as broker,
        serving_metrics(ledger, role=Role.WORKER, broker=broker),
        asyncio.TaskGroup() as group,
    ):
        worker = Worker(ledger, broker, registry, instruments=ledger.instruments)
        group.create_task(worker.run())
        await stop.wait()
        await worker.stop()
