"""The runs: a handler at work on the event loop, in a thread, or in a process of its own."""

import asyncio
from functools import partial
from typing import Protocol

from pydantic import JsonValue

from worker.child_messages import Job
from worker.context import TaskContext
from worker.endings import Ending, Raised, Returned, Stopped
from worker.processes import Processes
from worker.registry import Handler
from worker.threads import Threads

# How long a handler that was told to stop may clean up; then its attempt ends without it.
CLEAN_UP_SECONDS_MAX = 1.0


class Run(Protocol):
    """A handler at work, from the moment that this is made."""

    work: asyncio.Future[Ending]

    def stop(self, reason: Stopped, *, is_first: bool) -> float | None:
        """Tell the handler to stop; return after how many seconds to go on without it, None to wait for it."""

    def drop(self) -> None:
        """End it as far as that is possible: nobody waits for it any more."""

    @property
    def has_learned(self) -> bool:
        """Whether a handler that was told to stop and then ended did so because of it."""


class CoroutineRun:
    """A coroutine on the event loop: told to stop, it gets a CancelledError, which it may swallow."""

    def __init__(self, handler: Handler, value: JsonValue, context: TaskContext) -> None:
        self._handler = handler
        self._value = value
        self._context = context
        self.work: asyncio.Future[Ending] = asyncio.get_running_loop().create_task(self._await_handler())
        self.has_learned = True

    def stop(self, reason: Stopped, *, is_first: bool) -> float | None:  # noqa: ARG002 - every reason is the same
        """Cancel it once."""
        if not is_first:
            return None
        self.work.cancel()
        return CLEAN_UP_SECONDS_MAX

    def drop(self) -> None:
        """Cancel it."""
        self.work.cancel()

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


class ThreadRun:
    """A plain function in a thread: told to stop, it finds `context.cancelled` set; nothing can kill a thread."""

    def __init__(self, handler: Handler, value: JsonValue, context: TaskContext, threads: Threads[Ending]) -> None:
        self._handler = handler
        self._value = value
        self._context = context
        self.work = threads.run(self._call_handler)

    @property
    def has_learned(self) -> bool:
        """Whether it has looked at `context.cancelled`."""
        return self._context.stop_seen

    def stop(self, reason: Stopped, *, is_first: bool) -> float | None:  # noqa: ARG002 - a later deadline counts too
        """Go on without it at its deadline, and soon when the worker stops; for a cancel wait until then."""
        return {Stopped.CANCEL: None, Stopped.DEADLINE: 0.0, Stopped.SHUTDOWN: CLEAN_UP_SECONDS_MAX}[reason]

    def drop(self) -> None:
        """Wait for it no more."""
        self.work.cancel()

    def _call_handler(self) -> Ending:
        try:
            return Returned(self._handler.call(self._value, self._context))
        except BaseException as error:  # noqa: BLE001 - a handler's SystemExit ends its attempt, not the worker
            return Raised(error)


class ProcessRun:
    """A plain function in a process of its own: told to stop, it has LEDGER_PROCESS_STOP_SECONDS, then it dies.

    A thread stands for it here: it starts the process, hands the job over and waits for the answer.
    """

    def __init__(
        self,
        handler: Handler,
        value: JsonValue,
        context: TaskContext,
        *,
        threads: Threads[Ending],
        processes: Processes,
    ) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._stop_seconds = processes.stop_seconds
        self._child = processes.take()
        self.has_learned = False
        self.work = threads.run(partial(self._ask_child, processes.job(handler, value, context)))
        self.work.add_done_callback(lambda _work: processes.give_back(self._child))

    def stop(self, reason: Stopped, *, is_first: bool) -> float | None:
        """Kill it at its deadline at once, and else after a moment in which it may look and end by itself."""
        if reason is Stopped.DEADLINE:
            self._child.kill()
            return CLEAN_UP_SECONDS_MAX
        if not is_first:
            return None
        self._child.tell_to_stop()
        self._loop.call_later(self._stop_seconds, self._kill)
        return self._stop_seconds + CLEAN_UP_SECONDS_MAX

    def drop(self) -> None:
        """Kill it."""
        self._child.kill()
        self.work.cancel()

    def _kill(self) -> None:
        if not self.work.done():  # else the child may be at work on somebody else's job
            self._child.kill()

    def _ask_child(self, job: Job) -> Ending:
        answer = self._child.run(job, self._context.progress)
        self.has_learned = answer.has_stopped
        return answer.ending
