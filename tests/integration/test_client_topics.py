"""What the client has beyond tasks, against the real API: what operators do, and what auditors read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from uuid import uuid4

import pytest

from api.app import create_app
from api.client import (
    AsyncTaskLedger,
    AuditEntry,
    BulkAct,
    ConflictError,
    NotFoundError,
    Receipt,
    Retries,
    Run,
    StillAtWorkError,
    TaskLedger,
    UnauthenticatedError,
)
from api.guard import Access
from api.server import serving
from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key, revoke_key
from ledger.bootstrap import Ledger, open_ledger
from ledger.bulk_acts.chore import BulkChore
from ledger.payloads.orders import ErasureChore
from ledger.seals.sealer import Sealer
from ledger.settings import load_settings
from ledger.webhooks.dispatcher import Dispatcher
from projections.catalogue import Catalogue
from projections.conductor import Conductor
from projections.failure_groups import FAILURE_GROUPS
from projections.projector import Projector
from projections.queue_stats import QUEUE_STATS
from tests.integration.clients_given import client_of
from tests.integration.dead_letters_given import failed
from tests.integration.erasure_given import SECRET
from tests.integration.given import caught_up
from tests.integration.webhooks_given import TEST_SETTINGS, receiving
from worker.roster import Member, PostgresRoster

AT_ONCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stand:
    """A running API, and where it is."""

    ledger: Ledger
    url: str


@asynccontextmanager
async def standing(database_url: str, access_look_seconds: float = 2.0) -> AsyncIterator[Stand]:
    """Run an API that may erase, seal and send to this machine."""
    settings = load_settings(
        database_url=database_url, port=0, payload_secret=SECRET, seal_seconds=0, **TEST_SETTINGS
    )
    async with open_ledger(settings) as ledger:
        access = Access(ledger, look_seconds=access_look_seconds)
        async with serving(create_app(ledger, access=access), settings) as port:
            yield Stand(ledger, f"http://127.0.0.1:{port}")


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    async with standing(database_url) as stand:
        yield stand


@pytest.fixture
async def ledger(stand: Stand) -> Ledger:
    return stand.ledger


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[AsyncTaskLedger]:
    async with AsyncTaskLedger(stand.url) as client:
        yield client


async def test_what_erasable_tasks_hold_is_erased_one_by_one_and_by_tag(
    ledger: Ledger, client: AsyncTaskLedger
) -> None:
    one = await client.submit("mail", {"to": "ada"}, erasable=True)
    many = await client.submit_many([{"kind": "mail", "input": 1, "erasable": True, "tags": ["customer:7"]}] * 2)
    with pytest.raises(ConflictError):
        await client.erase(one.task_id)
    for task_id in (one.task_id, *many):
        await client.cancel(task_id)

    await client.erase(one.task_id, reason="asked to be forgotten")
    found = await client.erasures.count("customer:7")
    ordered = await client.erasures.begin("customer:7", reason="asked to be forgotten")
    with pytest.raises(StillAtWorkError, match="was still at work after 0 s"):
        await client.erasures.wait(ordered.erasure_id, timeout=0)
    await ErasureChore(ledger).run_once()
    erased = await client.erasures.wait(ordered.erasure_id, timeout=AT_ONCE_SECONDS)

    assert [event.type for event in [one async for one in client.history(one.task_id)]][-1] == "task.erased"
    assert (found, erased.erased, erased.has_ended) == (2, 2, True)


async def test_many_tasks_and_dead_letters_are_counted_then_acted_upon(
    ledger: Ledger, client: AsyncTaskLedger
) -> None:
    await failed(ledger, 2, queue="mail")
    waiting = await client.submit("report", queue="mail")
    await caught_up(ledger)

    tasks = await client.bulk_acts.find_tasks("cancel", kind="report")
    letters = await client.bulk_acts.find_letters("redrive", queue="mail", limit=10)
    cancels = await client.bulk_acts.begin_tasks("cancel", kind="report", reason="called off")
    redrives = await client.bulk_acts.begin_letters("redrive", queue="mail", rate_per_s=100)
    for seconds in (1, 2):
        await BulkChore(ledger).run_once(datetime.now(UTC) + timedelta(seconds=seconds))
        await caught_up(ledger)
    ended = [await client.bulk_acts.wait(bulk.bulk_id, AT_ONCE_SECONDS) for bulk in (cancels, redrives)]

    assert_type(ended, list[BulkAct])
    assert ([one.task_id for one in tasks.sample], letters.count) == ([waiting.task_id], 2)
    assert [(bulk.state, bulk.acted) for bulk in ended] == [("done", 1), ("done", 2)]
    assert [bulk.bulk_id async for bulk in client.bulk_acts.list(subject="tasks")] == [cancels.bulk_id]
    assert (await client.bulk_acts.cancel(cancels.bulk_id)).state == "done"


async def test_a_worker_is_drained_and_waited_for(ledger: Ledger, client: AsyncTaskLedger) -> None:
    member = Member(uuid4(), "w", ("mail",), capacity=4)
    roster = PostgresRoster(ledger.database, member, beat_seconds_max=5)
    await roster.beat([])

    listed = await client.workers.list(state=["alive"], queue="mail")
    await client.workers.drain(member.worker_id, reason="deploy")
    await roster.beat([], takes=False)
    drained = await client.workers.wait_until_drained(member.worker_id, AT_ONCE_SECONDS)
    resumed = await client.workers.resume(member.worker_id)
    changes = [change.reason async for change in client.workers.changes(member.worker_id)]
    await roster.close()

    assert ([worker.name for worker in listed], listed.has_more) == (["w"], False)
    assert (drained.drained, resumed.state, changes) == (True, "alive", ["", "deploy"])
    with pytest.raises(NotFoundError):
        await client.workers.get(uuid4())


async def test_a_webhook_is_set_read_about_and_removed(ledger: Ledger, client: AsyncTaskLedger) -> None:
    async with receiving() as receiver:
        made = await client.webhooks.set("hook", receiver.url, filter={"kind": "mail"}, start="beginning")
        changed = await client.webhooks.set("hook", receiver.url, batch_max=5)
        await client.submit("mail")
        await Dispatcher(ledger).run_once()
        (delivery,) = [one async for one in client.webhooks.deliveries("hook", outcome="delivered")]
        again = await client.webhooks.redeliver("hook", delivery.id)
        pinged = await client.webhooks.test("hook")
        rotated = await client.webhooks.rotate("hook", overlap_s=5)
        paused = await client.webhooks.pause("hook", reason="a visit")
        resumed = await client.webhooks.resume("hook")
        with pytest.raises(ConflictError):
            await client.webhooks.skip("hook", f"{uuid4()}:1", reason="not this one")
        names = [webhook.name async for webhook in client.webhooks.list()]
        await client.webhooks.remove("hook")
        changes = [change.change async for change in client.webhooks.changes("hook")]

    assert (made.filter["kind"], changed.secret, changed.batch_max) == ("mail", None, 5)
    assert made.secret
    assert rotated.secret not in (None, made.secret)
    assert made.secret not in repr(made)
    assert ([again.outcome, pinged.outcome], paused.state, resumed.state) == (["queued"] * 2, "paused", "active")
    assert names == ["hook"]
    assert changes[0] == "removed"
    with pytest.raises(NotFoundError):
        await client.webhooks.get("hook")


@pytest.mark.parametrize("kind", [TaskLedger, AsyncTaskLedger])
async def test_a_run_is_followed_and_waited_for_and_an_export_is_whole(
    stand: Stand, kind: type[TaskLedger] | type[AsyncTaskLedger]
) -> None:
    client: Any = client_of(kind, stand.url)
    await client.submit_many([{"kind": "mail", "input": number} for number in range(3)])
    await caught_up(stand.ledger)

    run: Run = await client.projections.verify("task_status", reason="a look")
    following = asyncio.create_task(client.projections.follow(run.run_id))
    with pytest.raises(ConflictError):
        await client.projections.rebuild("task_status")
    await Conductor(stand.ledger, Catalogue()).run_once()
    verified = await client.projections.wait(run.run_id, AT_ONCE_SECONDS)
    async with asyncio.timeout(AT_ONCE_SECONDS):
        seen = await following
    lines = b"".join(await client.export(kind="mail")).splitlines()
    await client.close()

    assert (verified.state, verified.differences, seen[-1].state) == ("succeeded", (), "succeeded")
    assert [json.loads(line)["data"]["input"] for line in lines] == [0, 1, 2]


async def test_auditors_read_who_did_what_and_how_it_was(ledger: Ledger, client: AsyncTaskLedger) -> None:
    before = datetime.now(UTC)
    (broken,) = await failed(ledger, 1, queue="mail")
    receipt = await client.submit("mail", queue="mail")
    await client.queues.set("mail", {"concurrency_max": 1}, reason="slow down")
    await client.queues.reset("mail")
    await caught_up(ledger)
    await Projector(ledger, [FAILURE_GROUPS]).run_once()
    await Sealer(ledger).run_once()

    audited = [entry async for entry in client.audit(source="queue_changes", order="oldest")]
    events = [entry async for entry in client.audit(task_id=receipt.task_id)]
    groups = [group async for group in client.failures.list(queue="mail")]
    diff = await client.diff(receipt.task_id, datetime.now(UTC))

    assert_type(audited, list[AuditEntry])
    assert_type(receipt, Receipt)
    assert [entry.act for entry in events] == ["task.submitted"]
    assert audited[0].reason == "slow down"
    assert [change.change async for change in client.queues.changes("mail")][-1] == audited[0].act
    assert (await client.failures.get(groups[0].id)).tasks == (broken,)
    assert (await client.changed(before)).end.total == 2
    assert (diff.begin.version, diff.end.version, diff.changes) == (1, 1, {})
    assert (await client.timeline(broken)).lanes[0].outcome == "failed"
    assert (await client.get(broken, as_of_version=1)).status == "PENDING"
    assert (await client.dead_letters.get(broken)).history[-1].type == "task.failed"


async def test_the_server_shows_itself_its_seals_and_its_statistics(
    ledger: Ledger, client: AsyncTaskLedger
) -> None:
    receipt = await client.submit("mail")
    await Sealer(ledger).run_once()
    await Projector(ledger, [QUEUE_STATS]).run_once()

    evidence = await client.seals.evidence(receipt.task_id)

    assert [seal.upto async for seal in client.seals.list()] == [evidence.seals[-1].upto]
    assert json.loads(evidence.document)["format"] == evidence.format
    assert await client.seals.archives() == ()
    assert (await client.server.health()).status == "ok"
    assert "database" in (await client.server.ready()).checks
    assert "ledger_up 1.0" in await client.server.metrics()
    assert (await client.server.relay()).relay.leader is None
    assert {one.name for one in await client.projections.list()} > {"task_status"}
    assert (await client.failures.stats(queue="mail")).totals.submitted == 0


async def test_a_stream_whose_key_is_revoked_says_so(database_url: str) -> None:
    async with standing(database_url, access_look_seconds=0.05) as stand:
        key = ApiKey(name="shop", scopes=frozenset({Scope.ADMIN}))
        token = await create_key(stand.ledger.database, key, actor="cli:test")
        async with AsyncTaskLedger(stand.url, api_key=token, retries=Retries(base_seconds=0.0)) as client:
            await client.submit("mail")
            stream = client.stream(after=0)
            first = await anext(stream)
            await revoke_key(stand.ledger.database, "shop", actor="cli:test")

            async with asyncio.timeout(AT_ONCE_SECONDS):
                with pytest.raises(UnauthenticatedError):
                    await anext(stream)

    assert first.type == "task.submitted"
