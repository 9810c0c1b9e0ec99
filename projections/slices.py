"""The slices of a rebuild: ranges of task ids with about as many events each, handed out to whoever asks next."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ledger.queries import query

_FIRST = UUID(int=0)
_LAST = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Slice:
    """The whole streams from one task to another, both included."""

    first: UUID
    last: UUID


class Slices:
    """Hands out ranges that follow each other without a gap, up to the greatest id there can be.

    A task's events are all in one slice, so slices can be folded side by side and in any order. Those that an
    earlier rebuild has folded, given in their order, are passed over.
    """

    def __init__(self, *, events_per_slice: int, done: Sequence[Slice] = ()) -> None:
        self.events_per_slice = events_per_slice
        self._done = deque(done)
        self._turn = asyncio.Lock()
        self._first: UUID | None = _FIRST

    async def next(self, connection: asyncpg.Connection, *, timeout_seconds: float) -> Slice | None:
        """Return the next slice, None after the last."""
        async with self._turn:
            while self._done and self._done[0].first == self._first:
                self._first = _after(self._done.popleft().last)
            first = self._first
            if first is None:
                return None
            last = await connection.fetchval(
                query("last_task_of_slice"), first, self.events_per_slice, timeout=timeout_seconds
            )
            last = _LAST if last is None else UUID(int=last.int)
            if self._done:
                last = min(last, UUID(int=self._done[0].first.int - 1))
            self._first = _after(last)
            return Slice(first, last)


def _after(task_id: UUID) -> UUID | None:
    return None if task_id == _LAST else UUID(int=task_id.int + 1)
