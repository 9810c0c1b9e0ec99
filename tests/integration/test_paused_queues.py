"""The doctor and the reconciler take a paused queue for what it is, and a forgotten one for what it is not."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.doctor import examine
from ledger.queries import query
from ledger.queues.settings import QueueSettings, pause, reset_policy, resume, set_policy
from ledger.reconciler import Reconciler
from ledger.relay import Relay
from ledger.task_words import HoldReason
from tests.integration.given import CLIENT, caught_up, execute, fetch, opened, started, submitted

LONG_AGO = timedelta(minutes=10)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, reconcile_after_seconds=60) as ledger:
        await fetch(ledger, query("register_worker"), uuid7(), "w", ["default"], 50)
        yield ledger


@pytest.mark.parametrize("hold", [HoldReason.PAUSED, HoldReason.LIMIT])
async def test_a_held_task_of_a_queue_that_holds_nothing_is_forgotten(ledger: Ledger, hold: HoldReason) -> None:
    task_id = await _held(ledger, hold)

    at_once = await _found(ledger)
    await _age(ledger)

    assert (at_once, await _found(ledger)) == ([], [("forgotten_held_tasks", str(task_id))])


async def test_a_held_task_is_not_forgotten_while_its_queue_is_paused_or_limited(ledger: Ledger) -> None:
    await _held(ledger, HoldReason.PAUSED)
    await _age(ledger)

    for settings in (QueueSettings(concurrency_max=1), QueueSettings(key_rate_max=1, key_rate_s=1)):
        await set_policy(ledger.database, "default", settings, actor="test")
        await _age(ledger)
        assert await _found(ledger) == []
    await reset_policy(ledger.database, "default", actor="test")
    await pause(ledger.database, "default", actor="test")
    await _age(ledger)
    assert await _found(ledger) == []


async def test_a_queue_that_was_just_resumed_has_the_bound_to_release_what_it_held(ledger: Ledger) -> None:
    task_id = await _held(ledger, HoldReason.PAUSED)
    await pause(ledger.database, "default", actor="test")
    await _age(ledger)
    await resume(ledger.database, "default", actor="test")

    at_once = await _found(ledger)
    await _age(ledger)

    assert (at_once, await _found(ledger)) == ([], [("forgotten_held_tasks", str(task_id))])


async def test_the_ready_tasks_of_a_paused_queue_are_neither_forgotten_nor_lost(ledger: Ledger) -> None:
    lost, runs = await submitted(ledger, 2)
    await Relay(ledger, MemoryBroker()).run_once()
    await pause(ledger.database, "default", actor="test")
    await caught_up(ledger)
    await _age(ledger)

    probed = await Reconciler(ledger).run_once()
    forgotten = await _found(ledger)
    await started(ledger, runs)
    await Relay(ledger, MemoryBroker()).run_once()
    await caught_up(ledger)
    overtaken = await Reconciler(ledger).run_once()

    assert (probed, forgotten, overtaken) == (0, [], 0)
    await resume(ledger.database, "default", actor="test")
    assert await Reconciler(ledger).run_once() == 1
    assert (await ledger.store.read_stream(lost))[-1].type == "task.released"


async def test_the_ready_tasks_of_an_open_queue_are_forgotten(ledger: Ledger) -> None:
    (task_id,) = await submitted(ledger)
    await Relay(ledger, MemoryBroker()).run_once()
    await caught_up(ledger)
    await _age(ledger)

    assert await _found(ledger) == [("forgotten_ready_tasks", str(task_id))]


async def _held(ledger: Ledger, hold: HoldReason) -> UUID:
    (task_id,) = await submitted(ledger)
    await ledger.commands.decide(
        task_id, lambda task: task.hold_back(reason=hold, now=ledger.clock.now()), origin=CLIENT
    )
    await Relay(ledger, MemoryBroker()).run_once()
    await caught_up(ledger)
    return task_id


async def _age(ledger: Ledger) -> None:
    """Let all of it be long ago: what became ready, what was held back and what was set; the worker beats now."""
    for statement in (
        "UPDATE projections.task_status SET ready_at = ready_at - $1::interval",
        "UPDATE projections.task_status SET updated_at = updated_at - $1::interval",
        "UPDATE ledger.queues SET updated_at = updated_at - $1::interval",
        "UPDATE ledger.workers SET started_at = started_at - $1::interval, beat_at = clock_timestamp()",
    ):
        await execute(ledger, statement, LONG_AGO)


async def _found(ledger: Ledger) -> list[tuple[str, str]]:
    return [(finding.check, finding.id) for finding in await examine(ledger)]
