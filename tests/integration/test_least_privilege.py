"""Least privilege: each process does its whole work under a database role that may do little else."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

import pytest

from api.read_model import TaskFilter, TaskReader
from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.doctor import examine
from ledger.errors import StoreRefusedError
from ledger.explanation.facts import explain_task
from ledger.follow_ups import FollowUps
from ledger.history.audit import Audit, AuditFilter, AuditSource
from ledger.history.search import EventFilter, LogSearch
from ledger.payloads.cipher import SEALED
from ledger.payloads.erasure import Erasure
from ledger.payloads.orders import ErasureChore, ErasureOrders
from ledger.queues.listing import list_queues
from ledger.queues.settings import QueueSettings, list_changes, pause, set_policy
from ledger.reconciler import Reconciler
from ledger.relay import Relay
from ledger.releaser import Releaser
from ledger.scheduler import Scheduler
from ledger.schedules.commands import Schedules
from ledger.schedules.firer import ScheduleFirer
from ledger.schedules.schedule import ScheduleDefinition
from ledger.seals.evidence import gather_evidence
from ledger.seals.seal import read_seals
from ledger.seals.verification import Verifier
from ledger.specification import TaskSpecification
from ledger.store.keys import IdempotencyKey
from ledger.store.records import StaleWrite
from ledger.sweeper import Sweeper
from ledger.task_words import HoldReason
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.given import CLIENT, execute, fetch, opened, started, submitted
from worker.roster import Member, PostgresRoster

As = Callable[[str], AbstractAsyncContextManager[Ledger]]


@pytest.fixture
def as_role(database_url: str) -> As:
    """Open a ledger whose every connection acts in a role."""
    return lambda role: opened(f"{database_url}?role={role}")


async def test_the_role_is_the_one_that_was_asked_for(as_role: As) -> None:
    async with as_role("ledger_api") as ledger:
        assert [row[0] for row in await fetch(ledger, "SELECT current_user")] == ["ledger_api"]


async def test_api_submits_reads_cancels_and_retries(as_role: As) -> None:
    async with as_role("ledger_projector") as ledger:
        await Projector(ledger, [TASK_STATUS]).run_once()

    async with as_role("ledger_api") as ledger:
        (task_id,) = await submitted(ledger)
        await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
        await ledger.commands.retry(task_id, reason="", origin=CLIENT)

        reader = TaskReader(ledger)
        assert (await reader.find(task_id)).status == "PENDING"
        assert await reader.list(TaskFilter(), below=None, limit=10) == []
        async with ledger.store.appends():
            pass


async def test_api_sets_pauses_and_explains_queues(as_role: As) -> None:
    async with as_role("ledger_projector") as ledger:
        await Projector(ledger, [TASK_STATUS]).run_once()

    async with as_role("ledger_api") as ledger:
        settings = QueueSettings(concurrency_max=1, fair=True)
        assert await set_policy(ledger.database, "default", settings, actor="test")
        assert await pause(ledger.database, "default", actor="test")
        (task_id,) = await submitted(ledger, tags=("tenant:acme",), key="acme")
        await ledger.commands.decide(
            task_id,
            lambda task: task.hold_back(reason=HoldReason.LIMIT, now=ledger.clock.now()),
            origin=CLIENT,
        )
        assert (await explain_task(ledger, task_id)).because[0].code == "paused"
        assert [one.state for one in await list_queues(ledger)] == ["paused"]
        assert len(await list_changes(ledger.database, "default", limit=10)) == 2


@pytest.mark.parametrize("role", ["ledger_api", "ledger_worker", "ledger_scheduler"])
async def test_whoever_may_submit_may_submit_once(as_role: As, role: str) -> None:
    key = IdempotencyKey.of("order-7", path="/tasks", body=b"")
    async with as_role(role) as ledger:
        first, again = [
            await ledger.commands.submit(TaskSpecification(), origin=CLIENT, idempotency_key=key) for _ in range(2)
        ]
        unique, existing = [
            await ledger.commands.submit(TaskSpecification(unique_key="a"), origin=CLIENT) for _ in range(2)
        ]

    assert (again.task_id, again.replayed) == (first.task_id, True)
    assert (existing.task_id, existing.existing) == (unique.task_id, True)


async def test_projector_makes_folds_rebuilds_and_verifies(as_role: As) -> None:
    async with as_role("ledger_api") as ledger:
        await submitted(ledger, 3)

    async with as_role("ledger_projector") as ledger:
        projector = Projector(ledger, [TASK_STATUS])
        while await projector.run_once():
            pass
        await rebuild(ledger, TASK_STATUS)
        assert await verify(ledger, TASK_STATUS) == []


async def test_relay_publishes(as_role: As) -> None:
    async with as_role("ledger_api") as ledger:
        await submitted(ledger, 3)

    async with as_role("ledger_relay") as ledger:
        assert await Relay(ledger, MemoryBroker()).run_once() == 3


async def test_scheduler_releases_sweeps_and_reconciles(as_role: As) -> None:
    async with as_role("ledger_projector") as ledger:
        await Projector(ledger, [TASK_STATUS]).run_once()
    async with as_role("ledger_api") as ledger:
        (parent,) = await submitted(ledger)
        await submitted(ledger, after=(parent,))
        await ledger.commands.cancel(parent, reason="", origin=CLIENT)

    async with as_role("ledger_scheduler") as ledger:
        assert await FollowUps(ledger).run_once() == 1
        assert await Releaser(ledger).run_once() == 0
        assert await Sweeper(ledger).run_once() == 0
        assert await Reconciler(ledger).run_once() == 0
        await Scheduler(ledger).run_once()
        assert len(await read_seals(ledger.database, after=0)) == 1


async def test_api_sets_and_fires_schedules_and_the_scheduler_fires_what_is_due(as_role: As) -> None:
    async with as_role("ledger_api") as ledger:
        schedules = Schedules(ledger)
        for cron in ("* * * * *", "0 0 1 1 *"):
            await schedules.put("s", ScheduleDefinition(cron=cron), paused=None, reason="", origin=CLIENT)
        for act in (schedules.pause, schedules.resume, schedules.fire):
            await act("s", reason="", origin=CLIENT)
        await schedules.put("gone", ScheduleDefinition(cron="* * * * *"), paused=None, reason="", origin=CLIENT)
        await schedules.remove("gone", reason="", origin=CLIENT)
        await execute(ledger, "UPDATE ledger.schedules SET next_fire_at = now()")

    async with as_role("ledger_scheduler") as ledger:
        assert await ScheduleFirer(ledger).run_once() == 1


async def test_worker_enrols_starts_finishes_and_leaves(as_role: As) -> None:
    async with as_role("ledger_api") as ledger:
        (task_id,) = await submitted(ledger)

    async with as_role("ledger_worker") as ledger:
        member = Member(uuid4(), "w", ("default",))
        roster = PostgresRoster(ledger.database, member, beat_seconds_max=5)
        await roster.beat([])
        attempt = await started(ledger, task_id, worker_id=member.worker_id)
        await ledger.commands.decide(
            task_id,
            lambda task: task.complete(attempt=attempt, result=1, now=ledger.clock.now()),
            origin=CLIENT,
        )
        await ledger.store.record_stale_write(
            StaleWrite(task_id, "task.completed", 1, 2, "RUNNING", "w", "{}", ledger.clock.now())
        )
        await roster.leave()
        await roster.close()


async def test_auditor_reads_everything(as_role: As) -> None:
    async with as_role("ledger_projector") as ledger:
        await Projector(ledger, [TASK_STATUS]).run_once()
    async with as_role("ledger_api") as ledger:
        (task_id,) = await submitted(ledger)

    async with as_role("ledger_auditor") as ledger:
        assert len(await ledger.store.read_log(after=0, upto=await ledger.store.safe_position(), limit=10)) == 1
        assert await ledger.store.read_stale_writes(task_id) == []
        assert len((await LogSearch(ledger).read(EventFilter(task_id=task_id), after=0, limit=10)).events) == 1
        for source in set(AuditSource) - {AuditSource.EVENTS}:
            asked = AuditFilter(source=source)
            assert (await Audit(ledger).changes(asked, begin=None, limit=10)).entries == []
        tables = "checkpoints workers idempotency_keys unique_tasks stale_writes schema_migrations schedules"
        for table in f"{tables} schedule_fires schedule_changes".split():
            await fetch(ledger, f"SELECT count(*) FROM ledger.{table}")  # noqa: S608 - a table of ours
        await fetch(ledger, "SELECT count(*) FROM projections.task_status")
        assert (await Verifier(ledger).verify()).is_proven
        assert await gather_evidence(ledger, task_id)


async def test_who_reads_and_runs_payloads_has_their_keys_and_an_auditor_sees_that_there_are_some(
    database_url: str,
) -> None:
    def as_role(role: str) -> AbstractAsyncContextManager[Ledger]:
        return opened(f"{database_url}?role={role}", payload_secret="s" * 32)

    async with as_role("ledger_projector") as ledger:
        await Projector(ledger, [TASK_STATUS]).run_once()
    tasks = []
    for role in ("ledger_api", "ledger_worker", "ledger_scheduler"):
        async with as_role(role) as ledger:
            [task_id] = await submitted(ledger, input="Ada", erasable=True, tags=("a",))
            await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
            assert (await TaskReader(ledger).find(task_id)).input == "Ada"
            tasks.append(task_id)
    async with as_role("ledger_worker") as ledger:
        with pytest.raises(StoreRefusedError):
            await Erasure(ledger).erase(tasks[0], reason="", origin=CLIENT)
    async with as_role("ledger_auditor") as ledger:
        assert SEALED in str((await TaskReader(ledger).find(tasks[0])).input)
        assert await examine(ledger, bound_seconds=3600) == []
    async with as_role("ledger_api") as ledger:
        await Erasure(ledger).erase(tasks[0], reason="", origin=CLIENT)
        await ErasureOrders(ledger).begin("a", reason="", origin=CLIENT)
    async with as_role("ledger_scheduler") as ledger:
        assert await ErasureChore(ledger).run_once() == 2
