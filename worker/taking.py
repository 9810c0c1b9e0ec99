"""The taking: whether a worker takes deliveries; it ends while the worker is drained, and begins anew after it."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

log = structlog.get_logger()


class Taking:
    """Runs `take` as a task of a group: until it is paused, and again when it is resumed.

    Args:
        take: takes deliveries until it is cancelled, and then gives back what it has not settled.
    """

    def __init__(self, take: Callable[[asyncio.TaskGroup], Coroutine[None, None, None]]) -> None:
        self._take = take
        self._group: asyncio.TaskGroup | None = None
        self._taking: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether something may still be taken: also while what was not settled is being given back."""
        return self._taking is not None and not self._taking.done()

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Take, as a task of this group."""
        self._group = group
        self._taking = group.create_task(self._take(group))

    def pause(self, is_paused: bool) -> None:  # noqa: FBT001 - the beat's answer, as it is
        """Take nothing more, or take again; told again and again, it changes nothing."""
        if self._group is None:
            return
        if is_paused and self.is_on:
            self._cancel()
        elif not is_paused and not self.is_on:
            log.info("worker.resumed")
            self.begin(self._group)

    async def end(self) -> None:
        """Take nothing more for good, and return when all that was not settled is given back."""
        self._group = None
        if self._taking is not None:
            self._cancel()
            await asyncio.wait([self._taking])

    def _cancel(self) -> None:
        # Once: a second time it would not give back what it has in the order that it should.
        if self._taking is not None and not self._taking.cancelling():
            self._taking.cancel()
            log.info("worker.takes_nothing_more")
