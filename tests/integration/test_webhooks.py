"""Webhooks deliver the log to a receiver over HTTP: signed, in order, none skipped, whoever fails when."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError
from ledger.messages import outgoing
from ledger.scheduler import Scheduler
from ledger.webhooks.commands import Webhooks
from ledger.webhooks.delivery_log import DeliveryLog
from ledger.webhooks.dispatcher import Dispatcher
from ledger.webhooks.endpoint import WebhookState
from ledger.webhooks.errors import WebhookStateError
from ledger.webhooks.signature import generate_secret, verify
from tests.integration.given import eventually, execute, fetch, opened, running, submitted
from tests.integration.webhooks_given import (
    ANN,
    TEST_SETTINGS,
    Receiver,
    endpoint,
    event_ids,
    found,
    positions,
    receiving,
)
from tests.services.cluster import Cluster


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, **TEST_SETTINGS) as ledger:
        yield ledger


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_every_event_arrives_in_order_signed_and_as_the_relay_publishes_it(
    ledger: Ledger, receiver: Receiver
) -> None:
    kept = await endpoint(ledger, receiver.url)
    await submitted(ledger, 5)

    assert await Dispatcher(ledger).run_once() == 5

    events = await ledger.store.read_log(after=0, upto=await ledger.store.safe_position(), limit=10)
    assert [one.body for one in receiver.received] == [outgoing(event).body for event in events]
    assert receiver.ids == [event.event_id for event in events]
    for one in receiver.received:
        assert verify(one.headers, one.body, [str(kept.secret)]) == one.id
    assert (await found(ledger)).position == events[-1].position
    assert await Dispatcher(ledger).run_once() == 0


async def test_only_what_the_filter_wants_arrives_and_the_rest_is_passed_by(
    ledger: Ledger, receiver: Receiver
) -> None:
    await endpoint(ledger, receiver.url, queue="mail", types=["task.submitted"])
    (wanted,) = await submitted(ledger, queue="mail")
    await submitted(ledger, 2, queue="other")

    await Dispatcher(ledger).run_once()
    await Dispatcher(ledger).run_once()

    assert receiver.ids == [f"{wanted}:1"]
    assert (await found(ledger)).position == await ledger.store.safe_position()


async def test_a_batch_is_an_array_of_the_same_events(ledger: Ledger, receiver: Receiver) -> None:
    await endpoint(ledger, receiver.url, batch_max=3)
    await submitted(ledger, 4)

    await Dispatcher(ledger).run_once()

    batches = [[event["id"] for event in orjson.loads(one.body)] for one in receiver.received]
    assert [len(batch) for batch in batches] == [3, 1]
    assert [event for batch in batches for event in batch] == await event_ids(ledger)
    assert receiver.ids == [f"{batch[0]}..{batch[-1]}" for batch in batches]


async def test_a_failed_event_is_repeated_with_its_id_before_any_later_one(
    ledger: Ledger, receiver: Receiver
) -> None:
    await endpoint(ledger, receiver.url)
    await submitted(ledger, 2)
    first, second = await event_ids(ledger)
    receiver.will_answer(500, body="x" * 5000)
    receiver.will_answer(302, headers="Location: /elsewhere\r\n")

    delivered = [await Dispatcher(ledger).run_once() for _ in range(3)]

    assert delivered == [0, 0, 2]
    assert receiver.ids == [first, first, first, second]
    log = await DeliveryLog(ledger).deliveries("hook", before=None, outcome="failed", limit=10)
    assert [(one.status, one.attempt, len(one.response)) for one in log] == [(302, 2, 0), (500, 1, 2048)]
    assert "not followed" in log[0].error


async def test_too_many_failures_stop_an_endpoint_and_resume_goes_on_where_it_stood(
    database_url: str, receiver: Receiver
) -> None:
    async with opened(database_url, **TEST_SETTINGS, webhook_tries_max=2) as ledger:
        await endpoint(ledger, receiver.url)
        await submitted(ledger, 2)
        receiver.will_answer(500, 503)

        assert [await Dispatcher(ledger).run_once() for _ in range(3)] == [0, 0, 0]
        failing = await found(ledger)
        await Webhooks(ledger).resume("hook", reason="mended", origin=ANN)
        assert await Dispatcher(ledger).run_once() == 2

        assert failing.state is WebhookState.FAILING
        assert "HTTP 503" in failing.state_reason
        first, second = await event_ids(ledger)
        assert receiver.ids == [first, first, first, second]
        changes = await Webhooks(ledger).changes("hook", before=None, limit=10)
        assert [one.change for one in changes] == ["resumed", "failing", "created"]


async def test_410_pauses_at_once_and_retry_after_is_waited(ledger: Ledger, receiver: Receiver) -> None:
    await endpoint(ledger, receiver.url, name="gone")
    await submitted(ledger)
    receiver.will_answer(410)
    await Dispatcher(ledger).run_once()
    await Webhooks(ledger).remove("gone", reason="", origin=ANN)
    await endpoint(ledger, receiver.url)
    receiver.will_answer(429, headers="Retry-After: 600\r\n")
    await Dispatcher(ledger).run_once()
    await Dispatcher(ledger).run_once()

    hook = await found(ledger)
    changes = await Webhooks(ledger).changes("gone", before=None, limit=10)

    assert [one.change for one in changes] == ["removed", "gone", "created"]
    assert len(receiver.received) == 2
    assert hook.next_try_at is not None
    assert 500 < (hook.next_try_at - ledger.clock.now()).total_seconds() < 700


async def test_a_skip_leaves_out_the_named_event_alone_and_is_kept(ledger: Ledger, receiver: Receiver) -> None:
    await endpoint(ledger, receiver.url)
    await submitted(ledger, 3)
    first, second, third = await event_ids(ledger)
    webhooks = Webhooks(ledger)

    with pytest.raises(WebhookStateError, match=f"the next event is {first}"):
        await webhooks.skip("hook", second, reason="poison", origin=ANN)
    await webhooks.skip("hook", first, reason="poison", origin=ANN)
    await Dispatcher(ledger).run_once()

    assert receiver.ids == [second, third]
    (skipped,) = await DeliveryLog(ledger).deliveries("hook", before=None, outcome="skipped", limit=10)
    assert (skipped.message_id, skipped.actor, skipped.reason) == (first, "user:ann", "poison")


async def test_during_a_rotation_both_secrets_sign_and_afterwards_the_new_one(
    ledger: Ledger, receiver: Receiver
) -> None:
    old = str((await endpoint(ledger, receiver.url)).secret)
    webhooks = Webhooks(ledger)
    kept = await webhooks.rotate("hook", secret=None, overlap_seconds=60, reason="", origin=ANN)
    await submitted(ledger)
    await Dispatcher(ledger).run_once()
    newest = generate_secret()
    await webhooks.rotate("hook", secret=newest, overlap_seconds=0, reason="", origin=ANN)
    await submitted(ledger)
    await Dispatcher(ledger).run_once()

    during, afterwards = receiver.received

    for secret in (old, str(kept.secret)):
        assert verify(during.headers, during.body, [secret]) == during.id
    assert verify(afterwards.headers, afterwards.body, [newest]) == afterwards.id
    assert len(afterwards.headers["webhook-signature"].split()) == 1


async def test_tests_and_redeliveries_are_sent_beside_the_order_even_while_paused(
    ledger: Ledger, receiver: Receiver
) -> None:
    await endpoint(ledger, receiver.url)
    await submitted(ledger)
    await Dispatcher(ledger).run_once()
    await Webhooks(ledger).pause("hook", reason="", origin=ANN)
    log = DeliveryLog(ledger)
    (sent,) = await log.deliveries("hook", before=None, outcome=None, limit=10)
    await log.test("hook", origin=ANN)
    await log.redeliver("hook", sent.id, origin=ANN)

    assert await Dispatcher(ledger).run_once() == 2

    event, ping, again = receiver.received
    assert orjson.loads(ping.body)["type"] == "webhook.ping"
    assert (again.id, again.body) == (event.id, event.body)
    outcomes = [one.outcome for one in await log.deliveries("hook", before=None, outcome=None, limit=10)]
    assert outcomes == ["delivered"] * 3


async def test_a_silent_endpoint_delays_no_other_and_two_schedulers_never_send_at_once(
    ledger: Ledger, receiver: Receiver
) -> None:
    async with receiving() as silent:
        silent.gate.clear()
        await endpoint(ledger, silent.url, name="silent")
        await endpoint(ledger, receiver.url)
        async with running(Scheduler(ledger).run(), Scheduler(ledger).run()):
            await submitted(ledger, 20)
            await eventually(lambda: _has(receiver, 20), what="20 events arrived")

        assert receiver.ids == await event_ids(ledger)
        assert (receiver.overlaps, len(silent.received)) == (0, 1)


async def test_a_pause_holds_and_a_removed_endpoint_may_be_made_anew_while_the_scheduler_runs(
    ledger: Ledger, receiver: Receiver
) -> None:
    webhooks = Webhooks(ledger)
    await endpoint(ledger, receiver.url)
    async with running(Scheduler(ledger).run()):
        await submitted(ledger)
        await eventually(lambda: _has(receiver, 1), what="the first arrived")
        await webhooks.pause("hook", reason="", origin=ANN)
        await submitted(ledger)
        await endpoint(ledger, receiver.url, name="other", types=["task.cancelled"])
        horizon = await ledger.store.safe_position()
        await eventually(lambda: _stands_at(ledger, "other", horizon), what="the other has passed all by")
        assert len(receiver.received) == 1
        await webhooks.resume("hook", reason="", origin=ANN)
        await eventually(lambda: _has(receiver, 2), what="the second arrived")
        await webhooks.remove("hook", reason="", origin=ANN)
        await endpoint(ledger, receiver.url)
        await eventually(lambda: _has(receiver, 4), what="both arrived anew")

    first, second = await event_ids(ledger)
    assert receiver.ids == [first, second, first, second]


async def test_a_killed_scheduler_leaves_no_gap_and_repeats_only_what_was_under_way(
    ledger: Ledger, receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    await endpoint(ledger, receiver.url)
    await submitted(ledger, 3)
    with Cluster(
        database_url, "", tmp_path / "logs", environment={"LEDGER_WEBHOOK_ALLOW_PRIVATE": "true"}
    ) as cluster:
        receiver.gate.clear()
        scheduler = cluster.start("scheduler")
        await eventually(lambda: _has(receiver, 1), what="the first is under way")
        await asyncio.to_thread(scheduler.kill)
        receiver.gate.set()
    async with running(Scheduler(ledger).run()):
        await eventually(lambda: _has(receiver, 4), what="the rest arrived")

    first, second, third = await event_ids(ledger)
    assert receiver.ids == [first, first, second, third]
    assert positions(receiver) == sorted(positions(receiver))


async def test_a_private_address_is_refused_when_it_is_sent_to_and_the_log_says_so(
    database_url: str, receiver: Receiver
) -> None:
    async with opened(database_url, **{**TEST_SETTINGS, "webhook_allow_private": False}) as ledger:
        await endpoint(ledger, f"http://localhost:{receiver.port}/")
        await submitted(ledger)

        assert await Dispatcher(ledger).run_once() == 0

        assert receiver.received == []
        assert "not public" in (await found(ledger)).last_error


async def test_the_log_is_pruned_and_secrets_are_read_by_the_scheduler_alone(
    ledger: Ledger, receiver: Receiver, database_url: str
) -> None:
    await endpoint(ledger, receiver.url)
    await submitted(ledger, 2)
    async with opened(f"{database_url}?role=ledger_scheduler", **TEST_SETTINGS) as scheduler:
        assert await Dispatcher(scheduler).run_once() == 2
        older = "SET recorded_at = recorded_at - make_interval(days => 15) WHERE id = 1"
        await execute(ledger, f"UPDATE ledger.webhook_deliveries {older}")
        assert await Dispatcher(scheduler).prune() == 1
    async with opened(f"{database_url}?role=ledger_api", **TEST_SETTINGS) as api:
        await Webhooks(api).rotate("hook", secret=None, overlap_seconds=5, reason="", origin=ANN)
        await DeliveryLog(api).test("hook", origin=ANN)
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await fetch(api, "SELECT secret FROM ledger.webhook_secrets")
        await Webhooks(api).remove("hook", reason="", origin=ANN)
    for table in ("webhook_secrets", "webhooks"):
        assert await fetch(ledger, f"SELECT 1 FROM ledger.{table}") == []  # noqa: S608 - a table of ours


async def _has(receiver: Receiver, count: int) -> bool:
    return len(receiver.received) >= count


async def _stands_at(ledger: Ledger, name: str, position: int) -> bool:
    return (await found(ledger, name)).position >= position
