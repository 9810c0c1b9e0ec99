"""The slices of a rebuild: ranges of task ids with about as many events each, handed out to whoever asks next."""

import asyncio
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

    A task's events are all in one slice, so slices can be folded side by side and in any order.
    """

    def __init__(self, *, events_per_slice: int) -> None:
        self.events_per_slice = events_per_slice
        self._turn = asyncio.Lock()
        self._first: UUID | None = _FIRST

    async def next(self, connection: asyncpg.Connection, *, timeout_seconds: float) -> Slice | None:
        """Return the next slice, None after the last."""
        async with self._turn:
            first = self._first
            if first is None:
                return None
            last = await connection.fetchval(
                query("last_task_of_slice"), first, self.events_per_slice, timeout=timeout_seconds
            )
            last = _LAST if last is None else UUID(int=last.int)
            self._first = None if last == _LAST else UUID(int=last.int + 1)
            return Slice(first, last)
