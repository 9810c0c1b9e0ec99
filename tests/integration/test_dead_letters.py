"""Dead letters: failed tasks and rejected messages in one list, and what is done about one of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.dead_letters.acts import DeadLetterActs, Intent
from ledger.dead_letters.collector import Collector
from ledger.dead_letters.letters import TOP, Act, DeadLetterFilter, LetterKind
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import DeadLetterNotFoundError, DeadLetterStateError, InvalidValueError, StoreRefusedError
from ledger.queues.listing import list_queues, show_queue
from ledger.store.records import Origin
from ledger.task_words import Cause, Status
from tests.integration.dead_letters_given import (
    announcement,
    dead_messages,
    fail,
    failed,
    foreign,
    listed,
    listed_ids,
    rejected,
)
from tests.integration.given import caught_up, execute, opened, started, submitted, types_of

ANN = Intent(reason="the cause is gone", origin=Origin(actor="user:ann"))
HOUR = timedelta(hours=1)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


@pytest.fixture
def acts(ledger: Ledger) -> DeadLetterActs:
    return DeadLetterActs(ledger)


async def test_without_a_read_model_the_messages_are_listed_all_the_same(ledger: Ledger) -> None:
    await submitted(ledger)

    [letter_id] = await dead_messages(ledger, "default", [foreign("default")])

    assert await listed_ids(ledger) == [letter_id]
    assert await DeadLetterReader(ledger).count(DeadLetterFilter()) == 1


async def test_only_tasks_that_failed_for_good_are_dead_letters(ledger: Ledger) -> None:
    [dead] = await failed(ledger, queue="mail", kind="mail.send", tags=("tenant:acme",))
    await submitted(ledger)
    await started(ledger, (await submitted(ledger))[0])
    await caught_up(ledger)

    [letter] = await listed(ledger)

    assert (letter.id, letter.task_id, letter.kind) == (dead, dead, LetterKind.TASK)
    assert (letter.queue, letter.task_kind, letter.tags, letter.attempt) == (
        "mail",
        "mail.send",
        ["tenant:acme"],
        1,
    )
    assert (letter.error_type, letter.reason, letter.cause) == ("ValueError", "no", "error")


async def test_a_message_tells_what_it_was_about(ledger: Ledger) -> None:
    [task_id] = await submitted(ledger, kind="mail.send")
    message = await announcement(ledger, task_id)

    [letter_id] = await dead_messages(ledger, "default", [message])

    [letter] = await listed(ledger)
    assert (letter.id, letter.kind, letter.message_id) == (letter_id, LetterKind.MESSAGE, f"{task_id}:1")
    assert (letter.task_id, letter.task_version, letter.task_kind) == (task_id, 1, "mail.send")
    assert (letter.reason, letter.cause) == ("malformed message: no good", "rejected")
    found = await DeadLetterReader(ledger).message(letter_id)
    assert found is not None
    assert (found.body, found.body_bytes, found.acted) == (message.body, len(message.body), None)


async def test_both_kinds_are_in_one_list_newest_first_page_by_page(ledger: Ledger) -> None:
    first = await failed(ledger, 3)
    second = await dead_messages(ledger, "default", [foreign("default", body=b"%d" % n) for n in range(3)])
    third = await failed(ledger, 2)
    newest_first = [*reversed(third), *reversed(second), *reversed(first)]

    reader, below, pages = DeadLetterReader(ledger), TOP, []
    while page := await reader.page(DeadLetterFilter(), below=below, limit=3):
        pages.append([letter.id for letter in page])
        below = page[-1].place

    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert await reader.count(DeadLetterFilter()) == 8


async def test_each_filter_finds_its_own(ledger: Ledger) -> None:
    [plain] = await failed(ledger)
    [mail] = await failed(ledger, queue="mail", kind="mail.send", tags=("tenant:acme", "urgent"))
    [slow] = await failed(ledger, error="TimeoutError", cause=Cause.TIMEOUT)
    [letter] = await dead_messages(ledger, "mail", [foreign("mail")])
    moment = (await listed(ledger))[1].died_at

    assert await listed_ids(ledger, kind=LetterKind.MESSAGE) == [letter]
    assert await listed_ids(ledger, kind=LetterKind.TASK) == [slow, mail, plain]
    assert await listed_ids(ledger, queue="mail") == [letter, mail]
    assert await listed_ids(ledger, task_kind="mail.send") == [mail]
    assert await listed_ids(ledger, error_type="TimeoutError") == [slow]
    assert await listed_ids(ledger, cause="timeout") == [slow]
    assert await listed_ids(ledger, cause="rejected") == [letter]
    assert await listed_ids(ledger, tags=["urgent", "tenant:acme"]) == [mail]
    assert await listed_ids(ledger, tags=["urgent", "tenant:other"]) == []
    assert await listed_ids(ledger, died_after=moment) == [letter, slow]
    assert await listed_ids(ledger, died_before=moment) == [mail, plain]
    assert await DeadLetterReader(ledger).count(DeadLetterFilter(queue="mail", died_before=moment)) == 1


async def test_each_queue_tells_how_many_wait_for_somebody_to_deal_with_them(
    ledger: Ledger, acts: DeadLetterActs
) -> None:
    dealt_with, *_ = await failed(ledger, 3, queue="mail")
    await dead_messages(ledger, "mail", [foreign("mail")])
    [discarded] = await dead_messages(ledger, "default", [foreign("default")])
    for letter_id in (dealt_with, discarded):
        await acts.discard(letter_id, ANN)
    await caught_up(ledger)

    assert [(queue.name, queue.dead) for queue in await list_queues(ledger)] == [("mail", 3)]
    assert (await show_queue(ledger, "default")).dead == 0


async def test_a_task_is_redriven_with_actor_and_reason_in_its_history(
    ledger: Ledger, acts: DeadLetterActs
) -> None:
    [task_id] = await failed(ledger)

    taken = await acts.redrive(task_id, ANN)
    await caught_up(ledger)

    last = (await ledger.store.read_stream(task_id))[-1]
    assert (last.type, last.actor) == ("task.retried", "user:ann")
    assert '"reason": "the cause is gone"' in last.data
    assert taken.appended is not None
    assert taken.appended.position == last.position
    assert await listed_ids(ledger) == []


async def test_a_task_is_discarded_with_actor_and_reason_in_its_history(
    ledger: Ledger, acts: DeadLetterActs
) -> None:
    [task_id] = await failed(ledger)

    await acts.discard(task_id, ANN)
    await caught_up(ledger)

    last = (await ledger.store.read_stream(task_id))[-1]
    assert (last.type, last.actor) == ("task.discarded", "user:ann")
    assert '"reason": "the cause is gone"' in last.data
    assert await listed_ids(ledger) == []
    with pytest.raises(DeadLetterStateError, match="it was discarded already"):
        await acts.redrive(task_id, ANN)


async def test_a_task_that_is_no_dead_letter_is_left_alone(ledger: Ledger, acts: DeadLetterActs) -> None:
    [task_id] = await submitted(ledger)

    for act in (acts.redrive, acts.discard):
        with pytest.raises(DeadLetterStateError, match="the task is PENDING, not FAILED"):
            await act(task_id, ANN)
        with pytest.raises(DeadLetterNotFoundError):
            await act(uuid7(), ANN)

    assert await types_of(ledger, task_id) == ["submitted"]


async def test_discarding_needs_a_reason_within_its_bound(ledger: Ledger, acts: DeadLetterActs) -> None:
    [task_id] = await failed(ledger)

    for reason in ("", "  ", "x" * 1001, "a\0b"):
        with pytest.raises(InvalidValueError, match="reason must be"):
            await acts.discard(task_id, Intent(reason=reason, origin=ANN.origin))

    assert await listed_ids(ledger) == [task_id]


async def test_redriving_the_message_of_a_task_that_waits_for_it_releases_the_task(
    ledger: Ledger, acts: DeadLetterActs
) -> None:
    [task_id] = await submitted(ledger)
    [letter_id] = await dead_messages(ledger, "default", [await announcement(ledger, task_id)])

    taken = await acts.redrive(letter_id, ANN)

    last = (await ledger.store.read_stream(task_id))[-1]
    assert (last.type, last.actor) == ("task.released", "user:ann")
    assert '"reason": "redriven"' in last.data
    assert (taken.kind, taken.task_id) == (LetterKind.MESSAGE, task_id)
    assert await listed_ids(ledger) == []
    found = await DeadLetterReader(ledger).message(letter_id)
    assert found is not None
    assert found.acted is not None
    assert (found.acted.act, found.acted.actor, found.acted.reason) == (Act.REDRIVEN, "user:ann", ANN.reason)


async def test_a_message_whose_task_needs_none_is_not_redriven_but_can_be_discarded(
    ledger: Ledger, acts: DeadLetterActs
) -> None:
    running, waiting = (await submitted(ledger))[0], (await submitted(ledger, run_at=ledger.clock.now() + HOUR))[0]
    await started(ledger, running)
    ids = (f"{running}:1", f"{waiting}:1", f"{uuid7()}:1", "")
    of_running, of_waiting, of_nobody, foreign_one = await dead_messages(
        ledger, "default", [foreign("default", message_id=message_id) for message_id in ids]
    )

    for letter_id, why in (
        (of_running, f"its task {running} is RUNNING and waits for no message"),
        (of_waiting, f"its task {waiting} is not ready"),
        (of_nobody, "is not in this ledger, only discarding it makes sense"),
        (foreign_one, "it is no message of this ledger, only discarding it makes sense"),
    ):
        with pytest.raises(DeadLetterStateError, match=why):
            await acts.redrive(letter_id, ANN)
        await acts.discard(letter_id, ANN)
        with pytest.raises(DeadLetterStateError, match=r"it was discarded by user:ann|dealt with it already"):
            await acts.redrive(letter_id, ANN)

    assert await listed_ids(ledger) == []
    assert await types_of(ledger, waiting) == ["submitted"]


async def test_of_many_who_act_at_once_one_acts(ledger: Ledger, acts: DeadLetterActs) -> None:
    [task_id] = await submitted(ledger)
    [letter_id] = await dead_messages(ledger, "default", [await announcement(ledger, task_id)])
    [dead] = await failed(ledger)

    outcomes = await asyncio.gather(
        *(act(letter, ANN) for letter in (letter_id, dead) for act in (acts.redrive, acts.discard) * 3),
        return_exceptions=True,
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, DeadLetterStateError)]
    assert len(refused) == len(outcomes) - 2
    assert len(await types_of(ledger, dead)) == 4


async def test_a_message_that_comes_twice_is_kept_once_until_somebody_has_dealt_with_it(
    ledger: Ledger, acts: DeadLetterActs
) -> None:
    broker, message = MemoryBroker(), foreign("default", message_id="42")
    for _ in range(2):
        await rejected(broker, "default", [message])
        await Collector(ledger, broker).run_once()
    [letter_id] = await listed_ids(ledger)
    await acts.discard(letter_id, ANN)

    await rejected(broker, "default", [message])
    await Collector(ledger, broker).run_once()

    [again] = await listed_ids(ledger)
    assert again != letter_id


async def test_a_task_that_is_retried_and_fails_again_is_a_dead_letter_again(
    ledger: Ledger, acts: DeadLetterActs
) -> None:
    [task_id] = await failed(ledger)
    await acts.redrive(task_id, ANN)

    await fail(ledger, task_id)
    await caught_up(ledger)

    assert (await ledger.commands.load(task_id)).status is Status.FAILED
    assert await listed_ids(ledger) == [task_id]


async def test_what_was_collected_and_done_is_never_changed(ledger: Ledger, acts: DeadLetterActs) -> None:
    [letter_id] = await dead_messages(ledger, "default", [foreign("default")])
    await acts.discard(letter_id, ANN)

    for statement in (
        "UPDATE ledger.dead_letters SET reason = ''",
        "DELETE FROM ledger.dead_letter_acts",
        "UPDATE ledger.dead_letter_acts SET actor = 'somebody else'",
        "TRUNCATE ledger.dead_letters, ledger.dead_letter_acts",
    ):
        with pytest.raises(StoreRefusedError, match="the ledger is append-only"):
            await execute(ledger, statement)


async def test_of_a_large_body_only_the_bound_is_kept_and_its_size_is_told(database_url: str) -> None:
    async with opened(database_url, dead_letter_body_bytes_max=1024) as ledger:
        [letter_id] = await dead_messages(ledger, "default", [foreign("default", body=b"\0" * 5000)])

        found = await DeadLetterReader(ledger).message(letter_id)

    assert found is not None
    assert (found.body, found.body_bytes) == (b"\0" * 1024, 5000)
