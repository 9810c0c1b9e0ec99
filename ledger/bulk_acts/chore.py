"""The bulk chore: works off the bulk acts, at their rate, whoever is killed when.

    list below the last place ─▶ note what is under way ─▶ act on each ─▶ count, and note that it is done

What is under way is noted before anything is done about it. Whoever finds it there after a kill acts on it again:
what this bulk act has acted upon already says so itself (the cause of its event, the row of the act), is left
alone and is counted. So nothing is done twice and each is counted once. What died or was submitted after a bulk
act was asked for is none of its business, so that a task that fails again does not go round in circles.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct, bulk_act_of
from ledger.bulk_acts.commands import opened_subject
from ledger.bulk_acts.pace import Pace
from ledger.dead_letters.letters import Place
from ledger.queries import query

log = structlog.get_logger()

_BULK_ACTS_MAX = 100


class BulkChore:
    """Acts upon as many as are due; any number of these may run, each letter or task is acted upon once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def run_once(self, now: datetime | None = None) -> int:
        """Go on with every bulk act as far as its rate permits, and return how many it has gone through.

        Args:
            now: the database's time; the ledger's clock tells it if absent.
        """
        async with self._ledger.database.connection() as connection:
            rows = await connection.fetch(query("unfinished_bulk_acts"), _BULK_ACTS_MAX)
        moment = self._ledger.clock.now() if now is None else now
        return sum([await self._go_on(bulk_act_of(row), moment) for row in rows])

    async def take(self, bulk: BulkAct, now: datetime) -> BulkAct | None:
        """Note the next ones as under way, as many as are due; None where none are, or another was faster."""
        pace = Pace(bulk.rate_per_s)
        due = pace.due(paid_until=bulk.paid_until, now=now)
        if due == 0:
            return None
        left = due if bulk.limit is None else min(due, bulk.limit - bulk.acted)
        page = await self._page(bulk, left) if left > 0 else ()
        if not page:
            await self._end(bulk)
            return None
        ids, below = tuple(place.letter_id for place in page), page[-1]
        paid_until = pace.paid(len(page), paid_until=bulk.paid_until, now=now)
        taken = await self._set("take_for_bulk_act", bulk.bulk_id, bulk.paid_until, ids, *below, paid_until)
        return replace(bulk, under_way=ids, below=below, paid_until=paid_until) if taken else None

    async def _go_on(self, bulk: BulkAct, now: datetime) -> int:
        taken = bulk if bulk.under_way else await self.take(bulk, now)
        if taken is None:
            return 0
        acted = await opened_subject(self._ledger, taken.chosen).act(taken)
        skipped = len(taken.under_way) - acted
        await self._set("settle_bulk_act", taken.bulk_id, taken.under_way, acted, skipped)
        return len(taken.under_way)

    async def _page(self, bulk: BulkAct, limit: int) -> Sequence[Place]:
        return await opened_subject(self._ledger, bulk.chosen).page(bulk, limit=limit)

    async def _end(self, bulk: BulkAct) -> None:
        if await self._set("end_bulk_act", bulk.bulk_id):
            log.info(
                "bulk_act.done", bulk_id=str(bulk.bulk_id), act=bulk.act, acted=bulk.acted, skipped=bulk.skipped
            )

    async def _set(self, name: str, *arguments: object) -> bool:
        async with self._ledger.database.connection() as connection:
            return await connection.fetchval(query(name), *arguments) is not None
