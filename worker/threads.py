"""The threads that plain handlers run in: daemons, so that one that hangs for ever does not keep the process."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Threads(Generic[Result]):
    """Runs functions in threads that are made when they are needed and then kept.

    There is no bound here: whoever calls `run` holds a slot until the function has ended, so there are never
    more threads than slots. The standard library's executor would wait for a hanging thread at exit.
    """

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job[Result] | None] = SimpleQueue()
        self._threads = 0
        self._free = 0

    def run(self, function: Callable[[], Result]) -> asyncio.Future[Result]:
        """Run the function with the caller's context variables; the future is done when it has ended."""
        job = _Job(function, self)
        if self._free:
            self._free -= 1
        else:
            self._threads += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._jobs.put(job)
        return job.answer

    def close(self) -> None:
        """Let every thread end as soon as it is free; does not wait."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def give_back(self) -> None:
        """Note, on the event loop, that a thread is free again."""
        self._free += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.do()
            del job  # an idle thread must not keep the last input and result alive


class _Job(Generic[Result]):
    """One function on its way through a thread, and the future that waits for it."""

    def __init__(self, function: Callable[[], Result], threads: Threads[Result]) -> None:
        self._function = function
        self._threads = threads
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Result] = self._loop.create_future()

    def do(self) -> None:
        """Run the function in this thread."""
        try:
            settle = partial(self.answer.set_result, self._context.run(self._function))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the answer
            settle = partial(self.answer.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, settle)

    def _settle(self, settle: Callable[[], None]) -> None:
        self._threads.give_back()
        if not self.answer.done():
            settle()
