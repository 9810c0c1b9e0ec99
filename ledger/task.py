"""The Task aggregate: the one place that decides what may happen to a task, and what then is true.

Theory of operation: a command method checks and then triggers events; state changes only in an event's
`apply`. Nothing here does I/O, reads a clock or draws a random number: times, delays and ids are arguments.
An attempt is fenced by its number: whoever reports an outcome names its attempt, and only the attempt that
is running is heard.

    PENDING ─ Started ─▶ RUNNING ─ Completed ─▶ COMPLETED ─┐
      ▲ │                  │  │                            │
      │ └─ Cancelled ──────┼──┼────────────▶ CANCELLED ────┤
      ├─ Failed(retry_at) ─┘  └─ Failed ───▶ FAILED ───────┤
      └───────────────────────── Retried ──────────────────┘
"""

from datetime import datetime, timedelta
from typing import Any, Self, cast
from uuid import UUID

from eventsourcing.domain import BaseAggregate
from pydantic import JsonValue

from ledger import task_acts as acts
from ledger import task_events as events
from ledger.errors import StaleAttemptError, TaskStateError
from ledger.specification import Backoff, TaskSpecification
from ledger.task_events import TaskState
from ledger.task_words import Cause, HoldReason, ParentPolicy, ReleaseReason, Status, TaskError

FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Task(TaskState, BaseAggregate[UUID]):
    """One task, folded from its stream; `version` is the number of its events."""

    TOPIC = "task"

    Event = events.TaskEvent
    Submitted = events.Submitted
    Released = events.Released
    Held = events.Held
    Started = events.Started
    Progressed = events.Progressed
    Completed = events.Completed
    Failed = events.Failed
    CancelRequested = acts.CancelRequested
    Cancelled = acts.Cancelled
    Retried = acts.Retried
    Discarded = acts.Discarded
    Erased = acts.Erased

    @classmethod
    def submit(
        cls, task_id: UUID, specification: TaskSpecification, *, now: datetime, hold: HoldReason | None = None
    ) -> Self:
        """Make a new task.

        It is ready at once unless its time is to come, it waits for others, or `hold` holds it back. A task whose
        time is to come is held when that time comes, if there is still reason to.
        """
        submitted = cls.submission(task_id, specification, now=now, hold=hold)
        task = cast("Self", submitted.mutate(None))
        task.pending_events.append(submitted)
        return task

    @classmethod
    def submission(
        cls, task_id: UUID, specification: TaskSpecification, *, now: datetime, hold: HoldReason | None = None
    ) -> events.Submitted:
        """Return the event that a new task begins with, for who has no use for the task itself."""
        fields = cls.submission_fields(specification, now=now, hold=hold)
        return cls.Submitted(
            originator_topic=cls.TOPIC, originator_id=task_id, originator_version=1, timestamp=now, **fields
        )

    @staticmethod
    def submission_fields(
        specification: TaskSpecification, *, now: datetime, hold: HoldReason | None = None
    ) -> dict[str, Any]:
        """Return the fields of that event, for who has no use for the event itself."""
        run_at = specification.run_at if specification.run_at and specification.run_at > now else None
        after = [str(parent) for parent in specification.after]
        return {
            "kind": specification.kind,
            "queue": specification.queue,
            "input": specification.input,
            "priority": specification.priority,
            "run_at": run_at,
            "max_attempts": specification.max_attempts,
            "timeout_s": specification.timeout_seconds,
            "backoff": _backoff_dict(specification.backoff),
            "tags": list(specification.tags),
            "parent": specification.parent,
            "key": specification.key,
            "unique_key": specification.unique_key,
            "after": after or None,
            "on_parent_failure": specification.on_parent_failure if after else None,
            "erasable": specification.erasable or None,
            "hold": HoldReason.AFTER if after else hold if run_at is None else None,
        }

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless somebody retries the task."""
        return self.status in FINISHED

    def release(self, *, reason: ReleaseReason, now: datetime) -> None:
        """Make a pending task ready (again).

        Raises:
            TaskStateError: the task is not pending.
        """
        if self.status is not Status.PENDING:
            raise self._refusal("release")
        self.trigger_event(self.Released, timestamp=now, reason=reason, priority=self.priority)

    def hold_back(self, *, reason: HoldReason, now: datetime) -> None:
        """Hold a pending task back until it is released; one that is held back already stays as it is.

        Raises:
            TaskStateError: the task is not pending.
        """
        if self.status is not Status.PENDING:
            raise self._refusal("hold")
        if self.hold is None:
            self.trigger_event(self.Held, timestamp=now, reason=reason)

    def start(self, *, worker_id: str, now: datetime) -> int:
        """Begin the next attempt and return its number.

        Raises:
            TaskStateError: the task is not pending, or not ready yet.
        """
        if self.status is not Status.PENDING:
            raise self._refusal("start")
        if not self.ready:
            waits = f"it is held back ({self.hold})" if self.hold else f"it waits until {self.release_at}"
            raise self._refusal("start", waits)
        self.trigger_event(self.Started, timestamp=now, attempt=self.attempt + 1, worker_id=worker_id)
        return self.attempt

    def report_progress(self, *, attempt: int, fraction: float, message: str, now: datetime) -> None:
        """Record how far the running attempt got; raises StaleAttemptError for any other attempt."""
        self._require_running(attempt)
        self.trigger_event(self.Progressed, timestamp=now, attempt=attempt, fraction=fraction, message=message)

    def complete(self, *, attempt: int, result: JsonValue, now: datetime) -> None:
        """Finish the running attempt with its result; raises StaleAttemptError for any other attempt."""
        self._require_running(attempt)
        self.trigger_event(self.Completed, timestamp=now, attempt=attempt, result=result)

    def fail(
        self,
        *,
        attempt: int,
        error: TaskError,
        cause: Cause,
        now: datetime,
        retry_delay_seconds: float | None,
        attempts_lost_max: int = 5,
    ) -> None:
        """End the running attempt without a result.

        The task waits for `retry_delay_seconds` and is pending again, while its budget lasts; it is ready
        at once when the delay is 0, and CANCELLED when somebody had asked for that. A delay of None, or a
        budget that is spent, makes it FAILED. An interrupted attempt costs no budget; a lost worker has one
        of its own.

        Raises:
            StaleAttemptError: another attempt is running, or none.
        """
        self._require_running(attempt)
        retries = self._may_retry(cause, retry_delay_seconds, attempts_lost_max)
        delay = timedelta(seconds=retry_delay_seconds or 0.0)
        self.trigger_event(
            self.Failed,
            timestamp=now,
            attempt=attempt,
            error=error.as_dict(),
            cause=cause,
            retry_at=now + delay if retries else None,
        )
        if retries and self.cancel_requested:
            self.trigger_event(self.Cancelled, timestamp=now, actor=self.cancel_actor, reason=self.cancel_reason)
        elif retries and not delay:
            self.release(reason=ReleaseReason.RETRY, now=now)

    def end_after_parent(self, parent: UUID, *, status: Status, now: datetime) -> None:
        """Fail or cancel a task that waits for another one, because that one ended in `status`, not completed.

        Raises:
            TaskStateError: the task does not wait for others (any more).
        """
        if self.status is not Status.PENDING or self.hold != HoldReason.AFTER:
            raise self._refusal("end", "it does not wait for others")
        reason = f"task {parent}, which it waits for, is {status}"
        if self.on_parent_failure != ParentPolicy.FAIL:
            self.trigger_event(self.Cancelled, timestamp=now, actor="follow-ups", reason=reason)
            return
        error = TaskError(type="ParentFailedError", message=reason)
        self.trigger_event(
            self.Failed, timestamp=now, attempt=self.attempt, error=error.as_dict(), cause=Cause.PARENT
        )

    def request_cancel(self, *, actor: str, reason: str, now: datetime) -> None:
        """Cancel a pending task now, ask the worker of a running one; asking twice changes nothing.

        Raises:
            TaskStateError: the task is finished already (`reason` is "too_late").
        """
        if self.is_finished:
            raise self._refusal("cancel", "too_late")
        if self.status is Status.PENDING:
            self.trigger_event(self.Cancelled, timestamp=now, actor=actor, reason=reason)
        elif not self.cancel_requested:
            self.trigger_event(self.CancelRequested, timestamp=now, actor=actor, reason=reason)

    def confirm_cancel(self, *, attempt: int, now: datetime) -> None:
        """Finish the running attempt as cancelled, as was asked.

        Raises:
            StaleAttemptError: another attempt is running, or none.
            TaskStateError: nobody asked.
        """
        self._require_running(attempt)
        if not self.cancel_requested:
            raise self._refusal("cancel", "nobody asked for it")
        self.trigger_event(self.Cancelled, timestamp=now, actor=self.cancel_actor, reason=self.cancel_reason)

    def retry(self, *, actor: str, reason: str, now: datetime) -> None:
        """Drive a finished task again, with a fresh budget of attempts.

        Raises:
            TaskStateError: the task is not finished, or has no input any more.
        """
        if not self.is_finished:
            raise self._refusal("retry")
        if self.erased:
            raise self._refusal("retry", "its input was erased")
        self.trigger_event(self.Retried, timestamp=now, actor=actor, reason=reason, priority=self.priority)

    def discard(self, *, actor: str, reason: str, now: datetime) -> None:
        """Set a failed task aside; doing it twice changes nothing.

        Raises:
            TaskStateError: the task is not failed.
        """
        if self.status is not Status.FAILED:
            raise self._refusal("discard")
        if not self.discarded:
            self.trigger_event(self.Discarded, timestamp=now, actor=actor, reason=reason)

    def erase(self, *, actor: str, reason: str, now: datetime) -> None:
        """Note that the key of the payload is destroyed; doing it twice changes nothing.

        Raises:
            TaskStateError: the task is not finished, or not erasable.
        """
        if not self.erasable:
            raise self._refusal(
                "erase", "its payload was never encrypted, because it was not submitted as erasable"
            )
        if not self.is_finished:
            raise self._refusal("erase", "it is not finished")
        if not self.erased:
            self.trigger_event(self.Erased, timestamp=now, actor=actor, reason=reason)

    def _may_retry(self, cause: Cause, delay_seconds: float | None, attempts_lost_max: int) -> bool:
        if cause is Cause.INTERRUPTED:
            return True
        if cause is Cause.WORKER_LOST:
            return self.losses + 1 < attempts_lost_max
        return delay_seconds is not None and self.failures + 1 < self.max_attempts

    def _require_running(self, attempt: int) -> None:
        if self.status is not Status.RUNNING or self.attempt != attempt:
            raise StaleAttemptError(
                task_id=self.id, attempt=attempt, current_attempt=self.attempt, status=self.status
            )

    def _refusal(self, command: str, reason: str = "") -> TaskStateError:
        return TaskStateError(task_id=self.id, command=command, status=self.status, reason=reason)


def _backoff_dict(backoff: Backoff) -> dict[str, JsonValue]:
    return {"base_s": backoff.base_seconds, "cap_s": backoff.cap_seconds}
