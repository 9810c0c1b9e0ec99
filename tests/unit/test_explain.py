"""An explanation names each reason why a task is not running, or why it ended, with the numbers in it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ledger.explanation.explain import explain
from ledger.explanation.terms import Bounds, DeadMessage, Explanation, Facts, SeenWorker
from ledger.specification import TaskSpecification
from ledger.task import Task
from ledger.task_words import Cause, TaskError

TASK_ID = UUID("01900000-0000-7000-8000-000000000000")
THEN = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
NOW = THEN + timedelta(seconds=10)
LATER = THEN + timedelta(minutes=10)
BOUNDS = Bounds(
    lease_seconds=30,
    reconcile_after_seconds=60,
    reconcile_every_seconds=5,
    attempts_lost_max=5,
)


def test_a_completed_task_says_when_and_by_which_attempt() -> None:
    task = _running()
    task.complete(attempt=1, result=1, now=NOW)

    explanation = _explained(task)

    assert explanation.summary == "Attempt 1 completed it at 2026-01-02 03:00:10Z."
    assert _codes(explanation) == ["completed"]


@pytest.mark.parametrize(
    ("cause", "max_attempts", "code", "sentence"),
    [
        (Cause.ERROR, 1, "attempts_spent", "All 1 attempts that it may fail are spent."),
        (Cause.ERROR, 3, "not_retryable", "The error is not to be retried, after 1 of 3 failures."),
        (Cause.WORKER_LOST, 3, "losses_spent", "1 of 5 attempts were lost with their worker."),
    ],
)
def test_a_failed_task_says_what_went_wrong_and_why_it_is_not_retried(
    cause: Cause, max_attempts: int, code: str, sentence: str
) -> None:
    task = _running(max_attempts=max_attempts)
    _fail(task, cause=cause, delay=None)

    explanation = _explained(task)

    assert explanation.summary == "Attempt 1 failed at 2026-01-02 03:00:10Z: OSError: no such file."
    assert _codes(explanation) == ["failed", code]
    assert explanation.because[1].sentence == sentence


@pytest.mark.parametrize(("reason", "end"), [("called off", ": called off."), ("", ".")])
def test_a_cancelled_task_says_who_cancelled_it_and_why(reason: str, end: str) -> None:
    task = _submitted()
    task.request_cancel(actor="user:ann", reason=reason, now=NOW)

    explanation = _explained(task, Facts(now=NOW, cancelled_by=("user:ann", reason)))

    assert explanation.summary == f"user:ann cancelled it at 2026-01-02 03:00:10Z{end}"


def test_a_delayed_task_says_until_when_it_waits() -> None:
    explanation = _explained(_submitted(run_at=LATER))

    assert explanation.summary == "It waits until 2026-01-02 03:10:00Z, as it was submitted to."
    assert explanation.because[0].details["release_at"] == LATER


def test_a_task_that_is_to_be_retried_says_after_which_failure() -> None:
    task = _running()
    _fail(task, cause=Cause.ERROR, delay=60)

    assert _explained(task).summary == (
        "It waits until 2026-01-02 03:01:10Z to be retried, after failure 1 of 3: OSError: no such file."
    )


def test_a_task_whose_worker_was_lost_does_not_count_that_as_a_failure() -> None:
    task = _running()
    _fail(task, cause=Cause.WORKER_LOST, delay=60)

    explanation = _explained(task)

    assert "because attempt 1 ended without an outcome" in explanation.summary
    assert explanation.because[0].details["losses"] == 1


def test_a_due_task_that_nobody_releases_points_at_the_scheduler() -> None:
    explanation = _explained(_submitted(run_at=NOW), Facts(now=LATER))

    assert _codes(explanation) == ["due"]


def test_a_ready_task_that_nothing_holds_up_is_on_its_way() -> None:
    explanation = _explained(_submitted(), _ready())

    assert _codes(explanation) == ["on_its_way"]
    assert explanation.facts["ready_at"] == THEN


def test_a_task_that_the_relay_has_not_published_says_so_first() -> None:
    explanation = _explained(_submitted(), _ready(published_position=6, workers=()))

    assert _codes(explanation) == ["not_published", "no_worker"]


def test_a_task_whose_message_died_names_the_letter_to_redrive() -> None:
    letter = DeadMessage(letter_id="L7", reason="not ours", collected_at=NOW)

    explanation = _explained(_submitted(), _ready(dead_message=letter))

    assert explanation.summary == "Its message died at 2026-01-02 03:00:10Z: not ours; redrive it, as L7."
    assert _codes(explanation) == ["dead_letter"]


def test_a_task_that_nobody_serves_names_its_queue() -> None:
    explanation = _explained(_submitted(), _ready(workers=()))

    assert explanation.summary == "No live worker serves the queue default."


def test_busy_workers_and_the_tasks_before_it_are_both_counted() -> None:
    explanation = _explained(_submitted(), _ready(workers=[_worker(50), _worker(51)], ahead=7))

    assert _codes(explanation) == ["workers_busy", "behind_others"]
    assert explanation.because[0].details["running"] == 101
    assert explanation.because[1].sentence == "Ready tasks of the queue default that became ready before it: 7."


def test_one_worker_with_a_free_slot_is_enough_not_to_be_busy() -> None:
    assert _codes(_explained(_submitted(), _ready(workers=[_worker(50), _worker(49)]))) == ["on_its_way"]


def test_a_count_that_was_cut_off_says_so() -> None:
    explanation = _explained(_submitted(), _ready(ahead=1000))

    assert explanation.summary.endswith(": 1000 or more.")


def test_an_overtaken_task_says_when_the_reconciler_releases_it() -> None:
    explanation = _explained(_submitted(), _ready(now=LATER, front=THEN + timedelta(seconds=61)))

    assert _codes(explanation)[0] == "overtaken"
    assert explanation.summary.endswith("the reconciler releases it again in 5 s at most.")


@pytest.mark.parametrize(
    ("now", "front"),
    [(LATER, THEN + timedelta(seconds=60)), (THEN + timedelta(seconds=60), LATER), (LATER, None)],
)
def test_what_the_reconciler_would_not_release_is_not_called_overtaken(
    now: datetime, front: datetime | None
) -> None:
    assert "overtaken" not in _codes(_explained(_submitted(), _ready(now=now, front=front, ahead=1)))


def test_a_task_that_waits_long_with_nothing_before_it_may_have_lost_its_message() -> None:
    explanation = _explained(_submitted(), _ready(now=LATER))

    assert _codes(explanation) == ["maybe_lost"]


def test_a_running_task_says_where_since_when_and_until_when() -> None:
    explanation = _explained(_running(), Facts(now=NOW, owner=_worker(1)))

    assert explanation.summary == (
        "Attempt 1 runs on worker w since 2026-01-02 03:00:00Z, until 2026-01-02 03:05:00Z at most."
    )
    assert _codes(explanation) == ["running", "worker_alive"]
    assert explanation.because[1].sentence == "Its worker's last beat was 10 s ago."


@pytest.mark.parametrize(
    ("owner", "code"),
    [
        (None, "worker_unknown"),
        (SeenWorker(worker_id="w", name="w", beat_at=THEN - timedelta(seconds=21), running=1), "worker_silent"),
        (SeenWorker(worker_id="w", name="w", beat_at=NOW, running=0, stopped_at=NOW), "worker_left"),
    ],
)
def test_a_task_whose_worker_is_gone_says_that_it_is_swept(owner: SeenWorker | None, code: str) -> None:
    explanation = _explained(_running(), Facts(now=NOW, owner=owner))

    assert _codes(explanation) == ["running", code]
    assert explanation.because[1].sentence.endswith("the sweeper ends the attempt as lost.")


def test_a_running_task_that_is_to_be_cancelled_says_who_asked() -> None:
    task = _running()
    task.request_cancel(actor="user:ann", reason="wrong", now=NOW)

    explanation = _explained(task, Facts(now=NOW, owner=_worker(1)))

    assert _codes(explanation)[-1] == "cancel_requested"
    assert explanation.because[-1].details == {"actor": "user:ann", "reason": "wrong"}


def _submitted(*, run_at: datetime | None = None, max_attempts: int = 3) -> Task:
    return Task.submit(TASK_ID, TaskSpecification(run_at=run_at, max_attempts=max_attempts), now=THEN)


def _running(*, max_attempts: int = 3) -> Task:
    task = _submitted(max_attempts=max_attempts)
    task.start(worker_id="w", now=THEN)
    return task


def _fail(task: Task, *, cause: Cause, delay: float | None) -> None:
    error = TaskError(type="OSError", message="no such file")
    losses_max = 1 if delay is None else 5
    task.fail(
        attempt=1, error=error, cause=cause, now=NOW, retry_delay_seconds=delay, attempts_lost_max=losses_max
    )


def _worker(running: int) -> SeenWorker:
    return SeenWorker(worker_id="w", name="w", beat_at=THEN, running=running, capacity=50)


def _ready(
    *,
    now: datetime = NOW,
    published_position: int = 7,
    workers: Sequence[SeenWorker] | None = None,
    ahead: int = 0,
    front: datetime | None = None,
    dead_message: DeadMessage | None = None,
) -> Facts:
    return Facts(
        now=now,
        ready_at=THEN,
        ready_position=7,
        published_position=published_position,
        workers=[_worker(0)] if workers is None else workers,
        ahead=ahead,
        front=front,
        dead_message=dead_message,
    )


def _explained(task: Task, facts: Facts | None = None) -> Explanation:
    return explain(task, facts or Facts(now=NOW), BOUNDS)


def _codes(explanation: Explanation) -> list[str]:
    return [one.code for one in explanation.because]
