"""Every command in every state: what the task records, or how it refuses; and that a fold tells the same story."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codec import encode, fold, topic_of
from ledger.errors import LedgerError, StaleAttemptError, TaskStateError
from ledger.specification import TaskSpecification
from ledger.store.records import Origin, RecordedEvent
from ledger.task import Task
from ledger.task_events import TaskEvent
from ledger.task_words import Cause, HoldReason, ReleaseReason, Status, TaskError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PARENT = uuid4()
ERROR = TaskError(type="ValueError", message="no")

Command = Callable[[Task], object]


def fail(task: Task, *, cause: Cause = Cause.ERROR, delay: float | None = 10.0) -> None:
    task.fail(attempt=task.attempt, error=ERROR, cause=cause, now=NOW, retry_delay_seconds=delay)


COMMANDS: dict[str, Command] = {
    "release": lambda task: task.release(reason=ReleaseReason.DUE, now=NOW),
    "hold": lambda task: task.hold_back(reason=HoldReason.LIMIT, now=NOW),
    "end_after": lambda task: task.end_after_parent(PARENT, status=Status.FAILED, now=NOW),
    "discard": lambda task: task.discard(actor="user:a", reason="known", now=NOW),
    "start": lambda task: task.start(worker_id="w", now=NOW),
    "progress": lambda task: task.report_progress(attempt=task.attempt, fraction=0.5, message="", now=NOW),
    "complete": lambda task: task.complete(attempt=task.attempt, result=1, now=NOW),
    "fail": fail,
    "fail_at_once": lambda task: fail(task, delay=0.0),
    "fail_for_good": lambda task: fail(task, delay=None),
    "lose": lambda task: fail(task, cause=Cause.WORKER_LOST, delay=None),
    "interrupt": lambda task: fail(task, cause=Cause.INTERRUPTED, delay=None),
    "cancel": lambda task: task.request_cancel(actor="user:a", reason="", now=NOW),
    "confirm": lambda task: task.confirm_cancel(attempt=task.attempt, now=NOW),
    "retry": lambda task: task.retry(actor="user:a", reason="", now=NOW),
    "erase": lambda task: task.erase(actor="user:a", reason="forget", now=NOW),
}

# How a task comes into each state, beginning with its submission.
STATES: dict[str, tuple[str, ...]] = {
    "ready": (),
    "delayed": (),
    "held": ("hold",),
    "following": (),
    "backing_off": ("start", "fail"),
    "running": ("start",),
    "cancelling": ("start", "cancel"),
    "completed": ("start", "complete"),
    "failed": ("start", "fail_for_good"),
    "discarded": ("start", "fail_for_good", "discard"),
    "cancelled": ("cancel",),
    "erasable": ("start", "complete"),
    "erased": ("start", "complete", "erase"),
}

# A row for each state, a column for each command: the events it records, "-" for none, or how it is refused.
MATRIX = """
              release   hold   end_after  discard    start    progress    complete   fail              fail_at_once      fail_for_good  lose              interrupt         cancel            confirm    retry     erase
