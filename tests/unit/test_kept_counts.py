"""Counts that were worked out before: the nearest is found, and no more are kept than may be."""

from datetime import UTC, datetime, timedelta

from api.kept_counts import CountsKeeper, KeptCounts
from api.ledger_counts import Count, Move, counts_after, counts_before

START = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = [Count("PENDING", "mail", "send", 2), Count("RUNNING", "mail", "send", 1)]
MOVES = [
    Move(None, "PENDING", "mail", "send", 1),
    Move("PENDING", "RUNNING", "mail", "send", 2),
    Move("RUNNING", "COMPLETED", "mail", "send", 1),
    Move("RUNNING", "RUNNING", "mail", "send", 1),
]
AFTER = [
    Count("PENDING", "mail", "send", 1),
    Count("RUNNING", "mail", "send", 2),
    Count("COMPLETED", "mail", "send", 1),
]


def test_the_nearest_by_position_is_found_on_either_side() -> None:
    keeper = CountsKeeper(moments_max=8)
    low, high = _kept(100), _kept(200)

    assert keeper.nearest(150) is None
    keeper.keep(low)
    keeper.keep(high)

    assert (keeper.nearest(0), keeper.nearest(149), keeper.nearest(151)) == (low, low, high)


def test_what_was_kept_first_is_forgotten_first() -> None:
    keeper = CountsKeeper(moments_max=2)

    for position in (100, 200, 300):
        keeper.keep(_kept(position))

    assert keeper.nearest(0) == _kept(200)


def test_moves_lead_from_the_counts_before_to_those_after_and_back() -> None:
    assert set(counts_after(BEFORE, MOVES)) == set(AFTER)
    assert set(counts_before(AFTER, MOVES)) == set(BEFORE)


def _kept(position: int) -> KeptCounts:
    return KeptCounts(START + timedelta(seconds=position), position, BEFORE)
