"""What operators ask for, blocking: queues, dead letters and schedules."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Unpack
from uuid import UUID

from api.sdk import operator_calls as calls
from api.sdk.answers import DeadLetter, Fired, LetterAct, Queue, Schedule
from api.sdk.connection import Connection
from api.sdk.options import LetterFilter


class Queues:
    """The queues; as `TaskLedger.queues`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Sequence[Queue]:
        """Return all queues, by name."""
        return self._connection.ask(calls.queues())

    def get(self, name: str) -> Queue:
        """Return a queue."""
        return self._connection.ask(calls.queue(name))

    def pause(self, name: str, *, reason: str = "") -> Queue:
        """Let no further task of a queue start."""
        return self._connection.ask(calls.turn_queue(name, "pause", reason))

    def resume(self, name: str, *, reason: str = "") -> Queue:
        """Let the tasks of a paused queue start again."""
        return self._connection.ask(calls.turn_queue(name, "resume", reason))

    def set(self, name: str, settings: Mapping[str, Any], *, reason: str = "") -> Queue:
        """Replace the limits of a queue (`concurrency_max`, `rate_max`, …); what is absent is no limit."""
        return self._connection.ask(calls.set_queue(name, settings, reason))


class DeadLetters:
    """The dead letters; as `TaskLedger.dead_letters`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, **wanted: Unpack[LetterFilter]) -> Iterator[DeadLetter]:
        """Yield dead letters, newest first, a page at a time."""
        cursor: str | int | None = None
        while True:
            page = self._connection.ask(calls.dead_letters(wanted, cursor))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def redrive(self, letter_id: UUID | str, *, reason: str = "") -> LetterAct:
        """Retry the task, or release the task that waits for the message; raises ConflictError where it cannot."""
        return self._connection.ask(calls.act_on_letter(letter_id, "redrive", reason))

    def discard(self, letter_id: UUID | str, *, reason: str) -> LetterAct:
        """Set a dead letter aside; raises ConflictError where somebody has dealt with it."""
        return self._connection.ask(calls.act_on_letter(letter_id, "discard", reason))


class Schedules:
    """The schedules; as `TaskLedger.schedules`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Iterator[Schedule]:
        """Yield all schedules, by name, a page at a time."""
        after: str | int | None = None
        while True:
            page = self._connection.ask(calls.schedules(after))
            yield from page.items
            after = page.next
            if after is None:
                return

    def get(self, name: str) -> Schedule:
        """Return a schedule; raises NotFoundError."""
        return self._connection.ask(calls.schedule(name))

    def put(self, name: str, definition: Mapping[str, Any]) -> Schedule:
        """Make a schedule, or change it to this definition (`cron`, `time_zone`, `task`, …)."""
        return self._connection.ask(calls.put_schedule(name, definition))

    def pause(self, name: str, *, reason: str = "") -> Schedule:
        """Let a schedule fire no more until it is resumed."""
        return self._connection.ask(calls.turn_schedule(name, "pause", reason))

    def resume(self, name: str, *, reason: str = "") -> Schedule:
        """Let a paused schedule fire again."""
        return self._connection.ask(calls.turn_schedule(name, "resume", reason))

    def fire(self, name: str, *, reason: str = "") -> Fired:
        """Submit the task of a schedule now."""
        return self._connection.ask(calls.fire_schedule(name, reason))

    def remove(self, name: str, *, reason: str = "") -> None:
        """Remove a schedule; its tasks stay."""
        self._connection.ask(calls.remove_schedule(name, reason))
