"""How shards are named, and how relays share them."""

import pytest

from ledger.errors import ConfigurationError
from ledger.relay_layout import SHARDS_MAX, names_of, recorded_layout
from ledger.relay_share import fair_share
from ledger.settings import load_settings


@pytest.mark.parametrize("count", range(1, SHARDS_MAX + 1))
@pytest.mark.parametrize("relays", [1, 2, 3, 7, 16, 20])
def test_each_shard_falls_to_one_relay_and_no_relay_has_two_more_than_another(count: int, relays: int) -> None:
    shares = [fair_share(count, place, relays) for place in range(relays)]

    assert [shard for share in shares for shard in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("count", range(1, SHARDS_MAX + 1))
def test_a_layout_is_known_by_the_names_of_its_checkpoints(count: int) -> None:
    assert recorded_layout(names_of(count)) == count


@pytest.mark.parametrize("names", [[], ["relay:0/2"], ["relay", "relay:0/2", "relay:1/2"], ["relay:0/17"]])
def test_checkpoints_of_no_layout_or_of_two_are_none(names: list[str]) -> None:
    assert recorded_layout(names) is None


def test_one_shard_has_the_name_that_every_release_knows() -> None:
    assert names_of(1) == ["relay"]


def test_the_setting_has_the_bound_of_the_layouts() -> None:
    assert load_settings(relay_shards=SHARDS_MAX).relay_shards == SHARDS_MAX
    with pytest.raises(ConfigurationError, match="LEDGER_RELAY_SHARDS must be at most 16, got 17"):
        load_settings(relay_shards=SHARDS_MAX + 1)
