"""Gathered reads: what is asked for while a query is in flight goes out together as the next one.

Clients poll, each for its own task; one query a client is bound by the pool, and unfair when it is short. A read
never joins a query that was sent before it was asked for, so a client reads what it has written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class GatheredReads(Generic[Key, Value]):
    """Finds values by key with a few queries at a time, each for at most `batch_size_max` keys.

    `read` returns the values that exist; what it raises is raised to everyone whose key it was asked for.
    """

    def __init__(
        self,
        read: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]],
        *,
        lanes_max: int,
        batch_size_max: int,
    ) -> None:
        self._read = read
        self._lanes_max = lanes_max
        self._batch_size_max = batch_size_max
        self._waiting: dict[Key, asyncio.Future[Value | None]] = {}
        self._lanes: set[asyncio.Task[None]] = set()

    async def find(self, key: Key) -> Value | None:
        """Return the value of a key, as it is now or becomes until the query is sent; None where there is none."""
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
            self._open_lane()
        # Several may wait for one answer: one that is cancelled must not take it from the others.
        return await asyncio.shield(self._waiting[key])

    def _open_lane(self) -> None:
        if len(self._lanes) < self._lanes_max:
            lane = asyncio.create_task(self._drain())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)

    async def _drain(self) -> None:
        while self._waiting:
            keys = list(islice(self._waiting, self._batch_size_max))
            batch = {key: self._waiting.pop(key) for key in keys}
            try:
                found = await self._read(keys)
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                for answer in batch.values():
                    answer.set_exception(error)
                    answer.exception()  # nobody may be left to see it
            else:
                for key, answer in batch.items():
                    answer.set_result(found.get(key))
