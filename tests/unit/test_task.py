"""The aggregate: what may happen to a task in each state, and what then is true."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ledger.errors import StaleAttemptError, TaskStateError
from ledger.specification import TaskSpecification
from ledger.task import Task
from ledger.task_words import Cause, ReleaseReason, Status, TaskError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ERROR = TaskError(type="ValueError", message="no", traceback="…")


def submitted(**changes: object) -> Task:
    return Task.submit(uuid4(), TaskSpecification(input="x", **changes), now=NOW)  # type: ignore[arg-type]  # fields


def running(**changes: object) -> Task:
    task = submitted(**changes)
    task.start(worker_id="w1", now=NOW)
    return task


def completed() -> Task:
    task = running()
    task.complete(attempt=1, result="done", now=NOW)
    return task


def failed() -> Task:
    task = running()
    fail(task, delay=None)
    return task


def cancelled() -> Task:
    task = submitted()
    task.request_cancel(actor="user:a", reason="", now=NOW)
    return task


def fail(task: Task, *, cause: Cause = Cause.ERROR, delay: float | None = 10.0, lost_max: int = 5) -> None:
    task.fail(
        attempt=task.attempt,
        error=ERROR,
        cause=cause,
        now=NOW,
        retry_delay_seconds=delay,
        attempts_lost_max=lost_max,
    )


def topics(task: Task) -> list[str]:
    return [str(type(event).TOPIC).removeprefix("task.") for event in task.pending_events]  # type: ignore[attr-defined]


def test_submitted_task_is_pending_and_ready() -> None:
    task = submitted()

    assert (task.status, task.ready, task.attempt, task.version) == (Status.PENDING, True, 0, 1)


def test_task_with_a_time_in_the_future_waits_for_it() -> None:
    task = submitted(run_at=LATER)

    assert (task.ready, task.release_at) == (False, LATER)
    with pytest.raises(TaskStateError, match="it waits until"):
        task.start(worker_id="w1", now=NOW)


def test_task_with_a_time_in_the_past_is_ready_at_once() -> None:
    assert submitted(run_at=NOW - timedelta(seconds=1)).ready


def test_release_makes_a_waiting_task_ready() -> None:
    task = submitted(run_at=LATER)

    task.release(reason=ReleaseReason.DUE, now=NOW)

    assert (task.ready, task.release_at) == (True, None)


def test_start_numbers_the_attempts_from_one() -> None:
    task = submitted()

    assert task.start(worker_id="w1", now=NOW) == 1
    assert (task.status, task.worker_id, task.started_at, task.ready) == (Status.RUNNING, "w1", NOW, False)


def test_completed_task_has_its_result_and_no_error_of_an_earlier_attempt() -> None:
    task = running()
    fail(task, delay=0)
    task.start(worker_id="w2", now=NOW)

    task.complete(attempt=2, result={"n": 1}, now=NOW)

    assert (task.status, task.result, task.error, task.cause) == (Status.COMPLETED, {"n": 1}, None, None)


def test_failed_attempt_waits_for_its_retry() -> None:
    task = running()

    fail(task, delay=10)

    assert (task.status, task.ready, task.release_at) == (Status.PENDING, False, NOW + timedelta(seconds=10))
    assert (task.failures, task.error) == (1, ERROR.as_dict())


def test_failed_attempt_without_a_delay_is_released_in_the_same_append() -> None:
    task = running()

    fail(task, delay=0)

    assert topics(task)[-2:] == ["failed", "released"]
    assert task.ready


def test_task_fails_when_its_attempts_are_used_up() -> None:
    task = running(max_attempts=2)
    fail(task, delay=0)
    task.start(worker_id="w1", now=NOW)

    fail(task, delay=0)

    assert (task.status, task.failures, task.finished_at) == (Status.FAILED, 2, NOW)


def test_failure_that_is_not_to_be_retried_ends_the_task() -> None:
    assert failed().status is Status.FAILED


def test_interrupted_attempt_costs_nothing_however_often_it_happens() -> None:
    task = running(max_attempts=1)
    for _ in range(10):
        fail(task, cause=Cause.INTERRUPTED, delay=0)
        assert (task.status, task.ready) == (Status.PENDING, True)
        task.start(worker_id="w1", now=NOW)

    assert (task.failures, task.losses, task.attempt) == (0, 0, 11)


def test_lost_workers_are_counted_apart_and_bounded() -> None:
    task = running(max_attempts=1)
    fail(task, cause=Cause.WORKER_LOST, delay=0, lost_max=2)
    assert (task.failures, task.losses, task.status) == (0, 1, Status.PENDING)
    task.start(worker_id="w2", now=NOW)

    fail(task, cause=Cause.WORKER_LOST, delay=0, lost_max=2)

    assert (task.losses, task.status, task.cause) == (2, Status.FAILED, Cause.WORKER_LOST)


def test_cancel_ends_a_pending_task_at_once() -> None:
    assert cancelled().status is Status.CANCELLED


def test_cancel_asks_the_worker_of_a_running_task_once() -> None:
    task = running()

    task.request_cancel(actor="user:a", reason="enough", now=NOW)
    task.request_cancel(actor="user:b", reason="again", now=NOW)

    assert topics(task) == ["submitted", "started", "cancel_requested"]
    assert (task.status, task.cancel_requested, task.cancel_actor) == (Status.RUNNING, True, "user:a")


def test_worker_confirms_a_cancel_in_the_name_of_who_asked() -> None:
    task = running()
    task.request_cancel(actor="user:a", reason="enough", now=NOW)

    task.confirm_cancel(attempt=1, now=NOW)

    assert task.status is Status.CANCELLED
    assert (task.pending_events[-1].actor, task.pending_events[-1].reason) == ("user:a", "enough")  # type: ignore[attr-defined]


def test_worker_cannot_confirm_what_nobody_asked() -> None:
    with pytest.raises(TaskStateError, match="nobody asked"):
        running().confirm_cancel(attempt=1, now=NOW)


def test_owner_that_finishes_before_it_learns_of_the_cancel_is_heard() -> None:
    task = running()
    task.request_cancel(actor="user:a", reason="", now=NOW)

    task.complete(attempt=1, result=1, now=NOW)

    assert task.status is Status.COMPLETED


def test_attempt_that_fails_after_a_cancel_was_asked_is_not_retried() -> None:
    task = running()
    task.request_cancel(actor="user:a", reason="", now=NOW)

    fail(task, delay=10)

    assert (task.status, topics(task)[-2:]) == (Status.CANCELLED, ["failed", "cancelled"])


@pytest.mark.parametrize("make", [completed, failed, cancelled])
def test_finished_task_is_driven_again_with_a_fresh_budget_and_the_next_attempt_number(
    make: Callable[[], Task],
) -> None:
    task = make()
    attempts = task.attempt

    task.retry(actor="user:a", reason="fixed", now=NOW)

    assert (task.status, task.ready, task.failures, task.result, task.error) == (
        Status.PENDING,
        True,
        0,
        None,
        None,
    )
    assert not task.cancel_requested
    assert task.start(worker_id="w9", now=NOW) == attempts + 1


@pytest.mark.parametrize("make", [submitted, running])
def test_unfinished_task_is_not_driven_again(make: Callable[[], Task]) -> None:
    with pytest.raises(TaskStateError, match="cannot retry"):
        make().retry(actor="user:a", reason="", now=NOW)


@pytest.mark.parametrize("make", [completed, failed, cancelled])
def test_finished_task_is_too_late_to_cancel(make: Callable[[], Task]) -> None:
    with pytest.raises(TaskStateError) as refused:
        make().request_cancel(actor="user:a", reason="", now=NOW)

    assert refused.value.reason == "too_late"


@pytest.mark.parametrize("make", [running, completed, failed, cancelled])
def test_task_that_is_not_pending_is_neither_started_nor_released(make: Callable[[], Task]) -> None:
    with pytest.raises(TaskStateError):
        make().start(worker_id="w2", now=NOW)
    with pytest.raises(TaskStateError):
        make().release(reason=ReleaseReason.RECONCILED, now=NOW)


REPORTS: dict[str, Callable[[Task, int], None]] = {
    "complete": lambda task, attempt: task.complete(attempt=attempt, result=1, now=NOW),
    "fail": lambda task, attempt: task.fail(
        attempt=attempt, error=ERROR, cause=Cause.ERROR, now=NOW, retry_delay_seconds=1
    ),
    "progress": lambda task, attempt: task.report_progress(attempt=attempt, fraction=0.5, message="", now=NOW),
    "confirm_cancel": lambda task, attempt: task.confirm_cancel(attempt=attempt, now=NOW),
}


@pytest.mark.parametrize("report", REPORTS)
def test_attempt_that_was_replaced_is_refused_and_changes_nothing(report: str) -> None:
    task = running()
    fail(task, cause=Cause.WORKER_LOST, delay=0)
    task.start(worker_id="w2", now=NOW)
    version = task.version

    with pytest.raises(StaleAttemptError) as refused:
        REPORTS[report](task, 1)

    assert (refused.value.attempt, refused.value.current_attempt) == (1, 2)
    assert task.version == version


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("make", [submitted, completed, failed, cancelled])
def test_nobody_reports_on_a_task_that_does_not_run(make: Callable[[], Task], report: str) -> None:
    task = make()

    with pytest.raises(StaleAttemptError):
        REPORTS[report](task, task.attempt)


def test_progress_keeps_the_last_word_and_is_forgotten_with_the_attempt() -> None:
    task = running()
    task.report_progress(attempt=1, fraction=0.25, message="a", now=NOW)
    task.report_progress(attempt=1, fraction=0.5, message="b", now=NOW)
    assert (task.progress, task.progress_message) == (0.5, "b")

    fail(task, delay=0)
    task.start(worker_id="w2", now=NOW)

    assert (task.progress, task.progress_message) == (None, None)
