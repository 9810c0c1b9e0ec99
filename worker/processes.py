"""The processes that isolated handlers run in: each is kept for the next job, as long as jobs come."""

import asyncio
import time

import structlog
from pydantic import JsonValue

from ledger.settings import Settings
from ledger.traces import HANDLER_TRACEPARENT
from worker.child_messages import Job
from worker.child_process import ChildProcess
from worker.context import TaskContext
from worker.importable import address_of
from worker.registry import Handler
from worker.threads import Threads

# A process that hangs in the kernel is killed all the same, when the kernel lets go of it.
_END_SECONDS_MAX = 2.0


class Processes:
    """Lends a process to each job; call it on the event loop.

    There are never more than slots, since whoever takes one holds a slot. A process is kept while jobs come, for
    LEDGER_PROCESS_IDLE_SECONDS after the last one, and for LEDGER_PROCESS_TASKS_MAX jobs.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.stop_seconds = settings.process_stop_seconds
        self._idle: list[ChildProcess] = []
        self._lent: set[ChildProcess] = set()
        self._enders: Threads[int] = Threads(name="process-end")
        self._ending: set[asyncio.Future[int]] = set()
        self._retirement: asyncio.TimerHandle | None = None

    def job(self, handler: Handler, value: JsonValue, context: TaskContext) -> Job:
        """Return the job of an attempt."""
        return Job(
            address=address_of(handler.function, kind=handler.kind),
            kind=handler.kind,
            input=value,
            task_id=context.task_id,
            attempt=context.attempt,
            queue=context.queue,
            tags=context.tags,
            deadline=context.deadline,
            result_bytes_max=self._settings.result_bytes_max,
            log_context={name: str(value) for name, value in structlog.contextvars.get_contextvars().items()},
            traceparent=HANDLER_TRACEPARENT.get(),
        )

    def take(self) -> ChildProcess:
        """Lend a process, the one that worked last, or a new one that starts with its first job."""
        lent = None
        while self._idle and lent is None:
            candidate = self._idle.pop()
            if candidate.is_alive():
                lent = candidate
            else:
                self._end(candidate)
        lent = lent or ChildProcess(self._settings)
        self._lent.add(lent)
        return lent

    def give_back(self, process: ChildProcess) -> None:
        """Take a process back whose job is done; keep it, or end it."""
        self._lent.discard(process)
        if process.is_killed or process.jobs >= self._settings.process_tasks_max:
            self._end(process)
            return
        process.idle_since = time.monotonic()
        self._idle.append(process)
        if self._retirement is None:
            self._retire_later()

    async def close(self) -> None:
        """Kill every process, and return when the idle ones are gone."""
        if self._retirement is not None:
            self._retirement.cancel()
        for lent in tuple(self._lent):
            lent.kill()
        while self._idle:
            self._end(self._idle.pop())
        if self._ending:
            await asyncio.wait(self._ending, timeout=_END_SECONDS_MAX)
        self._enders.close()

    def _retire_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._retirement = loop.call_later(self._settings.process_idle_seconds, self._retire)

    def _retire(self) -> None:
        self._retirement = None
        since = time.monotonic() - self._settings.process_idle_seconds
        for idle in [idle for idle in self._idle if idle.idle_since <= since]:
            self._idle.remove(idle)
            self._end(idle)
        if self._idle:
            self._retire_later()

    def _end(self, process: ChildProcess) -> None:
        ending = self._enders.run(process.end)
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
