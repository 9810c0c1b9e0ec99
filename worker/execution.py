"""The execution: one run of a handler, and the race between its end, its deadline, a cancel and a stop."""

import asyncio

from worker.context import TaskContext
from worker.endings import Ending, Raised, Reported, Returned, Stopped
from worker.runs import Run


class Execution:
    """A run under a deadline, which may be told to stop.

    Whoever learns that he should stop and then ends has stopped, whatever he returns; whoever ends without having
    looked has ended by himself. Where the run does not end, the execution is over without the handler, which is
    abandoned, and `late_ending` waits for it.
    """

    def __init__(self, run: Run, context: TaskContext, *, timeout_seconds: float) -> None:
        self._run = run
        self._context = context
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Ending] = self._loop.create_future()
        self._told: Stopped | None = None
        self._work = run.work
        self._work.add_done_callback(self._note_end)

    async def ending(self) -> Ending:
        """Return how it ended, at the latest shortly after the deadline."""
        deadline = self._loop.call_later(self._timeout_seconds, self.stop, Stopped.DEADLINE)
        try:
            return await self._over
        except asyncio.CancelledError:
            self._context.ask_to_stop()
            self._run.drop()
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
        seconds = self._run.stop(reason, is_first=is_first)
        if seconds is not None:
            self._loop.call_later(seconds, self._give_up)

    async def late_ending(self) -> Returned | Raised | Reported | None:
        """Wait until an abandoned handler has ended; return how, or None where it stopped as it was told."""
        if not self._work.done():
            await asyncio.wait([self._work])
        if self._work.cancelled() or self._over.result() is not self._told:
            return None
        late = self._work.result()
        return None if isinstance(late, Stopped) else late

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
        return self._told if work.cancelled() or self._run.has_learned else work.result()

    def _give_up(self) -> None:
        if self._told is not None and not self._over.done():
            self._over.set_result(self._told)
