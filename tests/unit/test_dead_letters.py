"""What is asked for of dead letters, the pace of a redrive, and which task a message is about."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ledger.broker.port import DeadLetter
from ledger.bulk_acts.pace import Pace
from ledger.dead_letters.collector import subject_of
from ledger.dead_letters.letters import TOP, DeadLetterFilter, LetterKind
from ledger.jsonvalue import storable_json
from ledger.messages import outgoing
from ledger.store.records import RecordedEvent

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ID = UUID("01a20cad-7423-7578-abdd-be0ca3bcb83a")


@pytest.mark.parametrize(
    "letters",
    [
        DeadLetterFilter(),
        DeadLetterFilter(kind=LetterKind.TASK, task_kind="mail.send", tags=["a", "b"]),
        DeadLetterFilter(
            queue="mail", error_type="ValueError", cause="timeout", died_after=NOON, died_before=NOON + SECOND
        ),
    ],
)
def test_a_filter_survives_being_kept_as_json(letters: DeadLetterFilter) -> None:
    assert DeadLetterFilter.from_json(letters.as_json()) == letters


def test_only_a_filter_that_asks_for_nothing_is_everything() -> None:
    assert DeadLetterFilter().is_everything
    assert not DeadLetterFilter(queue="mail").is_everything


def test_what_only_tasks_have_finds_no_messages() -> None:
    assert DeadLetterFilter().finds_messages
    assert DeadLetterFilter(queue="mail", cause="rejected").finds_messages
    assert not DeadLetterFilter(error_type="ValueError").finds_messages
    assert not DeadLetterFilter(tags=["a"]).finds_messages
    assert not DeadLetterFilter(kind=LetterKind.TASK).finds_messages
    assert not DeadLetterFilter(kind=LetterKind.MESSAGE).finds_tasks


def test_times_that_the_database_could_not_compare_are_cut() -> None:
    extreme = DeadLetterFilter(
        died_after=datetime.min.replace(tzinfo=UTC), died_before=datetime.max.replace(tzinfo=UTC)
    )

    after, before = extreme.interval

    assert datetime(1970, 1, 1, tzinfo=UTC) < after < before == TOP.died_at


@pytest.mark.parametrize(
    ("rate", "waited", "due"),
    [
        (50, 1.0, 50),
        (50, 0.5, 25),
        (50, 0.019, 0),
        (1, 0.999999, 0),
        (1, 1.0, 1),
        (1000, 0.001, 1),
        (50, 3600.0, 50),
        (50, -5.0, 0),
    ],
)
def test_so_many_letters_are_due_after_so_long_a_wait(rate: int, waited: float, due: int) -> None:
    now = NOON + timedelta(seconds=waited)

    assert Pace(rate).due(paid_until=NOON, now=now) == due


@pytest.mark.parametrize("rate", [1, 3, 7, 50, 999, 1000])
def test_the_rate_holds_over_many_steps_of_any_size(rate: int) -> None:
    pace = Pace(rate)
    paid_until, now, letters = NOON, NOON, 0
    for step in range(2000):
        now += timedelta(milliseconds=1 + step % 97)
        due = pace.due(paid_until=paid_until, now=now)
        letters += due
        paid_until = pace.paid(due, paid_until=paid_until, now=now)

    seconds = (now - NOON).total_seconds()
    assert rate * seconds * 0.97 - 1 <= letters <= rate * seconds


def test_what_was_not_used_within_a_second_is_lost() -> None:
    pace = Pace(10)
    now = NOON + timedelta(hours=1)

    due = pace.due(paid_until=NOON, now=now)
    paid_until = pace.paid(due, paid_until=NOON, now=now)

    assert due == 10
    assert paid_until == now
    assert pace.due(paid_until=paid_until, now=now) == 0


def test_a_message_of_ours_is_about_its_task() -> None:
    letter = _letter(outgoing(_event()).body, message_id="")

    subject = subject_of(letter)

    assert (subject.task_id, subject.version, subject.kind) == (ID, 3, "mail.send")


def test_a_message_that_we_cannot_read_is_about_the_task_in_its_id() -> None:
    subject = subject_of(_letter(b"\xff a later release", message_id=f"{ID}:12"))

    assert (subject.task_id, subject.version, subject.kind) == (ID, 12, None)


@pytest.mark.parametrize("message_id", ["", "42", f"{ID}", f"{ID}:0", f"{ID}:99999999999", f"x{ID}:1"])
def test_a_foreign_message_is_about_no_task(message_id: str) -> None:
    subject = subject_of(_letter(b"<xml/>", message_id=message_id))

    assert (subject.task_id, subject.version, subject.kind) == (None, None, None)


def test_headers_from_elsewhere_are_made_fit_to_store() -> None:
    headers = {"a\0": ["x\0", "\ud800", float("nan")], "b": {"deep": 1}}

    assert storable_json(headers) == '{"a�":["x�","?",null],"b":{"deep":1}}'


def _letter(body: bytes, *, message_id: str) -> DeadLetter:
    return DeadLetter(queue="mail", message_id=message_id, body=body, reason="no good", cause="rejected")


def _event() -> RecordedEvent:
    return RecordedEvent(
        position=7,
        task_id=ID,
        version=3,
        type="task.released",
        schema_version=1,
        kind="mail.send",
        queue="mail",
        data='{"reason": "due"}',
        occurred_at=NOON,
        recorded_at=NOON,
        actor="scheduler",
        correlation_id="story",
        causation_id=None,
        traceparent=None,
    )
