"""The dispatcher: sees to it that every endpoint that is due is served, and follows the log to wake their lanes.

While there is no endpoint it rests. The leader of the
scheduler runs it; what it does is safe beside another leader's, by compare-and-set. To shard it later is to let
each process take the endpoints of its share.
"""

import asyncio
from collections.abc import Callable

import asyncpg

from ledger.bootstrap import Ledger
from ledger.outlook import Outlook
from ledger.queries import query
from ledger.subscription import subscribe

_WAKE_GAP_SECONDS = 0.05
_PRUNED_AT_ONCE = 1000
_PRUNES_MAX = 100


class Dispatcher:
    """Serves all endpoints of the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._interval_seconds = ledger.settings.scheduler_interval_seconds

    async def run_once(self) -> int:
        """Send what is due and what was asked for, side by side, until each has it or fails; return how much."""
        rows = await self._endpoints()
        if not rows:
            return 0
        from ledger.webhooks.crew import open_crew  # noqa: PLC0415 - loads its HTTP client only where it is needed

        async with open_crew(self._ledger) as crew:
            errands = [crew.do_errands(row["name"]) for row in rows if row["asked"]]
            lanes = [crew.drain(row["name"]) for row in rows if row["due"]]
            return sum(await asyncio.gather(*errands, *lanes))

    async def run(self, outlook: Outlook) -> None:
        """Serve the endpoints for ever.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        while True:
            await outlook.until_wanted("webhooks")
            await self._serve()

    async def prune(self) -> int:
        """Forget what the log has kept for LEDGER_WEBHOOK_LOG_DAYS, in small steps; return how much that was."""
        days = self._ledger.settings.webhook_log_days
        pruned = 0
        for _ in range(_PRUNES_MAX):
            async with self._ledger.database.connection() as connection:
                rows = await connection.fetch(query("prune_webhook_log"), days, _PRUNED_AT_ONCE)
            pruned += len(rows)
            if len(rows) < _PRUNED_AT_ONCE:
                break
        async with self._ledger.database.connection() as connection:
            await connection.execute(query("prune_webhook_secrets"))
        return pruned

    async def _serve(self) -> None:
        """Serve while there are endpoints."""
        from ledger.webhooks.crew import open_crew  # noqa: PLC0415 - loads its HTTP client only where it is needed

        async with open_crew(self._ledger) as crew:
            follower = asyncio.create_task(self._follow(crew.wake))
            try:
                while rows := await self._endpoints():
                    crew.man(rows)
                    done, _ = await asyncio.wait([follower], timeout=self._interval_seconds)
                    if done:
                        await follower
            finally:
                follower.cancel()
                await asyncio.gather(follower, return_exceptions=True)

    async def _follow(self, wake: Callable[[], None]) -> None:
        """Wake the lanes when the log has grown, no more than 20 times a second."""
        seconds = self._ledger.settings.poll_interval_seconds
        async with subscribe(self._ledger.store, poll_interval_seconds=seconds) as subscription:
            head = 0
            while True:
                horizon = await subscription.horizon()
                if horizon != head:
                    head = horizon
                    wake()
                await asyncio.sleep(_WAKE_GAP_SECONDS)
                await subscription.wait()

    async def _endpoints(self) -> list[asyncpg.Record]:
        async with self._ledger.database.connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query("webhooks_to_serve"))
        return rows
