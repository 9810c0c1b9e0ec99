"""A key may be used so often, and each has a count of its own."""

import pytest

from api.errors import RateExceededError
from api.rates import Rates


def test_a_seconds_worth_may_come_at_once_and_no_more() -> None:
    rates = Rates()
    for _ in range(2):
        rates.spend("key:a", 2, now=10.0)

    with pytest.raises(RateExceededError, match="2 times a second") as refusal:
        rates.spend("key:a", 2, now=10.0)

    assert refusal.value.wait_seconds == 0.5


def test_the_bucket_fills_again_up_to_a_seconds_worth() -> None:
    rates = Rates()
    for _ in range(2):
        rates.spend("key:a", 2, now=10.0)

    for _ in range(2):
        rates.spend("key:a", 2, now=100.0)

    with pytest.raises(RateExceededError):
        rates.spend("key:a", 2, now=100.0)


def test_callers_do_not_spend_from_each_other() -> None:
    rates = Rates()
    rates.spend("key:a", 1, now=10.0)

    rates.spend("key:b", 1, now=10.0)
