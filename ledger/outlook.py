"""The outlook: one statement that looks for what the chores of the scheduler have to do, so that none need ask."""

import asyncio
from collections.abc import Mapping
from secrets import SystemRandom

import structlog

from ledger.bootstrap import Ledger
from ledger.errors import StoreUnavailableError
from ledger.queries import query
from ledger.store.port import AppendSignal

log = structlog.get_logger()

JITTER = 0.1
_REST_SECONDS_MAX = 60.0
_random = SystemRandom()


class Outlook:
    """Wakes the chores that have something to do, once each LEDGER_SCHEDULER_INTERVAL_SECONDS."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._interval_seconds = ledger.settings.scheduler_interval_seconds
        self._wanted: dict[str, asyncio.Event] = {}

    async def until_wanted(self, chore: str) -> None:
        """Return when there is, or was since the last call, something to do for this chore.

        Args:
            chore: a column of the query `outlook`.
        """
        wanted = self._wanted.setdefault(chore, asyncio.Event())
        await wanted.wait()
        wanted.clear()

    async def until_wanted_or_appended(self, chore: str, signal: AppendSignal) -> None:
        """Return when there is something to do for this chore, or something was appended."""
        waits = [
            asyncio.ensure_future(self.until_wanted(chore)),
            asyncio.ensure_future(signal.wait(_REST_SECONDS_MAX)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def run(self) -> None:
        """Look for ever.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        while True:
            found = await self._look()
            for chore, wanted in self._wanted.items():
                if found.get(chore, True):
                    wanted.set()
            await asyncio.sleep(self._interval_seconds * _random.uniform(1 - JITTER, 1 + JITTER))

    async def _look(self) -> Mapping[str, bool]:
        # What cannot be looked for is wanted: each chore then meets the trouble itself, and tells of it.
        try:
            async with self._database.connection() as connection:
                [row] = await connection.fetch(query("outlook"))
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one read model that is not there must not keep every chore from its work
            log.debug("scheduler.outlook_failed", error=str(error))
            return {}
        return dict(row)
