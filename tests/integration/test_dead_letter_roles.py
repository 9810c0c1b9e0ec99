"""Least privilege: dead letters are collected, acted upon and redriven under roles that may do little else."""

from contextlib import AbstractAsyncContextManager

import pytest

from api.dead_letters import LetterShelf
from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.bulk_acts.bulk_act import BulkOrder
from ledger.bulk_acts.chore import BulkChore
from ledger.bulk_acts.commands import BulkActs
from ledger.dead_letters.acts import DeadLetterActs, Intent
from ledger.dead_letters.collector import Collector
from ledger.dead_letters.letters import Act, DeadLetterFilter
from ledger.errors import StoreRefusedError
from ledger.store.records import Origin
from projections.projector import Projector
from projections.task_status import TASK_STATUS
from tests.integration.dead_letters_given import announcement, fail, foreign, listed_ids, rejected
from tests.integration.given import caught_up, fetch, opened, submitted, types_of

ANN = Intent(reason="fixed", origin=Origin(actor="user:ann"))
ORDER = BulkOrder(act=Act.REDRIVEN, chosen=DeadLetterFilter(), intent=ANN, rate_per_s=50)


async def test_each_process_does_its_part_under_its_own_role(database_url: str) -> None:
    broker = MemoryBroker()
    async with _as(database_url, "ledger_projector") as projector:
        await Projector(projector, [TASK_STATUS]).run_once()
    async with _as(database_url, "ledger_api") as api:
        dead, pending = await submitted(api, 2)
        await rejected(broker, "default", [await announcement(api, pending), foreign("default")])
        await fail(api, dead)
    async with _as(database_url, "ledger_projector") as projector:
        await caught_up(projector)
    async with _as(database_url, "ledger_relay") as relay:
        assert await Collector(relay, broker).run_once() == 2

    async with _as(database_url, "ledger_api") as api:
        foreign_one = (await listed_ids(api))[0]
        await LetterShelf(api).show(foreign_one)
        await DeadLetterActs(api).discard(foreign_one, ANN)
        bulk = await BulkActs(api).begin(ORDER)
        cancelled = await BulkActs(api).begin(ORDER)
        await BulkActs(api).cancel(cancelled.bulk_id, actor="user:ann")
    async with _as(database_url, "ledger_scheduler") as scheduler:
        assert await BulkChore(scheduler).run_once(bulk.upto.replace(year=bulk.upto.year + 1)) == 2
        assert (await types_of(scheduler, dead))[-1] == "retried"
        assert (await types_of(scheduler, pending))[-1] == "released"


async def test_others_only_read(database_url: str) -> None:
    for role in ("ledger_worker", "ledger_projector", "ledger_auditor"):
        async with _as(database_url, role) as ledger:
            for table in ("dead_letters", "dead_letter_acts", "bulk_acts"):
                assert len(await fetch(ledger, f"SELECT count(*) FROM ledger.{table}")) == 1  # noqa: S608 - ours
            with pytest.raises(StoreRefusedError, match="permission denied"):
                await BulkActs(ledger).begin(ORDER)


def _as(database_url: str, role: str) -> AbstractAsyncContextManager[Ledger]:
    return opened(f"{database_url}?role={role}")
