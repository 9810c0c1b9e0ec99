"""What answers are made of: times as the seed printed them, problems for every error, cursors, folded views."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from starlette.exceptions import HTTPException

from api.cursor import decode_cursor, encode_cursor
from api.errors import BodyTooLargeError, InvalidRequestError, InvalidTaskIdError, Part
from api.json_response import timestamp, to_json
from api.problems import problem_of
from api.read_model import TaskFilter
from ledger.errors import (
    InvalidValueError,
    LedgerError,
    StaleAttemptError,
    StoreRefusedError,
    StoreUnavailableError,
    StoreUnwritableError,
    TaskNotFoundError,
    TaskStateError,
    UnknownEventTypeError,
    WrongExpectedVersionError,
)

TASK_ID = UUID("01900000-0000-7000-8000-000000000000")
SECRET = "postgresql://user:hunter2@db/ledger"  # noqa: S105 - must never come out


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 50, 120_000, tzinfo=UTC), "2026-01-02T03:04:50.12Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC), "2026-01-02T03:04:05.000001Z"),
        (datetime(2026, 1, 2, 3, 4, 10, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:10Z"),
    ],
)
def test_a_time_is_in_utc_without_trailing_zeros(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text
    assert to_json([moment]) == f'["{text}"]'.encode()


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (InvalidRequestError(Part.BODY, "input is required"), 400, "Invalid request body: input is required"),
        (InvalidTaskIdError(), 400, "Invalid Task ID format"),
        (InvalidValueError(field="x", bound="small", value=9), 400, "x must be small, got 9"),
        (BodyTooLargeError(bytes_max=5), 413, "The request body must be at most 5 bytes (LEDGER_BODY_BYTES_MAX)"),
        (TaskNotFoundError(TASK_ID), 404, "Task not found"),
        (HTTPException(404), 404, "Not Found"),
        (WrongExpectedVersionError(task_id=TASK_ID, expected_version=1), 409, "The task is busy"),
        (StoreUnavailableError(SECRET), 503, "Service unavailable"),
        (StoreUnwritableError(SECRET), 503, "Service unavailable"),
        (StoreRefusedError(SECRET), 500, "Internal server error"),
        (UnknownEventTypeError(event_type=SECRET, schema_version=1), 500, "Internal server error"),
        (
            StaleAttemptError(task_id=TASK_ID, attempt=1, current_attempt=2, status=SECRET),
            500,
            "Internal server error",
        ),
        (LedgerError(SECRET), 500, "Internal server error"),
        (ZeroDivisionError(SECRET), 500, "Internal server error"),
    ],
)
def test_each_error_has_its_status_and_text_and_tells_nothing_of_the_inside(
    error: Exception, status: int, text: str
) -> None:
    problem = problem_of(error)

    assert (problem.status, problem.error) == (status, text)
    assert SECRET not in problem.response().body.decode()  # type: ignore[union-attr]  # a whole body is bytes


def test_a_conflict_tells_the_state_of_the_task_and_the_reason() -> None:
    problem = problem_of(TaskStateError(task_id=TASK_ID, command="cancel", status="FAILED", reason="too_late"))

    assert problem.status == 409
    assert problem.members == {"task_id": str(TASK_ID), "task_status": "FAILED", "reason": "too_late"}


def test_a_cursor_leads_back_to_where_the_page_ended() -> None:
    task_filter = TaskFilter(kind="mail", created_after=datetime(2026, 1, 1, tzinfo=UTC))

    assert decode_cursor(encode_cursor(TASK_ID, task_filter), task_filter) == TASK_ID


def test_no_damage_to_a_cursor_goes_unnoticed() -> None:
    cursor = encode_cursor(TASK_ID, TaskFilter())

    for at in range(len(cursor)):
        for other in "AZaz09-_=é":
            damaged = cursor[:at] + other + cursor[at + 1 :]
            if damaged != cursor and not _is_same_text(damaged, cursor):
                with pytest.raises(InvalidRequestError):
                    decode_cursor(damaged, TaskFilter())


def _is_same_text(damaged: str, cursor: str) -> bool:
    # The last character of base64 carries bits that stand for nothing.
    return damaged[:-1] == cursor[:-1]
