"""The scheduler: does the ledger's chores, each at its own interval, in one process at a time.

    due tasks · held tasks · follow-ups · schedules · lost workers · lost messages · old workers · spent keys ·
    erasures by tag · partitions · seals · webhooks · the clock

One scheduler leads and the others stand by. Nothing depends on it being the only one: all that a chore does to a
task is an append with an expected version. Leading only saves doing the work twice.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from secrets import SystemRandom

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.bulk_acts.chore import BulkChore
from ledger.clock import synchronise
from ledger.errors import ConfigurationError, LeadershipLostError, LedgerError, StoreUnavailableError
from ledger.follow_ups import FollowUps
from ledger.leader import still_leads, together, while_leading
from ledger.outage import Outage
from ledger.outlook import JITTER, Outlook
from ledger.payloads.orders import ErasureChore
from ledger.queries import query
from ledger.queues.admitter import Admitter
from ledger.reconciler import Reconciler
from ledger.releaser import Releaser
from ledger.schedules.firer import ScheduleFirer
from ledger.seals.sealer import Sealer, seal_interval_seconds
from ledger.settings import Settings
from ledger.spent_keys import SpentKeys
from ledger.sweeper import Sweeper
from ledger.telemetry import LEADER
from ledger.webhooks.dispatcher import Dispatcher

log = structlog.get_logger()

ROLE = "scheduler"
MONTHS_AHEAD = 3
_HOUR_SECONDS = 3600.0
_MINUTE_SECONDS = 60.0
_RETRY_SECONDS_MAX = 60.0
_CLOCK_SECONDS = 60.0
_PROBE_SECONDS = 5.0
_RECONCILE_SECONDS_MAX = 5.0
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do again and again; `do` returns how much it did.

    Attributes:
        interval_seconds: how long to wait between two rounds; None for one that the outlook wakes by its name.
    """

    name: str
    interval_seconds: float | None
    do: Callable[[], Awaitable[int]]


def reconcile_seconds(settings: Settings) -> float:
    """Return how long the reconciler waits between two rounds."""
    return min(settings.reconcile_after_seconds / 4, _RECONCILE_SECONDS_MAX)


class Scheduler:
    """Releases what is due, fires schedules, sweeps lost workers, reconciles lost messages, keeps the house."""

    def __init__(self, ledger: Ledger) -> None:
        settings = ledger.settings
        self._ledger = ledger
        self._measures = ledger.instruments.measures
        self._measures.set(LEADER, 0, ROLE)
        self._outage = Outage(ROLE, retry_seconds_max=settings.broker_retry_seconds_max)
        self._sweeper = Sweeper(ledger)
        self._admitter = Admitter(ledger)
        self._follow_ups = FollowUps(ledger)
        self._webhooks = Dispatcher(ledger)
        spent_keys = SpentKeys(ledger)
        self._chores = (
            Chore("partitions", _HOUR_SECONDS, self._prepare_partitions),
            Chore("release", None, Releaser(ledger).run_once),
            Chore("schedules", None, ScheduleFirer(ledger).run_once),
            Chore("sweep", settings.sweep_interval_seconds, self._sweeper.run_once),
            Chore("reconcile", reconcile_seconds(settings), Reconciler(ledger).run_once),
            Chore("bulk_acts", None, BulkChore(ledger).run_once),
            Chore("erase", None, ErasureChore(ledger).run_once),
            Chore("seal", seal_interval_seconds(settings), Sealer(ledger).run_once),
            Chore("forget_workers", _HOUR_SECONDS, self._sweeper.forget_old_workers),
            Chore("permits", _MINUTE_SECONDS, self._admitter.tidy),
            Chore("forget_idempotency_keys", _MINUTE_SECONDS, spent_keys.forget_idempotency_keys),
            Chore("forget_unique_keys", _HOUR_SECONDS, spent_keys.forget_unique_keys),
            Chore("webhook_log", _MINUTE_SECONDS, self._webhooks.prune),
            Chore("clock", _CLOCK_SECONDS, self._synchronise),
        )

    async def run_once(self) -> int:
        """Do every chore once, whoever leads; return how much was done."""
        done = sum([await chore.do() for chore in self._chores])
        done += await self._admitter.run_once() + await self._follow_ups.run_once()
        return done + await self._webhooks.run_once()

    async def run(self) -> None:
        """Do the chores for ever while this process leads, stand by while another does; outlives every outage."""
        while True:
            try:
                await while_leading(self._ledger.database, ROLE, self._lead)
            except ConfigurationError:
                raise
            except LedgerError as error:
                if isinstance(error, StoreUnavailableError | LeadershipLostError):
                    self._sweeper.hold_back()
                await self._outage.wait(error)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        async def probe() -> int:
            await still_leads(connection)
            return 0

        if not self._outage.is_on:
            log.info("scheduler.leading")
        chores = (*self._chores, Chore("probe", _PROBE_SECONDS, probe))
        with self._measures.leading(ROLE):
            outlook = Outlook(self._ledger)
            await together(
                outlook.run(),
                self._keep_on("admit", lambda: self._admitter.run(outlook)),
                self._keep_on("follow_ups", lambda: self._follow_ups.run(outlook)),
                self._keep_on("webhooks", lambda: self._webhooks.run(outlook)),
                *(self._repeat(chore, outlook) for chore in chores),
            )

    async def _keep_on(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        trouble = self._trouble(name)
        while True:
            began = time.monotonic()
            try:
                await run()
            except StoreUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - what fails here must not keep the chores from being done
                if time.monotonic() - began > _RETRY_SECONDS_MAX:
                    trouble.end()  # it went well for long, so this is another one
                await trouble.wait(error)

    async def _repeat(self, chore: Chore, outlook: Outlook) -> None:
        trouble = self._trouble(chore.name)
        while True:
            seconds = chore.interval_seconds
            try:
                await chore.do()
                trouble.end()
                self._outage.end()
            except StoreUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - one chore that fails must not keep the others from being done
                await trouble.wait(error)
                seconds = min(seconds or 0.0, _RETRY_SECONDS_MAX)
            if seconds is None:
                await outlook.until_wanted(chore.name)
            else:
                await asyncio.sleep(seconds * _random.uniform(1 - JITTER, 1 + JITTER))

    def _trouble(self, name: str) -> Outage:
        return Outage(f"{ROLE}.{name}", retry_seconds_max=self._ledger.settings.broker_retry_seconds_max)

    async def _prepare_partitions(self) -> int:
        async with self._ledger.database.connection() as connection, connection.transaction():
            await connection.execute(query("bound_lock_wait"))
            made: int = await connection.fetchval(query("prepare_partitions"), MONTHS_AHEAD)
        if made:
            log.info("partitions.prepared", partitions=made)
        return made

    async def _synchronise(self) -> int:
        await synchronise(self._ledger.clock, self._ledger.store)
        return 0
