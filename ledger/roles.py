"""The ledger's roles as processes: what each opens, and what it runs until it is told to stop."""

import asyncio
from functools import partial

import structlog

from ledger.bootstrap import Ledger, open_broker, open_broker_when_ready, open_ledger, open_ledger_when_ready
from ledger.broker.port import Broker
from ledger.dead_letters.collector import Collector
from ledger.errors import LedgerError
from ledger.logs import configure_logging
from ledger.metrics_listener import serving_metrics
from ledger.process import running_until
from ledger.relay import Relay
from ledger.scheduler import Scheduler
from ledger.settings import Settings, load_settings
from ledger.telemetry import Role

log = structlog.get_logger()


async def run_relay(stop: asyncio.Event, *, database_url: str | None, rabbitmq_url: str | None) -> None:
    """Run the relay, and beside it the collector of dead letters, until `stop` is set."""
    settings = start_up(load_settings(database_url=database_url, rabbitmq_url=rabbitmq_url), role=Role.RELAY)
    async with (
        open_ledger_when_ready(settings, stop, role=Role.RELAY) as ledger,
        open_broker_when_ready(settings, stop) as broker,
        serving_metrics(ledger, role=Role.RELAY, broker=broker),
        running_until(stop, _relay(ledger, broker), Collector(ledger, broker).run()),
    ):
        log.info("relay.started")
    log.info("relay.stopped")


async def run_scheduler(stop: asyncio.Event, *, database_url: str | None) -> None:
    """Run the scheduler, with the sweeper and the reconciler, until `stop` is set."""
    settings = start_up(load_settings(database_url=database_url), role=Role.SCHEDULER)
    async with (
        open_ledger_when_ready(settings, stop, role=Role.SCHEDULER) as ledger,
        serving_metrics(ledger, role=Role.SCHEDULER),
        running_until(stop, Scheduler(ledger).run()),
    ):
        log.info("scheduler.started")
    log.info("scheduler.stopped")


async def _relay(ledger: Ledger, broker: Broker) -> None:
    await Relay(ledger, broker, partial(open_broker, ledger.settings)).run()


async def unreachable() -> list[str]:
    """Return a sentence for each server of the configuration that does not answer.

    Raises:
        ConfigurationError: the configuration itself is not valid.
    """
    settings = load_settings()
    problems = []
    for opened, configured in ((open_ledger, settings.database_url), (open_broker, settings.rabbitmq_url)):
        if configured is None:
            continue
        try:
            async with opened(settings):
                pass
        except LedgerError as error:
            problems.append(str(error))
    return problems


def start_up(settings: Settings, *, role: str) -> Settings:
    """Configure what a whole process shares, and return the settings."""
    configure_logging(log_format=settings.log_format, level=settings.log_level)
    structlog.contextvars.bind_contextvars(role=str(role))
    return settings
