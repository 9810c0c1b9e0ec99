"""The attempt: from the claim to the outcome in the ledger, and beyond it where the handler cannot be stopped."""

from datetime import timedelta

import structlog

from ledger.errors import HandlerNotFoundError
from worker.claims import Claim
from worker.completion import Completion
from worker.context import TaskContext
from worker.endings import Ending, Raised, Stopped
from worker.execution import Execution
from worker.outcomes import Budget, Failure, Outcome, Success, hopeless, outcome_of
from worker.progress import Progress
from worker.registry import Handler
from worker.runs import CoroutineRun, ProcessRun, Run, ThreadRun
from worker.watch import Watch
from worker.workshop import Workshop

log = structlog.get_logger()


class Attempt:
    """One attempt that this worker was permitted to run."""

    def __init__(self, claim: Claim, workshop: Workshop, watch: Watch) -> None:
        self.claim = claim
        self._watch = watch
        self._workshop = workshop
        self._execution: Execution | None = None
        self._progress: Progress | None = None
        self._completion: Completion | None = None
        self._kept: Outcome | None = None
        self._budget = Budget(claim.task.timeout_s, claim.task.max_attempts)

    async def run(self) -> None:
        """Run the handler and record the outcome; returns when the outcome is in the ledger, or was refused."""
        try:
            await self._run()
        finally:
            self._watch.ended()

    async def _run(self) -> None:
        task = self.claim.task
        if self.claim.locked is not None:
            await self._record(outcome_of(Raised(self.claim.locked), task, self._budget))
            return
        try:
            handler = self._workshop.registry.find(task.kind)
        except HandlerNotFoundError as error:
            await self._record(hopeless(error))
            return
        self._execution = self._begin(handler)
        try:
            ending = await self._execution.ending()
        finally:
            self._watch.ran()
            if self._progress is not None:
                self._progress.close()
        await self._settle(ending)

    async def run_out(self) -> None:
        """Wait for a handler that went on after its attempt was over; what it comes up with is refused.

        It holds its slot as long as it runs: a worker never does more at once than it was told to.
        """
        if self._execution is None or not self._execution.is_abandoned:
            return
        log.warning(
            "attempt.abandoned",
            task_id=str(self.claim.task.id),
            kind=self.claim.task.kind,
            attempt=self.claim.attempt,
            consequence="the handler does not stop, and holds its slot until it ends",
        )
        late = await self._execution.late_ending()
        completion = self._completion
        if completion is not None and completion.is_settled:
            if completion.refused is not None and completion.refused is not self._kept:
                await self._keep(completion.refused)
        elif late is not None:
            await self._keep(self._outcome_of(late))

    def cancel(self) -> None:
        """Tell the handler that somebody wants the task cancelled."""
        if self._execution is not None:
            self._execution.stop(Stopped.CANCEL)

    def interrupt(self) -> None:
        """Tell the handler that the worker stops."""
        if self._execution is not None:
            self._execution.stop(Stopped.SHUTDOWN)

    def _begin(self, handler: Handler) -> Execution:
        task = self.claim.task
        if handler.timeout_seconds is not None or handler.max_attempts is not None:
            self._budget = _narrowed(self._budget, handler)
        if handler.signature.wants_context:
            self._progress = Progress(self.claim, self._workshop.store, self._workshop.clock)
            if handler.is_coroutine_function and self._workshop.completions is not None:
                self._completion = Completion(self.claim, self._workshop.completions, quiet=self._progress.quiet)
        started_at = task.started_at or self._workshop.clock.now()
        context = TaskContext(
            task_id=task.id,
            attempt=self.claim.attempt,
            kind=task.kind,
            queue=task.queue,
            tags=tuple(task.tags),
            deadline=started_at + timedelta(seconds=self._budget.timeout_seconds),
            report=self._progress.report if self._progress is not None else None,
            completion=self._completion,
        )
        with self._watch.running():
            run = self._run_of(handler, context)
        return Execution(run, context, timeout_seconds=self._budget.timeout_seconds)

    def _run_of(self, handler: Handler, context: TaskContext) -> Run:
        value, workshop = self.claim.task.input, self._workshop
        if handler.is_coroutine_function:
            return CoroutineRun(handler, value, context)
        if handler.isolation is None:
            return ThreadRun(handler, value, context, workshop.threads)
        return ProcessRun(handler, value, context, threads=workshop.threads, processes=workshop.processes)

    def _outcome_of(self, ending: Ending) -> Outcome:
        try:
            return outcome_of(ending, self.claim.task, self._budget)
        except Exception as error:
            # Without any outcome the task would run for ever in the name of a worker that lives.
            log.exception("attempt.unclear", task_id=str(self.claim.task.id), attempt=self.claim.attempt)
            return hopeless(error)

    async def _settle(self, ending: Ending) -> None:
        """Record what the handler has not recorded by itself."""
        completion = self._completion
        if completion is None:
            await self._record(self._outcome_of(ending))
        elif completion.refused is not None:
            self._watch.judged(None)
            await self._keep(completion.refused)
        elif completion.is_committed:
            self._watch.judged(Success(None))
        else:
            outcome = self._outcome_of(completion.judge(ending))
            await self._record(outcome, is_in_doubt=completion.is_in_doubt)

    async def _keep(self, late: Outcome) -> None:
        self._kept = late
        await self._workshop.recorder.record_late(self.claim, late)

    async def _record(self, outcome: Outcome, *, is_in_doubt: bool = False) -> None:
        task = self.claim.task
        self._watch.judged(outcome)
        if isinstance(outcome, Failure):
            log.info(
                "attempt.failed",
                task_id=str(task.id),
                kind=task.kind,
                attempt=self.claim.attempt,
                cause=outcome.cause.value,
                error=outcome.error.type,
                retry_delay_seconds=outcome.retry_delay_seconds,
            )
        await self._workshop.recorder.record(self.claim, outcome, is_in_doubt=is_in_doubt)


def _narrowed(budget: Budget, handler: Handler) -> Budget:
    return Budget(
        timeout_seconds=min(budget.timeout_seconds, handler.timeout_seconds or budget.timeout_seconds),
        failures_max=min(budget.failures_max, handler.max_attempts or budget.failures_max),
    )
