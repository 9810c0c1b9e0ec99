"""The outcomes: what the end of an execution means for its task, as it is recorded in the ledger."""

from dataclasses import dataclass
from datetime import datetime
from secrets import SystemRandom

from pydantic import JsonValue

from ledger.codec import topic_of
from ledger.specification import DELAY_SECONDS_MAX
from ledger.task import Task
from ledger.task_words import Cause, TaskError
from worker.endings import Ending, Raised, Reported, Returned, Stopped
from worker.errors import AttemptInterruptedError, AttemptTimeoutError, ResultRefusedError
from worker.failure_text import error_of, report_of
from worker.results import as_json

_DOUBLINGS_MAX = 64
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Success:
    """The attempt has a result."""

    result: JsonValue

    topic = topic_of(Task.Completed)

    def decide(self, task: Task, *, attempt: int, now: datetime) -> None:
        """Complete the task."""
        task.complete(attempt=attempt, result=self.result, now=now)

    def as_dict(self, attempt: int) -> dict[str, JsonValue]:
        """Return it as it would stand in the event."""
        return {"attempt": attempt, "result": self.result}


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt has none; after `retry_delay_seconds` comes the next, with None there is no next."""

    error: TaskError
    cause: Cause
    retry_delay_seconds: float | None

    topic = topic_of(Task.Failed)

    def decide(self, task: Task, *, attempt: int, now: datetime) -> None:
        """Fail the attempt; the task knows whether its budget allows another."""
        task.fail(
            attempt=attempt,
            error=self.error,
            cause=self.cause,
            now=now,
            retry_delay_seconds=self.retry_delay_seconds,
        )

    def as_dict(self, attempt: int) -> dict[str, JsonValue]:
        """Return it as it would stand in the event."""
        return {"attempt": attempt, "error": self.error.as_dict(), "cause": self.cause.value}


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The attempt was stopped, as somebody had asked."""

    topic = topic_of(Task.Cancelled)

    def decide(self, task: Task, *, attempt: int, now: datetime) -> None:
        """Confirm the cancel."""
        task.confirm_cancel(attempt=attempt, now=now)

    def as_dict(self, attempt: int) -> dict[str, JsonValue]:
        """Return what there is to say of it."""
        return {"attempt": attempt}


Outcome = Success | Failure | Cancellation


@dataclass(frozen=True, slots=True)
class Budget:
    """What an attempt may spend.

    Attributes:
        timeout_seconds: how long it may run.
        failures_max: how many attempts may fail in all.
    """

    timeout_seconds: float
    failures_max: int


def outcome_of(ending: Ending, task: Task, budget: Budget) -> Outcome:
    """Return what is recorded of an ending."""
    match ending:
        case Returned(value):
            return _result(value)
        case Raised(error):
            return _failure(report_of(error), Cause.ERROR, task, budget)
        case Reported():
            return _failure(ending, Cause.ERROR, task, budget)
        case Stopped.CANCEL:
            return Cancellation()
        case Stopped.SHUTDOWN:
            return interruption()
        case Stopped.DEADLINE:
            timeout = AttemptTimeoutError(timeout_seconds=budget.timeout_seconds)
            return _failure(report_of(timeout), Cause.TIMEOUT, task, budget)


def hopeless(error: Exception) -> Failure:
    """Return the failure that no further attempt would mend."""
    return Failure(error_of(error), Cause.ERROR, None)


def interruption() -> Failure:
    """Return the failure of an attempt whose worker stops: it costs the task nothing and is released at once."""
    return Failure(error_of(AttemptInterruptedError()), Cause.INTERRUPTED, 0.0)


def full_jitter_seconds(*, base_seconds: float, cap_seconds: float, failures: int) -> float:
    """Draw the delay after a failure that follows others: from 0 to `base * 2 ** failures`, at most to the cap.

    After "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), where full jitter spreads retries best.
    """
    return _random.uniform(0.0, min(cap_seconds, base_seconds * 2.0 ** min(failures, _DOUBLINGS_MAX)))


def _failure(report: Reported, cause: Cause, task: Task, budget: Budget) -> Failure:
    return Failure(report.error, cause, _retry_delay_seconds(report, task, budget))


def _retry_delay_seconds(report: Reported, task: Task, budget: Budget) -> float | None:
    if report.is_hopeless or task.failures + 1 >= budget.failures_max:
        return None
    if report.retry_after_seconds is not None:
        return min(max(0.0, report.retry_after_seconds), DELAY_SECONDS_MAX)
    return full_jitter_seconds(
        base_seconds=_seconds(task, "base_s"), cap_seconds=_seconds(task, "cap_s"), failures=task.failures
    )


def _seconds(task: Task, name: str) -> float:
    value = task.backoff.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _result(value: object) -> Outcome:
    try:
        return Success(as_json(value))
    except ResultRefusedError as error:
        return hopeless(error)
