"""A schedule: what it may be, when it fires next, and what becomes of the fires that were missed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger.errors import InvalidValueError
from ledger.schedules.schedule import (
    Backfill,
    DueFires,
    Schedule,
    ScheduleDefinition,
    TaskTemplate,
    check_definition,
    due_fires,
    fire_id,
    next_fire,
    next_fire_after_change,
    specification_of,
    time_by_hand,
)
from ledger.specification import Backoff

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY_MINUTE = ScheduleDefinition(cron="* * * * *")


def schedule(definition: ScheduleDefinition = EVERY_MINUTE, **state: object) -> Schedule:
    facts: dict[str, object] = {
        "paused": False, "next_fire_at": NOON, "last_fire_at": None, "last_task_id": None,
        "created_at": NOON, "updated_at": NOON, **state,
    }  # fmt: skip
    return Schedule(name="nightly", definition=definition, **facts)  # type: ignore[arg-type]  # each of its own type


def due(backfill: Backfill, *, minutes_late: int, seconds: int = 0, **changes: object) -> DueFires:
    """Decide about a schedule for each minute that was due at noon first."""
    return due_fires(
        replace(EVERY_MINUTE, backfill=backfill, **changes),  # type: ignore[arg-type]  # each of its own type
        next_fire_at=NOON,
        now=NOON + minutes_late * MINUTE + timedelta(seconds=seconds),
        grace=MINUTE,
        backfill_max=5,
    )


@pytest.mark.parametrize("backfill", list(Backfill))
def test_a_fire_in_time_is_fired_under_every_policy(backfill: Backfill) -> None:
    assert due(backfill, minutes_late=0, seconds=1) == DueFires(
        fire_times=(NOON,), missed_from=None, next_fire_at=NOON + MINUTE
    )


def test_under_none_what_was_missed_is_let_go_and_what_is_in_time_is_fired() -> None:
    assert due(Backfill.NONE, minutes_late=10, seconds=30) == DueFires(
        fire_times=(NOON + 10 * MINUTE,), missed_from=NOON, next_fire_at=NOON + 11 * MINUTE
    )


def test_under_none_a_rare_schedule_that_was_missed_fires_nothing() -> None:
    assert due(Backfill.NONE, minutes_late=10, cron="0 12 * * *") == DueFires(
        fire_times=(), missed_from=NOON, next_fire_at=NOON + timedelta(days=1)
    )


def test_under_none_a_fire_as_late_as_the_grace_is_in_time() -> None:
    assert due(Backfill.NONE, minutes_late=1).fire_times == (NOON, NOON + MINUTE)
    assert due(Backfill.NONE, minutes_late=1, seconds=1).fire_times == (NOON + MINUTE,)


def test_under_latest_the_newest_that_is_due_is_fired_alone() -> None:
    assert due(Backfill.LATEST, minutes_late=10, seconds=30) == DueFires(
        fire_times=(NOON + 10 * MINUTE,), missed_from=NOON, next_fire_at=NOON + 11 * MINUTE
    )


def test_under_latest_a_rare_schedule_is_fired_although_it_is_late() -> None:
    assert due(Backfill.LATEST, minutes_late=600, cron="0 12 * * *") == DueFires(
        fire_times=(NOON,), missed_from=None, next_fire_at=NOON + timedelta(days=1)
    )


def test_under_all_each_is_fired() -> None:
    assert due(Backfill.ALL, minutes_late=3) == DueFires(
        fire_times=tuple(NOON + n * MINUTE for n in range(4)), missed_from=None, next_fire_at=NOON + 4 * MINUTE
    )


def test_under_all_a_round_has_a_bound_and_the_next_one_goes_on_behind_it() -> None:
    first = due(Backfill.ALL, minutes_late=10)

    assert first.fire_times == tuple(NOON + n * MINUTE for n in range(5))
    assert first.next_fire_at == NOON + 5 * MINUTE


@pytest.mark.parametrize("backfill", list(Backfill))
def test_nothing_is_fired_after_the_end(backfill: Backfill) -> None:
    ends_at = NOON + 2 * MINUTE

    found = due(backfill, minutes_late=3, ends_at=ends_at)

    assert [time for time in found.fire_times if time > ends_at] == []
    assert found.next_fire_at is None


def test_a_fire_whose_time_the_expression_does_not_know_any_more_is_fired_all_the_same() -> None:
    odd = NOON + timedelta(seconds=7)  # a new time zone database may say so

    found = due_fires(EVERY_MINUTE, next_fire_at=odd, now=odd, grace=MINUTE, backfill_max=5)

    assert (found.fire_times, found.next_fire_at) == ((odd,), NOON + MINUTE)


def test_the_start_and_the_end_are_times_to_fire_themselves() -> None:
    definition = replace(EVERY_MINUTE, starts_at=NOON + 5 * MINUTE, ends_at=NOON + 5 * MINUTE)

    assert next_fire(definition, after=NOON) == NOON + 5 * MINUTE
    assert next_fire(definition, after=NOON + 5 * MINUTE) is None


def test_a_new_schedule_counts_from_now() -> None:
    definition = replace(EVERY_MINUTE, starts_at=NOON - timedelta(days=1))

    assert next_fire_after_change(definition, known=None, paused=False, now=NOON) == NOON + MINUTE
    assert next_fire_after_change(definition, known=None, paused=True, now=NOON) is None


def test_a_change_of_the_task_leaves_a_fire_that_is_due_as_it_is() -> None:
    changed = replace(EVERY_MINUTE, task=TaskTemplate(input=2), backfill=Backfill.ALL)

    found = next_fire_after_change(changed, known=schedule(), paused=False, now=NOON + 3 * MINUTE)

    assert found == NOON


def test_a_change_of_the_times_counts_from_now() -> None:
    changed = replace(EVERY_MINUTE, cron="30 * * * *")

    found = next_fire_after_change(changed, known=schedule(), paused=False, now=NOON + 3 * MINUTE)

    assert found == NOON + 30 * MINUTE


def test_a_change_while_the_clock_is_behind_goes_on_behind_the_last_fire() -> None:
    fired = schedule(last_fire_at=NOON + timedelta(hours=1))
    changed = replace(EVERY_MINUTE, cron="*/2 * * * *")

    found = next_fire_after_change(changed, known=fired, paused=False, now=NOON)

    assert found == NOON + timedelta(hours=1) + 2 * MINUTE


@pytest.mark.parametrize("backfill", list(Backfill))
def test_what_passes_while_paused_is_not_missed_under_any_policy(backfill: Backfill) -> None:
    paused = schedule(replace(EVERY_MINUTE, backfill=backfill), paused=True, next_fire_at=None)

    found = next_fire_after_change(paused.definition, known=paused, paused=False, now=NOON + 600 * MINUTE)

    assert found == NOON + 601 * MINUTE


def test_a_fire_by_hand_takes_no_time_that_the_expression_may_need() -> None:
    assert time_by_hand(NOON) == NOON + timedelta(microseconds=1)
    assert time_by_hand(NOON + timedelta(microseconds=7)) == NOON + timedelta(microseconds=7)


def test_a_task_carries_the_name_of_its_schedule() -> None:
    task = specification_of("nightly", TaskTemplate(tags=("a",), key="k"), backoff=Backoff())

    assert (task.tags, task.key) == (("a", "schedule:nightly"), "k")
    assert fire_id("nightly", NOON) == "schedule:nightly@2026-06-30T12:00:00Z"


@pytest.mark.parametrize(
    ("name", "definition", "sentence"),
    [
        ("Nightly", EVERY_MINUTE, "name must be 1 to 64 characters of a-z 0-9 _ -, got 'Nightly'"),
        ("", EVERY_MINUTE, "name must be 1 to 64 characters"),
        ("n", replace(EVERY_MINUTE, cron="soon"), "cron must be a cron expression of 5 fields, got 'soon'"),
        ("n", replace(EVERY_MINUTE, time_zone="Mars"), "time_zone must be a name of the IANA"),
        ("n", replace(EVERY_MINUTE, starts_at=datetime(2030, 1, 1)), "starts_at must be a time with an offset"),  # noqa: DTZ001
        ("n", replace(EVERY_MINUTE, starts_at=NOON, ends_at=NOON - MINUTE), "ends_at must be at or after"),
        ("n", replace(EVERY_MINUTE, task=TaskTemplate(priority=10)), "priority must be between 0 and 9, got 10"),
        ("n", replace(EVERY_MINUTE, task=TaskTemplate(tags=("t",) * 20)), "tags must be at most 20, got 21"),
        ("n", replace(EVERY_MINUTE, task=TaskTemplate(key="")), "key must be 1 to 200 characters"),
    ],
)  # fmt: skip
def test_a_definition_out_of_its_bounds_is_refused(
    name: str, definition: ScheduleDefinition, sentence: str
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_definition(name, definition)

    assert str(caught.value).startswith(sentence)
