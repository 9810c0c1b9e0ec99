"""What a test does with a rehearsal: submit, run, make things go wrong, and look."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack
from uuid import UUID

from api.rehearsal.stage import Stage
from api.sdk.answers import Event
from api.sdk.options import TaskOptions
from api.sdk.transactional import specification_of
from ledger.codec import fold
from ledger.errors import LedgerError, TaskNotFoundError
from ledger.store.records import Origin, RecordedEvent
from ledger.task import Task
from ledger.task_words import Status
from worker.registry import AnyFunction, Handler, Isolation
from worker.signature import Function, inspect_handler

_CLIENT = Origin(actor="client")
_TIMEOUT_SECONDS = 0.1


class StillBusyError(LedgerError):
    """Some task had not come to rest in time."""

    def __init__(self, *, seconds: float, unfinished: Sequence[str]) -> None:
        self.seconds = seconds
        self.unfinished = unfinished
        super().__init__(f"after {seconds:g} s these tasks were not at rest: {', '.join(unfinished) or 'none'}")


class LedgerTest:
    """A ledger in memory with a worker; the fixture `ledger_test` is one.

    The aggregate, the commands, the claim, the attempt and the record of its outcome are those of production. What
    needs a database is not rehearsed: pauses and limits of queues, schedules, `TaskContext.transaction` and
    `complete`, dead letters of the broker, lost workers, idempotency keys over HTTP.
    """

    def __init__(self) -> None:
        self._stage = Stage()

    @property
    def now(self) -> datetime:
        """The ledger's time, which stands still, and jumps to whatever is due next."""
        return self._stage.clock.now()

    @property
    def statuses(self) -> Mapping[UUID, Status]:
        """The status of every task, in the order of their submission."""
        return {task.id: task.status for task in self._stage.tasks()}

    def use(self, app: str) -> None:
        """Import a module that registers handlers, as `--app` does; raises ConfigurationError."""
        self._stage.registry.learn(app)

    def handler(
        self,
        kind: str,
        *,
        timeout_seconds: float | None = None,
        max_attempts: int | None = None,
        isolation: Isolation | None = None,
    ) -> Callable[[AnyFunction], AnyFunction]:
        """Register the decorated function for this test alone, as `task_handler` does for all."""
        return self._stage.registry.task_handler(
            kind, timeout_seconds=timeout_seconds, max_attempts=max_attempts, isolation=isolation
        )

    def fail_next(self, kind: str, error: Exception, *, times: int = 1) -> None:
        """Let the next attempts of a kind raise this instead of calling the handler."""

        async def fail(_value: object) -> None:
            raise error

        self._prompt(kind, fail, times, timeout_seconds=None)

    def time_out_next(self, kind: str, *, times: int = 1) -> None:
        """Let the next attempts of a kind run into a deadline of a tenth of a second, which does pass."""

        async def hang(_value: object) -> None:
            await asyncio.Event().wait()

        self._prompt(kind, hang, times, timeout_seconds=_TIMEOUT_SECONDS)

    async def submit(
        self,
        kind: str,
        input: Any = None,  # noqa: A002, ANN401 - the ledger's own word, and any JSON value
        **options: Unpack[TaskOptions],
    ) -> UUID:
        """Submit a task and return its id; nothing runs before `run_until_idle`.

        Raises:
            InvalidValueError: a field is out of its bound.
        """
        specification = specification_of(kind, input, options, now=self.now)
        return (await self._stage.commands.submit(specification, origin=_CLIENT)).task_id

    async def cancel(self, task_id: UUID, *, reason: str = "") -> None:
        """Cancel a pending task, or ask a running one to stop; raises TaskStateError for one that is finished."""
        await self._stage.commands.cancel(task_id, reason=reason, origin=_CLIENT)

    async def retry(self, task_id: UUID, *, reason: str = "") -> None:
        """Drive a finished task again; raises TaskStateError for any other."""
        await self._stage.commands.retry(task_id, reason=reason, origin=_CLIENT)

    async def run_until_idle(self, *, seconds_max: float = 10.0) -> None:
        """Run what is ready, and move the clock to what is due next, until every task is at rest.

        Delays and backoffs take no time. What a handler itself waits for does, and so do its deadlines.

        Raises:
            StillBusyError: that took longer than `seconds_max` of real time.
        """
        try:
            async with asyncio.timeout(seconds_max):
                while await self._stage.go_on():
                    pass
        except TimeoutError as error:
            unfinished = [f"{task.kind} {task.id}" for task in self._stage.tasks() if not task.is_finished]
            raise StillBusyError(seconds=seconds_max, unfinished=unfinished) from error

    def task(self, task_id: UUID) -> Task:
        """Return the task as its events make it, with its status, result, error and attempt.

        Raises:
            TaskNotFoundError: there is no such task.
        """
        task = fold(self._stage.store.stream(task_id))
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    def events(self, task_id: UUID) -> list[Event]:
        """Return the events of a task, oldest first, as the API shows them; raises TaskNotFoundError."""
        stream = self._stage.store.stream(task_id)
        if not stream:
            raise TaskNotFoundError(task_id)
        return [_shown(event) for event in stream]

    def _prompt(self, kind: str, function: Function, times: int, *, timeout_seconds: float | None) -> None:
        for _ in range(times):
            self._stage.registry.prompt(
                Handler(
                    kind=kind,
                    function=function,
                    signature=inspect_handler(function, kind=kind),
                    is_coroutine_function=True,
                    timeout_seconds=timeout_seconds,
                )
            )


def _shown(event: RecordedEvent) -> Event:
    return Event(
        id=event.event_id,
        position=event.position,
        task_id=event.task_id,
        version=event.version,
        type=event.type,
        schema_version=event.schema_version,
        kind=event.kind,
        queue=event.queue,
        data=json.loads(event.data),
        occurred_at=event.occurred_at,
        recorded_at=event.recorded_at,
        actor=event.actor,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        traceparent=event.traceparent,
    )
