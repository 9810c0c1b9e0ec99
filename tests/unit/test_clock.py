"""The ledger's clock: the database's time, carried on between two looks at it."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.clock import LedgerClock, synchronise
from ledger.store.memory import MemoryEventStore

YEARS_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
_TEST_SECONDS_MAX = timedelta(seconds=30)


def test_clock_that_was_never_set_tells_this_machines_time_with_its_offset() -> None:
    before = datetime.now(UTC)

    now = LedgerClock().now()

    assert now.utcoffset() == timedelta(0)
    assert before <= now < before + _TEST_SECONDS_MAX


def test_clock_adopts_the_databases_time_however_wrong_this_machine_is() -> None:
    clock = LedgerClock()

    clock.set(YEARS_AGO, round_trip_seconds=0.0)

    assert YEARS_AGO <= clock.now() < YEARS_AGO + _TEST_SECONDS_MAX


def test_answer_was_given_half_a_round_trip_ago() -> None:
    clock = LedgerClock()

    clock.set(YEARS_AGO, round_trip_seconds=7200.0)

    assert YEARS_AGO + timedelta(hours=1) <= clock.now() < YEARS_AGO + timedelta(hours=1) + _TEST_SECONDS_MAX


def test_time_goes_on_and_never_back_between_two_looks() -> None:
    clock = LedgerClock()
    clock.set(YEARS_AGO, round_trip_seconds=0.0)

    times = [clock.now() for _ in range(1000)]

    assert times == sorted(times)
    assert times[-1] > times[0]


async def test_clock_is_set_by_the_store() -> None:
    clock = LedgerClock()
    clock.set(YEARS_AGO, round_trip_seconds=0.0)

    await synchronise(clock, MemoryEventStore())

    assert abs(clock.now() - datetime.now(UTC)) < _TEST_SECONDS_MAX


async def test_clock_stays_as_it_was_when_the_store_does_not_answer() -> None:
    class DeadStore(MemoryEventStore):
        """A store whose database is gone."""

        async def database_time(self) -> datetime:
            """Fail."""
            raise ConnectionError

    clock = LedgerClock()
    clock.set(YEARS_AGO, round_trip_seconds=0.0)

    with pytest.raises(ConnectionError):
        await synchronise(clock, DeadStore())

    assert clock.now() < YEARS_AGO + _TEST_SECONDS_MAX
