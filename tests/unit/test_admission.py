"""Who is let through next: within the room, the most urgent first, tenants in turn by their weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.queues.admission import Candidate, Turns, Use, room_of_key, room_of_queue, select
from ledger.queues.policy import QueuePolicy, Rate

FAIR = QueuePolicy(name="q", fair=True)
PLAIN = QueuePolicy(name="q", concurrency_max=5)


def held(number: int, *, tenant: str = "", key: str | None = None, rank: int = 4) -> Candidate:
    return Candidate(UUID(int=number), 1, rank, tenant, key)


def numbers(picks: Sequence[Candidate]) -> list[int]:
    return [pick.task_id.int for pick in picks]


def starts(policy: QueuePolicy, backlog: Mapping[str, int], *, rounds: int) -> Counter[str]:
    """Let one task a round through, with every tenant's backlog full all the time."""
    turns, served = Turns(), Counter[str]()
    for _ in range(rounds):
        candidates = [held(number, tenant=tenant) for tenant, count in backlog.items() for number in range(count)]
        selection = select(candidates, policy, turns, room=1, rooms_of_keys={})
        served.update(pick.tenant for pick in selection.picks)
        turns = Turns(selection.turns.virtual_time, {**turns.finish_times, **selection.turns.finish_times})
    return served


@pytest.mark.parametrize(
    ("policy", "use", "room"),
    [
        (QueuePolicy(name="q", fair=True), Use(live=90, unstarted=4), 6),
        (QueuePolicy(name="q", concurrency_max=5), Use(live=3), 2),
        (QueuePolicy(name="q", concurrency_max=5), Use(live=7), 0),
        (QueuePolicy(name="q", rate=Rate(8, 60)), Use(in_window=7), 1),
        (QueuePolicy(name="q", concurrency_max=5, rate=Rate(8, 60)), Use(live=1, in_window=6), 2),
        (QueuePolicy(name="q", concurrency_max=50), Use(unstarted=10), 0),
    ],
)
def test_room_of_a_queue_is_what_its_narrowest_limit_leaves(policy: QueuePolicy, use: Use, room: int) -> None:
    assert room_of_queue(policy, use, ahead_max=10) == room


@pytest.mark.parametrize(
    ("policy", "use", "room"),
    [
        (QueuePolicy(name="q", concurrency_max=5), Use(live=9, in_window=9), 7),
        (QueuePolicy(name="q", key_concurrency_max=2), Use(live=1), 1),
        (QueuePolicy(name="q", key_concurrency_max=2), Use(live=3), 0),
        (QueuePolicy(name="q", key_rate=Rate(4, 1)), Use(live=9, in_window=1), 3),
    ],
)
def test_room_of_a_key_is_what_its_own_limits_leave(policy: QueuePolicy, use: Use, room: int) -> None:
    assert room_of_key(policy, use, room=7) == room


def test_most_urgent_goes_first_and_among_equals_the_oldest() -> None:
    candidates = [held(3, rank=4), held(1, rank=4), held(9, rank=0), held(2, rank=9)]

    selection = select(candidates, PLAIN, Turns(), room=3, rooms_of_keys={})

    assert numbers(selection.picks) == [9, 1, 3]


def test_key_without_room_is_passed_by_and_holds_up_nobody() -> None:
    candidates = [held(1, key="full"), held(2, key="one"), held(3, key="one"), held(4)]

    selection = select(candidates, PLAIN, Turns(), room=4, rooms_of_keys={"full": 0, "one": 1})

    assert numbers(selection.picks) == [2, 4]


def test_tenants_take_turns_however_long_their_backlogs_are() -> None:
    candidates = [held(number, tenant="big") for number in range(10)] + [held(20, tenant="small")]

    selection = select(candidates, FAIR, Turns(), room=3, rooms_of_keys={})

    assert "small" in {pick.tenant for pick in selection.picks[:2]}


def test_tenants_share_by_their_weights_over_many_rounds_of_one() -> None:
    policy = QueuePolicy(name="q", fair=True, weights={"gold": 3.0, "tin": 0.5})

    served = starts(policy, {"gold": 3, "plain": 3, "tin": 3}, rounds=90)

    assert served == {"gold": 60, "plain": 20, "tin": 10}


def test_tenant_that_was_away_saves_up_no_turns() -> None:
    turns = Turns(virtual_time=1000.0, finish_times={"busy": 1000.5})
    candidates = [held(n, tenant="busy") for n in range(9)] + [held(n, tenant="back") for n in range(10, 19)]

    selection = select(candidates, FAIR, turns, room=6, rooms_of_keys={})

    assert Counter(pick.tenant for pick in selection.picks) == {"busy": 3, "back": 3}


def test_only_tenants_that_had_a_turn_are_charged() -> None:
    candidates = [held(1, tenant="a"), held(2, tenant="b")]

    selection = select(candidates, FAIR, Turns(5.0, {"b": 9.0}), room=1, rooms_of_keys={})

    assert selection.turns == Turns(5.0, {"a": 6.0})


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None]), st.integers(0, 9)), max_size=40),
    st.integers(0, 20),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 4)),
    st.sampled_from([FAIR, PLAIN]),
)
def test_no_room_is_overrun_and_none_is_wasted(
    drawn: list[tuple[str, str | None, int]], room: int, rooms: dict[str, int], policy: QueuePolicy
) -> None:
    candidates = [held(n, tenant=tenant, key=key, rank=rank) for n, (tenant, key, rank) in enumerate(drawn)]

    picks = select(candidates, policy, Turns(), room=room, rooms_of_keys=rooms).picks

    by_key = Counter(pick.key for pick in picks)
    held_by_key = Counter(candidate.key for candidate in candidates)
    could = sum(min(count, rooms.get(key or "", count)) for key, count in held_by_key.items())
    assert len(set(picks)) == len(picks) == min(room, could)
    assert all(by_key[key] <= most for key, most in rooms.items())
