"""A bulk act goes at its rate, is worked off by whoever is there, and acts upon no letter twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct, BulkOrder, BulkState
from ledger.bulk_acts.chore import BulkChore
from ledger.bulk_acts.commands import BulkActs
from ledger.dead_letters.acts import DeadLetterActs, Intent
from ledger.dead_letters.letters import Act, DeadLetterFilter, LetterKind
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import BulkActNotFoundError, InvalidValueError
from ledger.scheduler import Scheduler
from ledger.store.records import Origin
from tests.integration.dead_letters_given import announcement, dead_messages, fail, failed, foreign, listed_ids
from tests.integration.given import caught_up, opened, submitted, types_of

ANN = Intent(reason="the cause is gone", origin=Origin(actor="user:ann", correlation_id="story"))
SECOND = timedelta(seconds=1)
EVERYTHING = DeadLetterFilter()


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_every_letter_is_redriven_once_and_the_redrive_says_so(ledger: Ledger) -> None:
    tasks = await failed(ledger, 5)
    [pending] = await submitted(ledger)
    await dead_messages(ledger, "default", [await announcement(ledger, pending), foreign("default")])
    bulk = await _begin(ledger)

    acted = await BulkChore(ledger).run_once(bulk.upto + SECOND)
    await caught_up(ledger)
    await BulkChore(ledger).run_once(bulk.upto + 2 * SECOND)

    ended = await BulkActs(ledger).find(bulk.bulk_id)
    assert (acted, ended.found, ended.acted, ended.skipped) == (7, 7, 6, 1)
    assert (ended.state, ended.ended_at is None) == (BulkState.DONE, False)
    assert await _retries(ledger, tasks) == [1] * 5
    assert await types_of(ledger, pending) == ["submitted", "released"]
    last = (await ledger.store.read_stream(tasks[0]))[-1]
    assert (last.actor, last.correlation_id) == ("user:ann", "story")
    assert last.causation_id == f"bulk:{bulk.bulk_id}"


async def test_a_filter_is_kept_to(ledger: Ledger) -> None:
    mine = await failed(ledger, 2, queue="mail", tags=("tenant:acme",))
    others = await failed(ledger, 2, queue="mail")
    bulk = await _begin(ledger, DeadLetterFilter(kind=LetterKind.TASK, queue="mail", tags=["tenant:acme"]))

    await BulkChore(ledger).run_once(bulk.upto + SECOND)

    assert await _retries(ledger, [*mine, *others]) == [1, 1, 0, 0]


async def test_the_rate_is_kept_by_the_clock_that_is_given(ledger: Ledger) -> None:
    tasks = await failed(ledger, 12)
    bulk = await _begin(ledger, rate_per_s=4)
    redriver = BulkChore(ledger)

    counts = [
        await redriver.run_once(bulk.upto + seconds * SECOND) for seconds in (0, 0.2, 0.25, 0.25, 1.0, 60.0, 60.2)
    ]

    assert counts == [0, 0, 1, 0, 3, 4, 0]  # what was not used within a second is lost
    assert sum(await _retries(ledger, tasks)) == 8


async def test_no_more_letters_are_redriven_than_was_asked_for(ledger: Ledger) -> None:
    tasks = await failed(ledger, 5)
    bulk = await _begin(ledger, limit=2)

    for seconds in range(1, 4):
        await BulkChore(ledger).run_once(bulk.upto + seconds * SECOND)

    assert (bulk.found, sum(await _retries(ledger, tasks))) == (2, 2)
    assert (await BulkActs(ledger).find(bulk.bulk_id)).state is BulkState.DONE


async def test_what_dies_after_a_redrive_was_asked_for_is_none_of_its_letters(ledger: Ledger) -> None:
    again, later = (await failed(ledger))[0], (await submitted(ledger))[0]
    bulk = await _begin(ledger, rate_per_s=1)
    await fail(ledger, later)
    await BulkChore(ledger).run_once(bulk.upto + SECOND)
    await fail(ledger, again)
    await caught_up(ledger)

    for seconds in range(2, 5):
        await BulkChore(ledger).run_once(bulk.upto + seconds * SECOND)

    assert await _retries(ledger, [again, later]) == [1, 0]
    assert set(await listed_ids(ledger)) == {again, later}


async def test_a_redrive_that_was_killed_half_way_goes_on_without_doubling(ledger: Ledger) -> None:
    for acted_upon, is_folded in product((0, 2, 4), (False, True)):
        tag = f"{acted_upon} {is_folded}"
        tasks = await failed(ledger, 6, tags=(tag,))
        bulk = await _begin(ledger, DeadLetterFilter(tags=[tag]), rate_per_s=4)
        taken = await BulkChore(ledger).take(bulk, bulk.upto + SECOND)
        assert taken is not None
        for letter_id in taken.under_way[:acted_upon]:  # and then the scheduler is killed
            await DeadLetterActs(ledger).redrive(letter_id, taken.intent)
        if is_folded:
            await caught_up(ledger)

        for seconds in range(2, 5):
            await BulkChore(ledger).run_once(bulk.upto + seconds * SECOND)
            await caught_up(ledger)

        ended = await BulkActs(ledger).find(bulk.bulk_id)
        assert await _retries(ledger, tasks) == [1] * 6
        assert (ended.state, ended.acted, ended.skipped) == (BulkState.DONE, 6, 0)


async def test_a_task_that_failed_again_before_the_kill_was_noticed_is_not_redriven_again(ledger: Ledger) -> None:
    [task_id] = await failed(ledger)
    bulk = await _begin(ledger)
    taken = await BulkChore(ledger).take(bulk, bulk.upto + SECOND)
    assert taken is not None
    await DeadLetterActs(ledger).redrive(task_id, taken.intent)
    await fail(ledger, task_id)
    await caught_up(ledger)

    for seconds in range(2, 4):
        await BulkChore(ledger).run_once(bulk.upto + seconds * SECOND)

    assert await _retries(ledger, [task_id]) == [1]
    assert (await BulkActs(ledger).find(bulk.bulk_id)).acted == 1


async def test_messages_that_were_redriven_before_a_kill_are_counted_and_left_alone(ledger: Ledger) -> None:
    [pending] = await submitted(ledger)
    [letter_id] = await dead_messages(ledger, "default", [await announcement(ledger, pending)])
    bulk = await _begin(ledger)
    taken = await BulkChore(ledger).take(bulk, bulk.upto + SECOND)
    assert taken is not None
    await DeadLetterActs(ledger).redrive(letter_id, taken.intent)

    await BulkChore(ledger).run_once(bulk.upto + 2 * SECOND)

    assert await types_of(ledger, pending) == ["submitted", "released"]
    assert (await BulkActs(ledger).find(bulk.bulk_id)).acted == 1


async def test_two_schedulers_at_once_redrive_each_letter_once(ledger: Ledger) -> None:
    tasks = await failed(ledger, 20)
    bulk = await _begin(ledger, rate_per_s=7)

    for seconds in range(1, 6):
        now = bulk.upto + seconds * SECOND
        await asyncio.gather(BulkChore(ledger).run_once(now), BulkChore(ledger).run_once(now))
        await caught_up(ledger)

    ended = await BulkActs(ledger).find(bulk.bulk_id)
    assert await _retries(ledger, tasks) == [1] * 20
    assert (ended.state, ended.acted + ended.skipped) == (BulkState.DONE, 20)


async def test_what_others_dealt_with_first_is_skipped(ledger: Ledger) -> None:
    retried, discarded = await failed(ledger, 2)
    bulk = await _begin(ledger)
    await ledger.commands.retry(retried, reason="", origin=Origin(actor="user:bob"))
    await DeadLetterActs(ledger).discard(discarded, ANN)

    await BulkChore(ledger).run_once(bulk.upto + SECOND)

    ended = await BulkActs(ledger).find(bulk.bulk_id)
    assert (ended.acted, ended.skipped) == (0, 2)
    assert await _retries(ledger, [retried, discarded]) == [1, 0]


async def test_a_redrive_that_is_cancelled_stops_where_it_is(ledger: Ledger) -> None:
    tasks = await failed(ledger, 4)
    bulk = await _begin(ledger, rate_per_s=2)
    await BulkChore(ledger).run_once(bulk.upto + SECOND)

    cancelled = await BulkActs(ledger).cancel(bulk.bulk_id, actor="user:bob")
    await BulkChore(ledger).run_once(bulk.upto + 2 * SECOND)
    again = await BulkActs(ledger).cancel(bulk.bulk_id, actor="user:eve")

    assert (cancelled.state, cancelled.cancelled_by, cancelled.acted) == (BulkState.CANCELLED, "user:bob", 2)
    assert again == cancelled
    assert sum(await _retries(ledger, tasks)) == 2


async def test_what_was_under_way_when_a_redrive_was_cancelled_is_counted_and_not_acted_upon(
    ledger: Ledger,
) -> None:
    tasks = await failed(ledger, 2)
    bulk = await _begin(ledger)
    taken = await BulkChore(ledger).take(bulk, bulk.upto + SECOND)
    assert taken is not None
    await DeadLetterActs(ledger).redrive(tasks[0], taken.intent)
    await BulkActs(ledger).cancel(bulk.bulk_id, actor="user:bob")

    await BulkChore(ledger).run_once(bulk.upto + 2 * SECOND)

    ended = await BulkActs(ledger).find(bulk.bulk_id)
    assert (ended.state, ended.acted, ended.under_way) == (BulkState.CANCELLED, 1, ())
    assert await _retries(ledger, tasks) == [1, 0]


async def test_many_are_discarded_with_actor_and_reason_and_nothing_twice(ledger: Ledger) -> None:
    tasks = await failed(ledger, 3)
    [pending] = await submitted(ledger)
    letters = await dead_messages(ledger, "default", [await announcement(ledger, pending), foreign("default")])
    bulk = await _begin(ledger, act=Act.DISCARDED, rate_per_s=3)
    taken = await BulkChore(ledger).take(bulk, bulk.upto + SECOND)
    assert taken is not None
    for letter_id in taken.under_way[:2]:  # and then the scheduler is killed
        await DeadLetterActs(ledger).discard(letter_id, taken.intent)

    for seconds in range(2, 5):
        await BulkChore(ledger).run_once(bulk.upto + seconds * SECOND)
        await caught_up(ledger)

    ended = await BulkActs(ledger).find(bulk.bulk_id)
    last = [(await ledger.store.read_stream(task_id))[-1] for task_id in tasks]
    assert (ended.state, ended.acted, ended.skipped) == (BulkState.DONE, 5, 0)
    assert [(event.type, event.version, event.actor) for event in last] == [("task.discarded", 4, "user:ann")] * 3
    assert await types_of(ledger, pending) == ["submitted"]
    acted = [found.acted for one in letters if (found := await DeadLetterReader(ledger).message(one))]
    assert [(one.act, one.actor) for one in acted if one] == [(Act.DISCARDED, "user:ann")] * 2
    assert await listed_ids(ledger) == []


async def test_the_scheduler_works_bulk_acts_off(ledger: Ledger) -> None:
    tasks = await failed(ledger, 3)
    bulk = await _begin(ledger)
    await _wait_until(ledger, bulk.upto + 0.1 * SECOND)

    await Scheduler(ledger).run_once()

    assert await _retries(ledger, tasks) == [1] * 3


async def test_a_redrive_out_of_its_bounds_is_refused(ledger: Ledger) -> None:
    for rate in (0, 1001):
        with pytest.raises(InvalidValueError, match=f"rate_per_s must be between 1 and 1000, got {rate}"):
            await _begin(ledger, rate_per_s=rate)
    with pytest.raises(InvalidValueError, match="limit must be between 1 and"):
        await _begin(ledger, limit=0)
    with pytest.raises(InvalidValueError, match="reason must be given, and not blank"):
        await BulkActs(ledger).begin(
            BulkOrder(
                act=Act.DISCARDED, chosen=EVERYTHING, intent=Intent(reason=" ", origin=ANN.origin), rate_per_s=1
            )
        )
    with pytest.raises(BulkActNotFoundError):
        await BulkActs(ledger).cancel(uuid7(), actor="user:bob")


async def _begin(
    ledger: Ledger, letters: DeadLetterFilter = EVERYTHING, *, act: Act = Act.REDRIVEN, **how: int
) -> BulkAct:
    asked = {"rate_per_s": 50, "limit": None, **how}
    order = BulkOrder(act=act, chosen=letters, intent=ANN, **asked)  # type: ignore[arg-type]  # each its own type
    return await BulkActs(ledger).begin(order)


async def _retries(ledger: Ledger, task_ids: list[UUID]) -> list[int]:
    return [Counter(await types_of(ledger, task_id))["retried"] for task_id in task_ids]


async def _wait_until(ledger: Ledger, moment: datetime) -> None:
    while ledger.clock.now() < moment:
        await asyncio.sleep(0.01)
