"""`taskledger reconcile` says which messages are lost, and releases their tasks unless it is a dry run."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.relay import Relay
from tests.integration.commands_given import answer_of
from tests.integration.given import caught_up, execute, opened, started, submitted, types_of

LONG = timedelta(minutes=10)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_a_dry_run_names_the_lost_task_and_changes_nothing(ledger: Ledger, database_url: str) -> None:
    lost = await _lost_task(ledger)

    output = await _reconcile(database_url, "--dry-run")

    assert f"{lost}  default  normal  overtaken  ready since " in output
    assert "default normal overtaken: 1\n" in output
    assert output.endswith("1 found, nothing released: this is a dry run\n")
    assert await types_of(ledger, lost) == ["submitted"]


async def test_the_lost_task_is_released_once(ledger: Ledger, database_url: str) -> None:
    lost = await _lost_task(ledger)

    first = answer_of(await _reconcile(database_url, "--json"))
    await caught_up(ledger)
    again = answer_of(await _reconcile(database_url, "--json"))

    assert (first["dry_run"], first["found"], first["released"]) == (False, 1, 1)
    (task,) = first["tasks"]
    assert (task["task_id"], task["queue"], task["band"], task["evidence"]) == (
        str(lost), "default", "normal", "overtaken",
    )  # fmt: skip
    assert (again["found"], again["released"], again["tasks"]) == (0, 0, [])
    assert await types_of(ledger, lost) == ["submitted", "released"]


async def test_all_that_is_ready_is_counted_first_and_then_released(ledger: Ledger, database_url: str) -> None:
    ready = await submitted(ledger, 3)
    await Relay(ledger, MemoryBroker()).run_once()
    await caught_up(ledger)

    dry = answer_of(await _reconcile(database_url, "--all-ready", "--dry-run", "--json"))
    before = [await types_of(ledger, task_id) for task_id in ready]
    real = await _reconcile(database_url, "--all-ready")

    assert dry == {"dry_run": True, "found": 3, "released": 0}
    assert before == [["submitted"]] * 3
    assert real.endswith("3 found, 3 released\n")
    assert [await types_of(ledger, task_id) for task_id in ready] == [["submitted", "released"]] * 3


async def _lost_task(ledger: Ledger) -> UUID:
    lost, runs = await submitted(ledger, 2)
    await Relay(ledger, MemoryBroker()).run_once()
    await started(ledger, runs)
    await caught_up(ledger)
    statement = """UPDATE projections.task_status SET ready_at = ready_at - $2::interval,
                          created_at = created_at - $2::interval WHERE task_id = $1"""
    await execute(ledger, statement, lost, LONG)
    return lost


async def _reconcile(database_url: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "api", "reconcile", "--database-url", database_url, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()
