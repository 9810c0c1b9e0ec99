"""Where everything opens, and closes in reverse: the ledger for every process, the broker for those that need it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ledger.broker.port import Broker
from ledger.broker.rabbitmq import RabbitmqBroker
from ledger.clock import LedgerClock, synchronise
from ledger.commands import TaskCommands
from ledger.errors import ConfigurationError
from ledger.settings import Settings
from ledger.store.connection import Database, open_database
from ledger.store.postgres import PostgresEventStore, open_store


@dataclass(frozen=True, slots=True)
class Ledger:
    """What every process of Task Ledger works with."""

    settings: Settings
    database: Database
    store: PostgresEventStore
    commands: TaskCommands
    clock: LedgerClock


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """Open the ledger in the database of the settings.

    Raises:
        ConfigurationError: DATABASE_URL is not set.
        StoreUnavailableError: the database is out of reach.
    """
    if settings.database_url is None:
        raise ConfigurationError("DATABASE_URL must be set: this command works on a running Postgres")
    async with (
        open_database(settings, settings.database_url.get_secret_value()) as database,
        open_store(database, settings) as store,
    ):
        clock = LedgerClock()
        await synchronise(clock, store)
        yield Ledger(
            settings=settings,
            database=database,
            store=store,
            commands=TaskCommands(store, clock),
            clock=clock,
        )


@asynccontextmanager
async def open_broker(settings: Settings) -> AsyncIterator[Broker]:
    """Open the RabbitMQ of the settings.

    Raises:
        ConfigurationError: RABBITMQ_URL is not set.
        BrokerUnavailableError: it is out of reach.
    """
    if settings.rabbitmq_url is None:
        raise ConfigurationError("RABBITMQ_URL must be set: this command works on a running RabbitMQ")
    broker = await RabbitmqBroker.open(settings)
    try:
        yield broker
    finally:
        await broker.close()
