"""What operators ask for, for an event loop: queues, dead letters and schedules."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Unpack
from uuid import UUID

from api.sdk import operator_calls as calls
from api.sdk.answers import DeadLetter, Fired, LetterAct, Queue, Schedule
from api.sdk.connection import AsyncConnection
from api.sdk.options import LetterFilter


class AsyncQueues:
    """The queues; as `AsyncTaskLedger.queues`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self) -> Sequence[Queue]:
        """Return all queues, by name."""
        return await self._connection.ask(calls.queues())

    async def get(self, name: str) -> Queue:
        """Return a queue."""
        return await self._connection.ask(calls.queue(name))

    async def pause(self, name: str, *, reason: str = "") -> Queue:
        """Let no further task of a queue start."""
        return await self._connection.ask(calls.turn_queue(name, "pause", reason))

    async def resume(self, name: str, *, reason: str = "") -> Queue:
        """Let the tasks of a paused queue start again."""
        return await self._connection.ask(calls.turn_queue(name, "resume", reason))

    async def set(self, name: str, settings: Mapping[str, Any], *, reason: str = "") -> Queue:
        """Replace the limits of a queue (`concurrency_max`, `rate_max`, …); what is absent is no limit."""
        return await self._connection.ask(calls.set_queue(name, settings, reason))


class AsyncDeadLetters:
    """The dead letters; as `AsyncTaskLedger.dead_letters`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, **wanted: Unpack[LetterFilter]) -> AsyncIterator[DeadLetter]:
        """Yield dead letters, newest first, a page at a time."""
        cursor: str | int | None = None
        while True:
            page = await self._connection.ask(calls.dead_letters(wanted, cursor))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def redrive(self, letter_id: UUID | str, *, reason: str = "") -> LetterAct:
        """Retry the task, or release the task that waits for the message; raises ConflictError where it cannot."""
        return await self._connection.ask(calls.act_on_letter(letter_id, "redrive", reason))

    async def discard(self, letter_id: UUID | str, *, reason: str) -> LetterAct:
        """Set a dead letter aside; raises ConflictError where somebody has dealt with it."""
        return await self._connection.ask(calls.act_on_letter(letter_id, "discard", reason))


class AsyncSchedules:
    """The schedules; as `AsyncTaskLedger.schedules`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self) -> AsyncIterator[Schedule]:
        """Yield all schedules, by name, a page at a time."""
        after: str | int | None = None
        while True:
            page = await self._connection.ask(calls.schedules(after))
            for item in page.items:
                yield item
            after = page.next
            if after is None:
                return

    async def get(self, name: str) -> Schedule:
        """Return a schedule; raises NotFoundError."""
        return await self._connection.ask(calls.schedule(name))

    async def put(self, name: str, definition: Mapping[str, Any]) -> Schedule:
        """Make a schedule, or change it to this definition (`cron`, `time_zone`, `task`, …)."""
        return await self._connection.ask(calls.put_schedule(name, definition))

    async def pause(self, name: str, *, reason: str = "") -> Schedule:
        """Let a schedule fire no more until it is resumed."""
        return await self._connection.ask(calls.turn_schedule(name, "pause", reason))

    async def resume(self, name: str, *, reason: str = "") -> Schedule:
        """Let a paused schedule fire again."""
        return await self._connection.ask(calls.turn_schedule(name, "resume", reason))

    async def fire(self, name: str, *, reason: str = "") -> Fired:
        """Submit the task of a schedule now."""
        return await self._connection.ask(calls.fire_schedule(name, reason))

    async def remove(self, name: str, *, reason: str = "") -> None:
        """Remove a schedule; its tasks stay."""
        await self._connection.ask(calls.remove_schedule(name, reason))
