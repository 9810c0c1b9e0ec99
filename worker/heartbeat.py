"""The heartbeat: says that the worker lives, and brings back the time and what is asked of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from ledger.clock import LedgerClock
from ledger.errors import LedgerError
from ledger.measures import Measures
from ledger.outage import Outage
from ledger.settings import Settings
from ledger.telemetry import HEARTBEATS
from worker.roster import Roster, RunningAttempt
from worker.taking import Taking

log = structlog.get_logger()

_LATE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What a beat asks of the worker, and what it tells it.

    Attributes:
        running: asked at every beat for the attempts that are under way.
        cancel: called with each task that somebody wants cancelled, at every beat anew.
        taking: told at every beat whether to take anything new.
    """

    running: Callable[[], list[RunningAttempt]]
    cancel: Callable[[UUID], None]
    taking: Taking


class Heartbeat:
    """Beats for one worker.

    A worker whose beats failed for longer than the lease may have been swept. What it runs is fenced and goes on;
    it must not begin anything new until a beat succeeds.

    Args:
        measures: where the beats are counted.
    """

    def __init__(
        self,
        roster: Roster,
        clock: LedgerClock,
        settings: Settings,
        duties: Duties,
        *,
        measures: Measures,
    ) -> None:
        self._measures = measures
        self._roster = roster
        self._clock = clock
        self._interval_seconds = settings.heartbeat_seconds
        self._lease_seconds = settings.lease_seconds
        self._outage = Outage("heartbeat", retry_seconds_max=settings.heartbeat_seconds)
        self._running = duties.running
        self._cancel = duties.cancel
        self._taking = duties.taking
        self._beaten = asyncio.Event()
        self._believed_until = float("-inf")

    @property
    def is_believed(self) -> bool:
        """Whether everybody has to believe that this worker lives."""
        return time.monotonic() < self._believed_until

    async def wait_until_believed(self) -> None:
        """Return as soon as a beat has succeeded within the lease."""
        while not self.is_believed:
            self._beaten.clear()
            await self._beaten.wait()

    async def run_once(self) -> int:
        """Beat once; return how many cancel requests came back."""
        asked_at = time.monotonic()
        answer = await self._roster.beat(self._running(), takes=self._taking.is_on)
        self._clock.set(answer.now, round_trip_seconds=time.monotonic() - asked_at)
        # Counted from before the beat: the sweeper counts from when the database noted it, which was later.
        self._believed_until = asked_at + self._lease_seconds
        self._beaten.set()
        self._taking.pause(answer.draining)
        for task_id in answer.cancel_requested:
            self._cancel(task_id)
        return len(answer.cancel_requested)

    async def run(self) -> None:
        """Beat for ever, through every outage."""
        was_believed = False
        while True:
            try:
                await self.run_once()
            except LedgerError as error:
                self._measures.count(HEARTBEATS, "failed")
                if was_believed and not self.is_believed:
                    log.warning("heartbeat.lease_lost", lease_seconds=self._lease_seconds, reason=str(error))
                    was_believed = False
                await self._outage.wait(error)
            else:
                self._outage.end()
                self._measures.count(HEARTBEATS, "answered")
                was_believed = True
                await self._pause()

    async def _pause(self) -> None:
        await self._sleep(self._interval_seconds / 2)
        if not self._running():  # whoever runs something hears of a cancel within half the interval
            await self._sleep(self._interval_seconds / 2)

    async def _sleep(self, seconds: float) -> None:
        wake_at = time.monotonic() + seconds
        await asyncio.sleep(seconds)
        late_seconds = time.monotonic() - wake_at
        if late_seconds > _LATE_SECONDS:
            log.warning(
                "heartbeat.late",
                seconds=round(late_seconds, 1),
                hint="a coroutine handler blocks the event loop; make it a plain function",
            )
