"""The progress of an attempt: its latest word, recorded at most once a second and never in the handler's way."""

import asyncio

import structlog

from ledger.clock import Clock
from ledger.commands import TaskCommands
from ledger.errors import LedgerError
from ledger.jsonvalue import storable_text
from ledger.store.port import EventStore
from worker.claims import Claim

log = structlog.get_logger()

_INTERVAL_SECONDS = 1.0
_MESSAGE_CHARS_MAX = 1000


class Progress:
    """What one attempt says of its progress; `report` may be called from any thread."""

    def __init__(self, claim: Claim, store: EventStore, clock: Clock) -> None:
        self._claim = claim
        self._clock = clock
        self._commands = TaskCommands(store, clock)
        self._loop = asyncio.get_running_loop()
        self._latest: tuple[float, str] | None = None
        self._is_busy = False
        self._is_closed = False
        self._is_appending = False
        self._writing: asyncio.Task[None] | None = None

    def report(self, fraction: float, message: str) -> None:
        """Keep the latest word, and see to it that it is recorded when its time comes."""
        self._latest = (fraction, message)
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon_threadsafe(self._begin)

    def close(self) -> None:
        """Record nothing more: the outcome says more than any progress."""
        self._is_closed = True
        if self._writing is not None:
            self._writing.cancel()

    async def quiet(self) -> None:
        """Record nothing more, and return when nothing is on its way."""
        self._is_closed = True
        if self._writing is None:
            return
        if not self._is_appending:
            self._writing.cancel()
        await asyncio.wait([self._writing])

    def _begin(self) -> None:
        if not self._is_closed and (self._writing is None or self._writing.done()):
            self._writing = self._loop.create_task(self._write())

    async def _write(self) -> None:
        while True:
            while self._latest is not None:
                (fraction, message), self._latest = self._latest, None
                self._is_appending = True
                await self._append(fraction, storable_text(message, chars_max=_MESSAGE_CHARS_MAX))
                self._is_appending = False
                if self._is_closed:
                    return
                await asyncio.sleep(_INTERVAL_SECONDS)
            self._is_busy = False
            # A thread may have spoken between the two lines above, and counted on us.
            if self._latest is None:
                return
            self._is_busy = True

    async def _append(self, fraction: float, message: str) -> None:
        try:
            await self._commands.decide(
                self._claim.task.id,
                lambda task: task.report_progress(
                    attempt=self._claim.attempt, fraction=fraction, message=message, now=self._clock.now()
                ),
                origin=self._claim.origin,
                cipher=self._claim.seals,
            )
        except LedgerError as error:
            log.debug("attempt.progress_lost", task_id=str(self._claim.task.id), reason=str(error))
