"""The tail: follows the log once for everybody in this process who waits for what happens next.

It runs while somebody is interested, and holds no connection otherwise. What it has read last it keeps, within
bounds: readers at the end of the log take it from there, and whoever is behind reads the database up to `head`,
which comes from the append horizon. Both go by position alone, so nothing is lost or doubled between them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import takewhile
from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.outage import Outage
from ledger.store.records import RecordedEvent
from ledger.subscription import Subscription, subscribe

_BATCH_SIZE_MAX = 200
_KEPT_EVENTS_MAX = 1000
_KEPT_CHARS_MAX = 8_388_608
_RETRY_SECONDS_MAX = 1.0


class RecentEvents:
    """The end of the log as the tail has it: every event above `floor`, up to `head`."""

    def __init__(self, position: int, *, events_max: int) -> None:
        self.floor = position
        self.head = position
        self._events: deque[RecordedEvent] = deque()
        self._chars = 0
        self._events_max = events_max

    def add(self, events: Sequence[RecordedEvent]) -> None:
        """Add the next events of the log, and forget the oldest ones beyond the bounds."""
        self._events.extend(events)
        self._chars += sum(len(event.data) for event in events)
        self.head = events[-1].position
        while len(self._events) > self._events_max or self._chars > _KEPT_CHARS_MAX:
            oldest = self._events.popleft()
            self._chars -= len(oldest.data)
            self.floor = oldest.position

    def after(self, position: int) -> list[RecordedEvent]:
        """Return the events above a position that is not below the floor, in order."""
        newest_first = takewhile(lambda event: event.position > position, reversed(self._events))
        return list(newest_first)[::-1]


class Watch:
    """Tells whoever waits for a task that it has new events; it stays told until `expect` is called."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Wake whoever waits now or next."""
        self._woken.set()

    def expect(self) -> None:
        """Forget what was told; look at the task after this, not before."""
        self._woken.clear()

    async def wait(self) -> None:
        """Return once there is something to look at."""
        await self._woken.wait()


class Tail:
    """Follows the log for all who have a `followed` open.

    Attributes:
        kept: the end of the log; None before the tail has begun.
    """

    def __init__(self, ledger: Ledger, *, kept_events_max: int = _KEPT_EVENTS_MAX) -> None:
        self._kept_events_max = kept_events_max
        self._store = ledger.store
        self._poll_interval_seconds = ledger.settings.poll_interval_seconds
        self._followers = 0
        self._following: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.kept: RecentEvents | None = None
        self._grown = asyncio.Event()
        self._watches: dict[UUID, set[Watch]] = {}

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Keep the tail running while the context is open."""
        self._followers += 1
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._end()

    @contextmanager
    def watched(self, task_id: UUID) -> Iterator[Watch]:
        """Be told of each new event of a task while the context is open."""
        watch = Watch()
        self._watches.setdefault(task_id, set()).add(watch)
        try:
            yield watch
        finally:
            self._watches[task_id].discard(watch)
            if not self._watches[task_id]:
                del self._watches[task_id]

    async def recent(self) -> RecentEvents:
        """Return what the tail has, as soon as it has begun; it grows on.

        An event that a reader does not see after this was called will be told of.
        """
        while self.kept is None:
            await self._grown.wait()
        return self.kept

    async def beyond(self, position: int) -> None:
        """Return as soon as the log has an event above a position."""
        while (await self.recent()).head <= position:
            await self._grown.wait()

    def _end(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._ending.add(self._following)
            self._following.add_done_callback(self._ending.discard)
        self._following = self.kept = None

    async def _follow(self) -> None:
        outage = Outage("tail", retry_seconds_max=_RETRY_SECONDS_MAX)
        async with subscribe(self._store, poll_interval_seconds=self._poll_interval_seconds) as subscription:
            recent = None
            while True:
                try:
                    recent = recent or await self._begin(subscription)
                    await self._step(subscription, recent)
                    outage.end()
                except Exception as error:  # noqa: BLE001 - whoever waits goes on waiting, and loses no event
                    await outage.wait(error)

    async def _begin(self, subscription: Subscription) -> RecentEvents:
        self.kept = RecentEvents(await subscription.horizon(), events_max=self._kept_events_max)
        self._tell()
        return self.kept

    async def _step(self, subscription: Subscription, recent: RecentEvents) -> None:
        events = await subscription.read(after=recent.head, limit=_BATCH_SIZE_MAX)
        if not events:
            await subscription.wait()
            return
        recent.add(events)
        for task_id in {event.task_id for event in events} & self._watches.keys():
            for watch in self._watches[task_id]:
                watch.wake()
        self._tell()

    def _tell(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
