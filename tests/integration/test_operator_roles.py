"""Least privilege: workers are drained, tasks cancelled in bulk, the relay seen under the role of the API."""

from datetime import timedelta
from uuid import uuid4

import pytest

from ledger.broker.memory import MemoryBroker
from ledger.bulk_acts.bulk_act import BulkOrder, BulkState
from ledger.bulk_acts.chore import BulkChore
from ledger.bulk_acts.commands import BulkActs
from ledger.bulk_acts.task_choice import TaskAct, TaskChoice
from ledger.dead_letters.acts import Intent
from ledger.errors import StoreRefusedError
from ledger.leader import leading
from ledger.relay import ROLE
from ledger.relay_status import broker_status, relay_status
from ledger.store.records import Origin
from ledger.task_words import Status
from ledger.workers.draining import drain, list_changes, resume
from ledger.workers.listing import show_worker
from tests.integration.given import caught_up, execute, opened, submitted
from worker.roster import Member, PostgresRoster


async def test_the_api_drains_a_worker_and_may_change_nothing_else_of_it(database_url: str) -> None:
    member = Member(uuid4(), "w", ("default",))
    async with opened(f"{database_url}?role=ledger_worker") as works:
        roster = PostgresRoster(works.database, member, beat_seconds_max=5)
        await roster.beat([])
        async with opened(f"{database_url}?role=ledger_api") as asks:
            await drain(asks, member.worker_id, actor="user:ann", reason="deploy")
            assert (await roster.beat([], takes=False)).draining
            assert (await show_worker(asks, member.worker_id)).drained
            await resume(asks, member.worker_id, actor="user:ann")
            assert len(await list_changes(asks, member.worker_id, limit=10)) == 2
            with pytest.raises(StoreRefusedError):
                await execute(asks, "UPDATE ledger.workers SET beat_at = now()")
        assert not (await roster.beat([])).draining
        with pytest.raises(StoreRefusedError):
            await drain(works, member.worker_id, actor="user:ann")
        await roster.close()


async def test_tasks_are_cancelled_in_bulk_under_the_roles_of_the_api_and_the_scheduler(database_url: str) -> None:
    async with opened(f"{database_url}?role=ledger_projector") as folds:
        await caught_up(folds)
        async with opened(f"{database_url}?role=ledger_api") as asks:
            (task_id,) = await submitted(asks)
            await caught_up(folds)
            order = BulkOrder(
                act=TaskAct.CANCELLED,
                chosen=TaskChoice(status=(Status.PENDING,)),
                intent=Intent(reason="called off", origin=Origin(actor="user:ann")),
                rate_per_s=10,
            )
            bulk = await BulkActs(asks).begin(order)
        async with opened(f"{database_url}?role=ledger_scheduler") as works:
            for seconds in (1, 2):
                await BulkChore(works).run_once(bulk.upto + timedelta(seconds=seconds))
                await caught_up(folds)
            (ended,) = await BulkActs(works).list(limit=10)
            assert (await works.commands.load(task_id)).status is Status.CANCELLED

    assert (ended.state, ended.acted) == (BulkState.DONE, 1)


async def test_the_relay_is_seen_under_the_role_of_the_api(database_url: str) -> None:
    async with (
        opened(f"{database_url}?role=ledger_relay") as relays,
        leading(relays.database, ROLE) as connection,
        opened(f"{database_url}?role=ledger_api") as asks,
    ):
        assert connection is not None
        seen = await relay_status(asks)
        broker = await broker_status(asks, MemoryBroker())

    assert seen.leader is not None
    assert str(seen.leader.process).startswith("task-ledger relay ")
    assert (seen.standbys, broker.kind) == ([], "memory")
