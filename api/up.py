"""`taskledger up`: every role in one process, on a Postgres of its own where none is named.

What is not configured is embedded: without DATABASE_URL a Postgres of our own as a child process, without
RABBITMQ_URL a broker in memory. What the memory broker forgets at a stop, the reconciler releases at start.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
import typer
from pydantic import SecretStr

from api.app import create_app
from api.exposure import access_of
from api.server import serve
from ledger.bootstrap import EMBEDDED_HOME, Ledger, open_broker, open_broker_when_ready, open_ledger
from ledger.broker.memory import MemoryBroker
from ledger.broker.port import Broker
from ledger.dead_letters.collector import Collector
from ledger.embedded_postgres import EmbeddedPostgres
from ledger.migrate import migrate
from ledger.process import running_until
from ledger.reconciler import Reconciler
from ledger.relay import Relay
from ledger.relay_share import OpenBroker
from ledger.roles import start_up
from ledger.scheduler import Scheduler
from ledger.settings import Settings, load_settings, masked_url
from ledger.store.records import Origin
from ledger.sweeper import Sweeper
from ledger.telemetry import Role
from projections.catalogue import load_catalogue
from projections.conductor import Conductor
from projections.projector import Projector
from worker.consumer import Worker
from worker.registry import load_registry
from worker.scheduled import put_declared

log = structlog.get_logger()

_LOCAL_HOSTS = ("127.0.0.1", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


async def run_up(stop: asyncio.Event, overrides: Mapping[str, object]) -> None:
    """Run everything until `stop` is set, then stop it in the order of the work: ask, do, derive, store.

    Raises:
        DataDirectoryInUseError: another process owns the embedded Postgres.
        EmbeddedPostgresError: it cannot be started.
        LedgerError: what opening the ledger or the broker raises.
    """
    settings = start_up(load_settings(**overrides), role=Role.UP)
    configured_url = settings.database_url
    async with AsyncExitStack() as opened:
        settings, database = await opened.enter_async_context(_with_database(settings))
        ledger = await opened.enter_async_context(open_ledger(settings, role=Role.UP))
        broker, broker_name = await opened.enter_async_context(_with_broker(settings, stop))
        if isinstance(broker, MemoryBroker):
            await _recover(ledger, is_alone=settings.database_url != configured_url)
        await _run_roles(ledger, broker, stop, [f"ledger   {database}", f"broker   {broker_name}"])
    log.info("up.stopped")


async def _run_roles(ledger: Ledger, broker: Broker, stop: asyncio.Event, lines: list[str]) -> None:
    settings = ledger.settings
    access = await access_of(ledger)
    registry = load_registry(settings.worker_apps)
    catalogue = load_catalogue(settings.worker_apps)
    await put_declared(ledger, registry, origin=Origin(actor="up"))
    worker = Worker(ledger, broker, registry, instruments=ledger.instruments)
    derived = asyncio.Event()
    roles = (
        Relay(ledger, broker, _another(broker, settings)).run(),
        Collector(ledger, broker).run(),
        Projector(ledger, catalogue.projections).run(),
        Conductor(ledger, catalogue).run(),
        Scheduler(ledger).run(),
    )
    async with running_until(derived, *roles):
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await serve(
                create_app(ledger, broker, access, catalogue),
                settings,
                stop=stop,
                started=lambda port: _announce(settings, port, lines),
            )
            await worker.stop()
        derived.set()


def _another(broker: Broker, settings: Settings) -> OpenBroker | None:
    return None if isinstance(broker, MemoryBroker) else partial(open_broker, settings)


async def _recover(ledger: Ledger, *, is_alone: bool) -> None:
    # Whoever owns the embedded Postgres is alone: no worker of before lives, so no task need wait for a lease.
    if is_alone:
        await Sweeper(ledger).retire_all_workers()
    await Reconciler(ledger).release_all_ready()


def _announce(settings: Settings, port: int, lines: list[str]) -> None:
    host = "localhost" if settings.host in _LOCAL_HOSTS else settings.host
    url = f"http://{host}:{port}"
    typer.echo(f"Task Ledger is up: {url}  (dashboard {url}/ui, documentation {url}/docs)")
    for line in lines:
        typer.echo(f"  {line}")
    typer.echo(f'  try      curl -X POST {url}/tasks -d \'{{"input":"hello"}}\'')
    typer.echo("  stop     Ctrl-C")


@asynccontextmanager
async def _with_database(settings: Settings) -> AsyncIterator[tuple[Settings, str]]:
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        await migrate(url)
        yield settings, masked_url(url)
        return
    async with EmbeddedPostgres(settings.data_dir / EMBEDDED_HOME) as postgres:
        await migrate(postgres.url)
        yield settings.model_copy(update={"database_url": SecretStr(postgres.url)}), postgres.description


@asynccontextmanager
async def _with_broker(settings: Settings, stop: asyncio.Event) -> AsyncIterator[tuple[Broker, str]]:
    if settings.rabbitmq_url is not None:
        async with open_broker_when_ready(settings, stop) as broker:
            yield broker, masked_url(settings.rabbitmq_url.get_secret_value())
        return
    memory = MemoryBroker()
    try:
        yield memory, "in memory (set RABBITMQ_URL to use RabbitMQ)"
    finally:
        await memory.close()