ready         released  held   STATE      STATE      started  STALE       STALE      STALE             STALE             STALE          STALE             STALE             cancelled         STALE      STATE      STATE
delayed       released  held   STATE      STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             cancelled         STALE      STATE      STATE
held          released  -      STATE      STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             cancelled         STALE      STATE      STATE
following     released  -      cancelled  STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             cancelled         STALE      STATE      STATE
backing_off   released  held   STATE      STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             cancelled         STALE      STATE      STATE
running       STATE     STATE  STATE      STATE      STATE    progressed  completed  failed            failed,released   failed         failed,released   failed,released   cancel_requested  STATE      STATE      STATE
cancelling    STATE     STATE  STATE      STATE      STATE    progressed  completed  failed,cancelled  failed,cancelled  failed         failed,cancelled  failed,cancelled  -                 cancelled  STATE      STATE
completed     STATE     STATE  STATE      STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             STATE             STALE      retried    STATE
failed        STATE     STATE  STATE      discarded  STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             STATE             STALE      retried    STATE
discarded     STATE     STATE  STATE      -          STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             STATE             STALE      retried    STATE
cancelled     STATE     STATE  STATE      STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             STATE             STALE      retried    STATE
erasable      STATE     STATE  STATE      STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             STATE             STALE      retried     erased
erased        STATE     STATE  STATE      STATE      STATE    STALE       STALE      STALE             STALE             STALE          STALE             STALE             STATE             STALE      STATE       -
"""  # noqa: E501 - a table is read by its columns
REFUSALS: dict[str, type[LedgerError]] = {"STALE": StaleAttemptError, "STATE": TaskStateError}


def submitted(state: str = "ready", *, max_attempts: int = 3) -> Task:
    specification = TaskSpecification(
        input="x",
        run_at=NOW + timedelta(hours=1) if state == "delayed" else None,
        after=(PARENT,) if state == "following" else (),
        erasable=state in ("erasable", "erased"),
        max_attempts=max_attempts,
    )
    return Task.submit(uuid4(), specification, now=NOW)


def task_in(state: str) -> Task:
    task = submitted(state)
    for command in STATES[state]:
        COMMANDS[command](task)
    task.collect_events()
    return task


def is_permitted(task: Task, command: str) -> bool:
    try:
        COMMANDS[command](task)
    except (StaleAttemptError, TaskStateError):
        return False
    return True


def cells() -> list[tuple[str, str, str]]:
    header, *rows = (line.split() for line in MATRIX.strip().splitlines())
    return [
        (state, command, outcome)
        for state, *outcomes in rows
        for command, outcome in zip(header, outcomes, strict=True)
    ]


def recorded(task: Task) -> list[RecordedEvent]:
    """Return what the task has triggered as the ledger would hold it, recorded when it occurred."""
    events: Sequence[TaskEvent] = task.collect_events()  # type: ignore[assignment]  # the library knows no topics
    rows = [encode(event, kind=task.kind, queue=task.queue, origin=Origin(actor="client")) for event in events]
    return [
        RecordedEvent(
            position=number, task_id=task.id, version=number, type=row.type, schema_version=row.schema_version,
            kind=row.kind, queue=row.queue, data=row.data, occurred_at=row.occurred_at,
            recorded_at=row.occurred_at, actor="client", correlation_id="c", causation_id=None, traceparent=None,
        )
        for number, row in enumerate(rows, start=1)
    ]  # fmt: skip


def test_matrix_names_every_state_and_every_command() -> None:
    assert {state for state, _, _ in cells()} == set(STATES)
    assert {command for _, command, _ in cells()} == set(COMMANDS)


@pytest.mark.parametrize(("state", "command", "outcome"), cells())
def test_command_is_recorded_or_refused_as_the_matrix_says(state: str, command: str, outcome: str) -> None:
    task = task_in(state)
    before = vars(task).copy()

    if outcome in REFUSALS:
        with pytest.raises(REFUSALS[outcome]):
            COMMANDS[command](task)
        assert vars(task) == before
        assert task.pending_events == []
        return
    COMMANDS[command](task)

    topics = [topic_of(type(event)).removeprefix("task.") for event in task.collect_events()]  # type: ignore[arg-type]
    assert ",".join(topics) == outcome.replace("-", "")


@pytest.mark.parametrize("refused", [StaleAttemptError, TaskStateError])
def test_refusal_names_the_task_and_its_state(refused: type[LedgerError]) -> None:
    task = task_in("completed")

    with pytest.raises(refused) as refusal:
        COMMANDS["complete" if refused is StaleAttemptError else "start"](task)

    assert str(task.id) in str(refusal.value)
    assert "COMPLETED" in str(refusal.value)


@given(
    st.lists(st.sampled_from(sorted(COMMANDS)), max_size=25),
    st.integers(1, 4),
    st.sampled_from(["ready", "delayed", "following"]),
)
def test_task_folded_from_its_events_is_the_task_that_recorded_them(
    commands: list[str], max_attempts: int, state: str
) -> None:
    task = submitted(state, max_attempts=max_attempts)
    for command in commands:
        attempt = task.attempt

        started = is_permitted(task, command) and command == "start"

        assert task.attempt == attempt + started
        assert task.failures <= task.max_attempts
        assert task.status is Status.PENDING or not task.ready

    folded = fold(recorded(task))

    assert folded is not None
    assert vars(folded) == vars(task)
