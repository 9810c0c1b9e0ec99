"""Where everything opens, and closes in reverse: the ledger for every process, the broker for some."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from ledger.broker.port import Broker
from ledger.broker.rabbitmq import RabbitmqBroker
from ledger.clock import LedgerClock, synchronise
from ledger.commands import TaskCommands
from ledger.embedded_postgres import running_url
from ledger.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    SchemaBehindError,
    StopAskedError,
    StoreUnavailableError,
)
from ledger.instruments import Instruments, open_instruments
from ledger.migrate import migrate
from ledger.payloads.vault import PayloadVault, open_vault
from ledger.queues.policies import QueuePolicies, stored_policies
from ledger.settings import Settings
from ledger.store.connection import Database, open_database
from ledger.store.postgres import PostgresEventStore, open_store
from ledger.telemetry import Role

log = structlog.get_logger()

EMBEDDED_HOME = "postgres"

_TRY_EVERY_SECONDS = 0.5
_SAY_EVERY_SECONDS = 5.0

Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class Ledger:
    """What every process of Task Ledger works with."""

    settings: Settings
    database: Database
    store: PostgresEventStore
    commands: TaskCommands
    clock: LedgerClock
    policies: QueuePolicies
    vault: PayloadVault
    instruments: Instruments = field(default_factory=Instruments)


@asynccontextmanager
async def open_ledger(settings: Settings, *, role: Role | None = None) -> AsyncIterator[Ledger]:
    """Open the ledger in the database of the settings, and the instruments of the role.

    Raises:
        ConfigurationError: DATABASE_URL is not set, and no embedded Postgres runs; or tasks are to be erasable
            and there is no secret.
        StoreUnavailableError: the database is out of reach.
    """
    async with (
        open_instruments(settings, role=role) as instruments,
        open_database(settings, required_database_url(settings)) as database,
        open_store(database, settings, instruments.measures) as store,
    ):
        clock = LedgerClock()
        await synchronise(clock, store)
        policies = stored_policies(database)
        vault = open_vault(database, settings)
        try:
            yield Ledger(
                settings=settings,
                database=database,
                store=store,
                commands=TaskCommands(store, clock, policies, vault),
                clock=clock,
                policies=policies,
                instruments=instruments,
                vault=vault,
            )
        finally:
            await policies.close()


def required_database_url(settings: Settings) -> str:
    """Return DATABASE_URL, else the embedded Postgres of a `taskledger up` that runs on the same data directory.

    Raises:
        ConfigurationError: there is neither.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    url = running_url(settings.data_dir / EMBEDDED_HOME)
    if url is None:
        raise ConfigurationError(
            f"DATABASE_URL must be set: no `taskledger up` runs on LEDGER_DATA_DIR {settings.data_dir}"
        )
    return url


@asynccontextmanager
async def open_ledger_when_ready(
    settings: Settings, stop: asyncio.Event, *, role: Role | None = None
) -> AsyncIterator[Ledger]:
    """Open the ledger as soon as the database answers and has this release's schema.

    A process that starts with its database waits for it, up to LEDGER_STARTUP_WAIT_SECONDS.

    Raises:
        ConfigurationError: DATABASE_URL is not set, and no embedded Postgres runs.
        StoreUnavailableError: the database was out of reach all the time.
        MigrationError: the schema was behind all the time, or is of another release.
        StopAskedError: `stop` was set meanwhile.
    """
    await _patiently(lambda: _require_schema(settings), settings.startup_wait_seconds, stop, what="database")
    async with open_ledger(settings, role=role) as ledger:
        yield ledger


@asynccontextmanager
async def open_broker_when_ready(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Broker]:
    """Open the broker as soon as it answers; raises what `open_broker` raises when it never did."""
    opened = await _patiently(lambda: _open_rabbitmq(settings), settings.startup_wait_seconds, stop, what="broker")
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def open_broker(settings: Settings) -> AsyncIterator[Broker]:
    """Open the RabbitMQ of the settings.

    Raises:
        ConfigurationError: RABBITMQ_URL is not set.
        BrokerUnavailableError: it is out of reach.
    """
    broker = await _open_rabbitmq(settings)
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def broker_to_look_at(settings: Settings) -> AsyncIterator[Broker | None]:
    """Yield the RabbitMQ of the settings, which connects when it is first asked; None where there is none."""
    if settings.rabbitmq_url is None:
        yield None
        return
    broker = RabbitmqBroker(
        settings.rabbitmq_url.get_secret_value(), publish_timeout_seconds=settings.publish_timeout_seconds
    )
    try:
        yield broker
    finally:
        await broker.close()


async def _open_rabbitmq(settings: Settings) -> Broker:
    if settings.rabbitmq_url is None:
        raise ConfigurationError("RABBITMQ_URL must be set: this command works on a running RabbitMQ")
    return await RabbitmqBroker.open(settings)


async def _require_schema(settings: Settings) -> None:
    missing = await migrate(required_database_url(settings), dry_run=True)
    if missing:
        raise SchemaBehindError(count=len(missing))


async def _patiently(
    open_it: Callable[[], Awaitable[Opened]], seconds_max: float, stop: asyncio.Event, *, what: str
) -> Opened:
    deadline = time.monotonic() + seconds_max
    said_at = 0.0
    while True:
        try:
            return await open_it()
        except (StoreUnavailableError, BrokerUnavailableError, SchemaBehindError) as error:
            now = time.monotonic()
            if now >= deadline:
                raise
            if now - said_at >= _SAY_EVERY_SECONDS:
                log.warning("startup.waiting", what=what, reason=str(error))
                said_at = now
        with suppress(TimeoutError):
            async with asyncio.timeout(_TRY_EVERY_SECONDS):
                await stop.wait()
        if stop.is_set():
            raise StopAskedError
