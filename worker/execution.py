"""The execution: one run of a handler, and the race between its end, its deadline, a cancel and a stop."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import cast

from pydantic import JsonValue

from worker.context import TaskContext
from worker.registry import Handler
from worker.threads import Threads

# How long a handler that was told to stop may clean up; then its attempt ends without it.
CLEAN_UP_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned."""

    value: object


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised."""

    error: BaseException


class Stopped(Enum):
    """The handler was told to stop, and why."""

    CANCEL = "cancel"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"


Ending = Returned | Raised | Stopped


class Execution:
    """A handler at work, from the moment that this is made.

    Told to stop, a coroutine gets a CancelledError and a plain function finds `context.cancelled` set. Whoever
    learns of it and then ends has stopped, whatever he returns; whoever ends without having looked has ended by
    himself. Nothing can kill a thread, and a coroutine can swallow its CancelledError: then the execution is over
    without the handler, which is abandoned, and `late_ending` waits for it.
    """

    def __init__(
        self,
        handler: Handler,
        value: JsonValue,
        context: TaskContext,
        *,
        timeout_seconds: float,
        threads: Threads[Ending],
    ) -> None:
        self._handler = handler
        self._value = value
        self._context = context
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Ending] = self._loop.create_future()
        self._told: Stopped | None = None
        self._work: asyncio.Future[Ending] = (
            self._loop.create_task(self._await_handler())
            if handler.is_coroutine_function
            else threads.run(self._call_handler)
        )
        self._work.add_done_callback(self._note_end)

    async def ending(self) -> Ending:
        """Return how it ended, at the latest shortly after the deadline."""
        deadline = self._loop.call_later(self._timeout_seconds, self.stop, Stopped.DEADLINE)
        try:
            return await self._over
        except asyncio.CancelledError:
            self._context.ask_to_stop()
            self._work.cancel()
            raise
        finally:
            deadline.cancel()

    def stop(self, reason: Stopped) -> None:
        """Tell the handler to stop; the first reason counts."""
        if self._over.done() or self._work.done():
            return
        is_first = self._told is None
        if self._told is None:
            self._told = reason
            self._context.ask_to_stop()
        if self._handler.is_coroutine_function:
            if is_first:
                self._work.cancel()
                self._loop.call_later(CLEAN_UP_SECONDS_MAX, self._give_up)
        elif reason is Stopped.DEADLINE:
            self._give_up()
        elif reason is Stopped.SHUTDOWN:
            self._loop.call_later(CLEAN_UP_SECONDS_MAX, self._give_up)

    async def late_ending(self) -> Returned | Raised | None:
        """Wait until an abandoned handler has ended; return how, or None where it stopped as it was told."""
        if not self._work.done():
            await asyncio.wait([self._work])
        if self._work.cancelled() or self._over.result() is not self._told:
            return None
        return cast("Returned | Raised", self._work.result())

    @property
    def is_abandoned(self) -> bool:
        """Whether the execution is over and the handler is not."""
        return self._over.done() and not self._work.done()

    def _note_end(self, work: "asyncio.Future[Ending]") -> None:
        if not self._over.done():
            self._over.set_result(self._judge(work))

    def _judge(self, work: "asyncio.Future[Ending]") -> Ending:
        if self._told is None:
            return Raised(asyncio.CancelledError()) if work.cancelled() else work.result()
        has_learned = self._handler.is_coroutine_function or self._context.stop_seen
        return self._told if has_learned or work.cancelled() else work.result()

    def _give_up(self) -> None:
        if self._told is not None and not self._over.done():
            self._over.set_result(self._told)

    async def _await_handler(self) -> Ending:
        try:
            result = self._handler.call(self._value, self._context)
            return Returned(await result)  # type: ignore[misc]  # a coroutine function made it
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return Raised(error)  # of something that the handler awaited
        except BaseException as error:  # noqa: BLE001 - a handler's SystemExit ends its attempt, not the worker
            return Raised(error)

    def _call_handler(self) -> Ending:
        try:
            return Returned(self._handler.call(self._value, self._context))
        except BaseException as error:  # noqa: BLE001 - a handler's SystemExit ends its attempt, not the worker
            return Raised(error)
