"""The follower of the log: the events that a filter finds, as they are appended, none skipped and none twice."""

from collections.abc import AsyncGenerator, Sequence

from ledger.bootstrap import Ledger
from ledger.errors import StoreUnavailableError
from ledger.history.search import EventFilter, LogSearch
from ledger.outage import Outage
from ledger.store.records import RecordedEvent
from ledger.subscription import subscribe

_PAGE_EVENTS = 500
_RETRY_SECONDS_MAX = 5.0


async def follow(
    ledger: Ledger, asked: EventFilter, *, after: int
) -> AsyncGenerator[Sequence[RecordedEvent], None]:
    """Yield the events after a position, page by page, for ever; a database that is away is waited for.

    It is woken by appends, and looks every LEDGER_POLL_INTERVAL_SECONDS all the same.
    """
    search = LogSearch(ledger)
    outage = Outage("follower", retry_seconds_max=_RETRY_SECONDS_MAX)
    async with subscribe(
        ledger.store, poll_interval_seconds=ledger.settings.poll_interval_seconds
    ) as subscription:
        while True:
            try:
                found = await search.read(asked, after=after, limit=_PAGE_EVENTS)
            except StoreUnavailableError as error:
                await outage.wait(error)
                continue
            outage.end()
            after = found.next_after
            if found.events:
                yield found.events
            if after >= found.horizon:
                await subscription.wait()
