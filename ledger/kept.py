"""An answer that is kept for a while, so that ten who ask cost as much as one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

# An answer that took long is kept for longer: asking is to take no more than a twentieth of the time.
_SHARE = 20


class Kept(Generic[Answer]):
    """Asks at most once in so many seconds, and one at a time; who comes meanwhile gets the same answer."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._stale_at = float("-inf")
        self._answers: list[Answer] = []

    async def answer(self) -> Answer:
        """Return the answer, not older than that; raises what asking raises."""
        async with self._lock:
            began = time.monotonic()
            if began >= self._stale_at:
                self._answers = [await self._ask()]
                now = time.monotonic()
                self._stale_at = now + max(self._seconds, _SHARE * (now - began))
            return self._answers[0]
