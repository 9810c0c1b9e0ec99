"""Stays: requests that last, each told within seconds when its caller would not be let in any more.

One look for all of them: the keys are those that the process has anyway, and all sessions are one query.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from starlette.types import Scope

from ledger.errors import LedgerError

log = structlog.get_logger()

# With the age of the keyring and the look itself a stay ends within 4 s.
LOOK_SECONDS = 2.0
_PLACE = "ledger.stays"

Judge = Callable[[Sequence[Scope]], Awaitable[Sequence[bool]]]


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """One request that lasts; `over` is set when its caller would not be let in any more."""

    scope: Scope
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Stays:
    """Those who stay in this process.

    Args:
        judge: says of each of these requests whether its caller would still be let in.
    """

    def __init__(self, judge: Judge, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._judge = judge
        self._look_seconds = look_seconds
        self._open: set[Stay] = set()
        self._looking: asyncio.Task[None] | None = None

    def take(self, scope: Scope) -> None:
        """Note in a request that was let in that it is looked after here, should it last."""
        scope[_PLACE] = self

    @asynccontextmanager
    async def watched(self, scope: Scope) -> AsyncIterator[Stay]:
        """Look after a request while the context is open."""
        stay = Stay(scope)
        self._open.add(stay)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield stay
        finally:
            self._open.discard(stay)
            if not self._open and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def look_once(self) -> int:
        """Tell those who would not be let in any more, and return how many they are."""
        stays = tuple(self._open)
        verdicts = await self._judge([stay.scope for stay in stays])
        ended = [stay for stay, is_welcome in zip(stays, verdicts, strict=True) if not is_welcome]
        for stay in ended:
            stay.over.set()
        return len(ended)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await self.look_once()
            except LedgerError as error:  # who cannot be judged stays: without the database nothing comes anyway
                log.debug("stays.not_judged", reason=str(error))


@asynccontextmanager
async def staying(scope: Scope) -> AsyncIterator[Stay]:
    """Look after a request while the context is open; where no guard stands before it, it may stay."""
    stays: Stays | None = scope.get(_PLACE)
    if stays is None:
        yield Stay(scope)
        return
    async with stays.watched(scope) as stay:
        yield stay
