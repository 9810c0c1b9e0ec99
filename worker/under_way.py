"""What is under way, and a place to wait until nothing is."""

import asyncio
from collections.abc import ValuesView
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


class UnderWay(Generic[Key, Item]):
    """A dictionary that knows when it is empty."""

    def __init__(self) -> None:
        self._items: dict[Key, Item] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __contains__(self, key: Key) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    def add(self, key: Key, item: Item) -> None:
        """Note that something began."""
        self._items[key] = item
        self._empty.clear()

    def remove(self, key: Key) -> None:
        """Note that it ended."""
        self._items.pop(key, None)
        if not self._items:
            self._empty.set()

    def values(self) -> ValuesView[Item]:
        """Return everything that is under way."""
        return self._items.values()

    async def emptied(self, *, seconds_max: float) -> bool:
        """Return True as soon as nothing is under way, False after the time."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
