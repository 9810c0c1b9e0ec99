"""The errors: each writes its own sentence, keeps its facts, and is one of ours."""

from collections.abc import Iterator
from inspect import signature
from uuid import UUID

import pytest

from api.errors import FailureGroupNotFoundError
from ledger import errors
from ledger.errors import (
    ApiKeyNotFoundError,
    ApiKeyStateError,
    ArchiveFileError,
    ArchiveRefusedError,
    BulkActNotFoundError,
    DataDirectoryInUseError,
    DeadLetterNotFoundError,
    DeadLetterStateError,
    ErasureNotFoundError,
    HandlerNotFoundError,
    IdempotencyKeyReusedError,
    InvalidValueError,
    KeyInFlightError,
    LeadershipLostError,
    LedgerError,
    MalformedMessageError,
    NotFoundError,
    PayloadKeyMissingError,
    PayloadSealError,
    ScheduleNotFoundError,
    SchemaBehindError,
    StaleAttemptError,
    StopAskedError,
    TaskArchivedError,
    TaskNotFoundError,
    TaskStateError,
    UnknownEventTypeError,
    WrongExpectedVersionError,
)
from ledger.webhooks.errors import WebhookNotFoundError
from ledger.workers.errors import WorkerNotFoundError
from projections.errors import ProjectionNotFoundError

ID = UUID("01a20cad-7423-7578-abdd-be0ca3bcb83a")

SENTENCES: list[tuple[LedgerError, str]] = [
    (InvalidValueError(field="priority", bound="at most 9", value=10), "priority must be at most 9, got 10"),
    (InvalidValueError(field="kind", bound="short", value="a\0\ud800"), r"kind must be short, got 'a\x00\ud800'"),
    (TaskNotFoundError(ID), "Task not found"),
    (
        TaskArchivedError(ID, month="2026-05", file="a.gz"),
        f"the history of task {ID} is not in the log: the tasks of 2026-05 are archived, in a.gz",
    ),
    (
        ArchiveRefusedError(month="2026-05", act="detach", reason="2 tasks are unfinished"),
        "cannot detach 2026-05: 2 tasks are unfinished",
    ),
    (ArchiveFileError(file="a.archive", reason="is not there"), "the archive a.archive is not there"),
    (ScheduleNotFoundError("nightly"), "there is no schedule 'nightly'"),
    (ApiKeyNotFoundError("shop"), "there is no API key 'shop'"),
    (
        ApiKeyStateError(name="shop", act="rotate", reason="it is revoked"),
        "cannot rotate the API key 'shop': it is revoked",
    ),
    (DeadLetterNotFoundError(ID), "Dead letter not found"),
    (
        DeadLetterStateError(letter_id=ID, act="redrive", reason="it was discarded"),
        f"cannot redrive dead letter {ID}: it was discarded",
    ),
    (BulkActNotFoundError(ID), "Bulk act not found"),
    (
        WrongExpectedVersionError(task_id=ID, expected_version=3),
        f"task {ID} was expected at version 3 and found at another version",
    ),
    (
        WrongExpectedVersionError(task_id=ID, expected_version=3, actual_version=0),
        f"task {ID} was expected at version 3 and found at version 0",
    ),
    (
        PayloadKeyMissingError(task_id=ID, reason="its payload was erased"),
        f"the payload of task {ID} cannot be opened: its payload was erased",
    ),
    (
        PayloadSealError(task_id=ID, field="result"),
        f"the result of task {ID} is not what was sealed under its key",
    ),
    (ErasureNotFoundError(ID), "Erasure not found"),
    (TaskStateError(task_id=ID, command="start", status="FAILED"), f"cannot start task {ID}: it is FAILED"),
    (
        TaskStateError(task_id=ID, command="cancel", status="COMPLETED", reason="too_late"),
        f"cannot cancel task {ID}: it is COMPLETED: too_late",
    ),
    (
        IdempotencyKeyReusedError(key="order-7"),
        "the Idempotency-Key 'order-7' was used with another request before",
    ),
    (
        KeyInFlightError(field="unique_key", key="order-7"),
        "another request with the unique_key 'order-7' is in flight",
    ),
    (
        StaleAttemptError(task_id=ID, attempt=1, current_attempt=2, status="RUNNING"),
        f"attempt 1 of task {ID} is stale: the task is RUNNING at attempt 2",
    ),
    (
        UnknownEventTypeError(event_type="task.vanished", schema_version=7),
        "unknown event 'task.vanished' with schema version 7",
    ),
    (
        LeadershipLostError("relay"),
        "the lead of the relay is lost: its session ended, or another process went ahead",
    ),
    (
        SchemaBehindError(count=2),
        "the database lacks 2 migrations of this release: run `taskledger migrate`",
    ),
    (
        DataDirectoryInUseError(directory="/data", owner="process 7"),
        "another process (process 7) owns the data directory /data",
    ),
    (StopAskedError(), "asked to stop before it had started"),
    (HandlerNotFoundError(kind="mail", known=()), "no handler for kind 'mail'; this worker knows: none"),
    (HandlerNotFoundError(kind="mail", known=("a", "b")), "no handler for kind 'mail'; this worker knows: a, b"),
    (MalformedMessageError("KeyError: 'type'"), "malformed message: KeyError: 'type'"),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_error_writes_its_own_sentence(error: LedgerError, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize("error", [error for error, _ in SENTENCES], ids=lambda error: type(error).__name__)
def test_error_keeps_its_facts(error: LedgerError) -> None:
    assert set(vars(error)) == set(signature(type(error)).parameters)


def test_every_error_is_one_of_ours_and_is_called_one() -> None:
    found = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]

    assert all(issubclass(error, LedgerError) and error.__name__.endswith("Error") for error in found)
    assert {type(error) for error, _ in SENTENCES} == {error for error in found if "__init__" in vars(error)}


def test_what_is_not_there_is_told_alike_by_every_command() -> None:
    absent = {error for error in _below(LedgerError) if error.__name__.endswith("NotFoundError")}

    assert absent > {ProjectionNotFoundError, FailureGroupNotFoundError, WebhookNotFoundError, WorkerNotFoundError}
    assert {error for error in absent if not issubclass(error, NotFoundError)} == {
        HandlerNotFoundError
    }  # a worker's


def _below(error: type[LedgerError]) -> Iterator[type[LedgerError]]:
    for one in error.__subclasses__():
        yield one
        yield from _below(one)


def test_value_that_is_long_is_cut_in_the_sentence_and_kept_whole_in_the_facts() -> None:
    error = InvalidValueError(field="tags", bound="short", value="x" * 1_000_000)

    assert len(str(error)) < 200
    assert str(error).endswith("… (1000002 characters)")
    assert error.value == "x" * 1_000_000
