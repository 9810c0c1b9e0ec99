"""The workshop: what every attempt of a worker works with, and what is closed when the worker leaves."""

from dataclasses import dataclass

from ledger.clock import Clock
from ledger.settings import Settings
from ledger.store.connection import Database
from ledger.store.port import EventStore
from worker.completion import CompletionOffice
from worker.endings import Ending
from worker.processes import Processes
from worker.recorder import Recorder
from worker.registry import Registry
from worker.store_outage import StoreOutage
from worker.threads import Threads
from worker.transactions import Transactions


@dataclass(frozen=True, slots=True)
class Workshop:
    """The handlers, the places where they run, and the ways to the ledger.

    Attributes:
        completions: None where there is no database.
    """

    registry: Registry
    threads: Threads[Ending]
    processes: Processes
    store: EventStore
    clock: Clock
    recorder: Recorder
    completions: CompletionOffice | None

    async def close(self) -> None:
        """End every process, let every thread end, close every connection of a handler."""
        await self.processes.close()
        self.threads.close()
        if self.completions is not None:
            await self.completions.transactions.close()


def furnished(
    settings: Settings,
    store: EventStore,
    clock: Clock,
    *,
    database: Database | None,
    registry: Registry,
    outage: StoreOutage,
) -> Workshop:
    """Return a workshop in which nothing has been opened yet."""
    bytes_max = settings.result_bytes_max
    completions = None
    if database is not None:
        transactions = Transactions(database, connections_max=settings.handler_connections_max)
        completions = CompletionOffice(store, clock, transactions, bytes_max)
    return Workshop(
        registry=registry,
        threads=Threads(name="handler"),
        processes=Processes(settings),
        store=store,
        clock=clock,
        recorder=Recorder(store, clock, outage, result_bytes_max=bytes_max),
        completions=completions,
    )
