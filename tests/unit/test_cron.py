"""Cron expressions: which are taken, and when they come true where clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidValueError
from ledger.schedules.cron import check_cron, check_time_zone, newest_time, times_after

MINUTE = timedelta(minutes=1)
BERLIN = "Europe/Berlin"
FIELD = st.one_of(
    st.just("*"),
    st.text("0123456789*/-,#LWMONJ", min_size=1, max_size=6),
    st.integers(0, 60).map(str),
    st.integers(1, 30).map(lambda step: f"*/{step}"),
)
EXPRESSION = st.lists(FIELD, min_size=5, max_size=5).map(" ".join)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def times(expression: str, time_zone: str, after: str, count: int) -> list[str]:
    found = islice(times_after(expression, time_zone, at(after)), count)
    return [time.strftime("%m-%d %H:%M") for time in found]


@pytest.mark.parametrize(
    "expression", ["* * * * *", "*/5 9-17 * * MON-FRI", "0 0 L * *", "0 0 29 2 *", "30 4 1,15 * 5"]
)
def test_an_expression_that_comes_true_is_taken(expression: str) -> None:
    check_cron(expression)


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "cron must be a cron expression of 5 fields, got ''"),
        ("* * * *", "cron must be a cron expression of 5 fields, got '* * * *'"),
        ("0 * * * * *", "cron must be a cron expression of 5 fields, got"),
        ("60 * * * *", "cron must be a cron expression of 5 fields (bad minute), got '60 * * * *'"),
        ("* 24 * * *", "cron must be a cron expression of 5 fields (bad hour), got"),
        ("0 0 30 2 *", "cron must be a cron expression of 5 fields (bad day-of-month), got"),
        ("* * */20 * 1L", "cron must be a cron expression of 5 fields that comes true some day, got"),
        ("*" * 300, "cron must be a cron expression of 5 fields, got"),
    ],
)
def test_an_expression_that_is_none_or_never_comes_true_is_refused(expression: str, sentence: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_cron(expression)

    assert str(caught.value).startswith(sentence)


@settings(deadline=None, max_examples=200)
@given(EXPRESSION)
def test_whatever_is_taken_as_an_expression_has_times_that_only_move_on(expression: str) -> None:
    try:
        check_cron(expression)
    except InvalidValueError:
        return

    start = at("2026-10-25T00:10:00Z")
    found = [start, *islice(times_after(expression, BERLIN, start), 5)]

    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(time.second == 0 and time.microsecond == 0 for time in found[1:])


@pytest.mark.parametrize("name", ["UTC", BERLIN, "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_a_time_zone_of_the_database_is_taken(name: str) -> None:
    check_time_zone(name)


@pytest.mark.parametrize(
    "name",
    ["", "Berlin", "Europe", "Europe/", "../UTC", "/etc/passwd", "UTC\0", "localtime", "right/UTC", "x" * 99],
)
def test_a_time_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match="time_zone must be a name of the IANA time zone database"):
        check_time_zone(name)


def test_a_time_is_after_the_moment_and_never_at_it() -> None:
    assert times("*/5 * * * *", "UTC", "2026-01-01T12:05:00Z", 2) == ["01-01 12:10", "01-01 12:15"]
    assert times("*/5 * * * *", "UTC", "2026-01-01T12:04:59.999999Z", 1) == ["01-01 12:05"]


def test_a_time_that_the_clocks_skip_comes_right_after_the_gap() -> None:
    # 02:30 does not exist on 29 March 2026 in Berlin: 03:00 there is 01:00 UTC.
    assert times("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2) == ["03-29 01:00", "03-30 00:30"]


def test_several_times_that_the_clocks_skip_come_once() -> None:
    assert times("0,30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2) == ["03-29 01:00", "03-30 00:00"]


def test_a_time_that_comes_twice_counts_the_first_time() -> None:
    # 02:30 comes twice on 25 October 2026 in Berlin: at 00:30 and at 01:30 UTC.
    assert times("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2) == ["10-25 00:30", "10-26 01:30"]


def test_between_the_two_hours_that_are_called_the_same_no_time_lies_in_the_past() -> None:
    assert times("30 2 * * *", BERLIN, "2026-10-25T01:15:00Z", 1) == ["10-26 01:30"]


def test_what_comes_by_elapsed_time_does_so_while_the_clocks_change() -> None:
    assert times("*/30 * * * *", BERLIN, "2026-03-29T00:15:00Z", 3) == [
        "03-29 00:30",
        "03-29 01:00",
        "03-29 01:30",
    ]
    assert times("*/30 * * * *", BERLIN, "2026-10-25T00:15:00Z", 3) == [
        "10-25 00:30",
        "10-25 01:00",
        "10-25 01:30",
    ]


@pytest.mark.parametrize("time_zone", ["UTC", BERLIN, "Pacific/Auckland", "America/New_York"])
@pytest.mark.parametrize("after", ["0001-01-02T00:00:00Z", "9999-12-31T23:59:30Z"])
def test_times_end_where_the_calendar_does(time_zone: str, after: str) -> None:
    assert len(list(islice(times_after("0 12 * * *", time_zone, at(after)), 2))) in (0, 2)


@pytest.mark.parametrize(
    ("expression", "hours", "newest"),
    [
        ("*/5 * * * *", 1, "06-30 12:00"),
        ("7 * * * *", 1, "06-30 11:07"),
        ("0 0 * * *", 24 * 400, "06-30 00:00"),
        ("0 0 1 1 *", 24 * 4000, "01-01 00:00"),
        ("0 0 1 1 *", 24, None),
        ("* * 29 2 *", 24 * 4000, "02-29 23:59"),
    ],
)
def test_the_newest_time_is_found_however_far_back_the_search_may_go(
    expression: str, hours: int, newest: str | None
) -> None:
    upto = at("2026-06-30T12:00:00Z")

    found = newest_time(expression, "UTC", after=upto - timedelta(hours=hours), upto=upto)

    assert (found and found.strftime("%m-%d %H:%M")) == newest


@settings(deadline=None, max_examples=50)
@given(EXPRESSION, st.integers(1, 3000))
def test_the_newest_time_is_the_last_of_all(expression: str, minutes: int) -> None:
    try:
        check_cron(expression)
    except InvalidValueError:
        return
    upto = at("2026-10-25T02:10:00Z")
    after = upto - minutes * MINUTE

    every = []
    for time in times_after(expression, BERLIN, after):
        if time > upto:
            break
        every.append(time)

    assert newest_time(expression, BERLIN, after=after, upto=upto) == (every[-1] if every else None)
