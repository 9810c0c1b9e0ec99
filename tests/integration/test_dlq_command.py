"""`taskledger dlq` lists, shows, redrives and discards, and says with its exit code how it went."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from ledger.bootstrap import Ledger
from ledger.bulk_acts.chore import BulkChore
from ledger.exit_codes import ExitCode
from tests.integration.api_given import client_of
from tests.integration.commands_given import answer_of
from tests.integration.dead_letters_given import dead_messages, failed, foreign
from tests.integration.given import opened, types_of

SECOND = timedelta(seconds=1)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_what_is_listed_and_shown_is_what_the_api_says(ledger: Ledger, database_url: str) -> None:
    [task_id] = await failed(ledger, queue="mail")
    [letter_id] = await dead_messages(ledger, "default", [foreign("default")])

    words = await _dlq(database_url, "list")
    shown = await _dlq(database_url, "show", str(letter_id), "--json")

    message_line, task_line = words.splitlines()
    assert message_line.startswith(f"{letter_id}  ")
    assert message_line.endswith("  message  default  rejected  malformed message: no good")
    assert task_line.startswith(f"{task_id}  ")
    assert task_line.endswith("  task     mail  error  ValueError: no")
    async with client_of(ledger) as client:
        assert answer_of(shown) == (await client.get(f"/dead-letters/{letter_id}")).json()


async def test_one_is_discarded_and_then_there_is_nothing_to_redrive(ledger: Ledger, database_url: str) -> None:
    [task_id] = await failed(ledger)

    discarded = await _dlq(database_url, "discard", str(task_id), "--reason", "called off", "--json")
    refused = await _dlq(database_url, "redrive", str(task_id), code=ExitCode.CONFLICT)

    assert answer_of(discarded)["act"] == "discarded"
    last = (await ledger.store.read_stream(task_id))[-1]
    assert last.type == "task.discarded"
    assert last.actor.startswith("cli")
    assert refused == f"taskledger: cannot redrive dead letter {task_id}: it was discarded already\n"


async def test_many_are_counted_first_and_then_redriven_by_the_scheduler(
    ledger: Ledger, database_url: str
) -> None:
    tasks = await failed(ledger, 3, queue="mail")
    filters = ("--queue", "mail", "--error-type", "ValueError")

    dry = await _dlq(database_url, "redrive", *filters, "--dry-run")
    before = [(await types_of(ledger, task_id))[-1] for task_id in tasks]
    begun = answer_of(await _dlq(database_url, "redrive", *filters, "--rate", "2", "--json"))
    await BulkChore(ledger).run_once(ledger.clock.now() + SECOND)
    progress = await _dlq(database_url, "progress", begun["bulk_id"])

    assert dry.endswith("3 found, nothing redriven: this is a dry run\n")
    assert before == ["failed"] * 3
    assert (begun["count"], begun["rate_per_s"], begun["filter"]["queue"]) == (3, 2, "mail")
    assert progress == "running: 2 redriven, 0 skipped, 3 found\n"


async def _dlq(database_url: str, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    """Run the command and return what it prints: on standard output, or where it fails on standard error."""
    command = [sys.executable, "-m", "api", "dlq", *arguments, "--database-url", database_url]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate()
    assert process.returncode == code, errors.decode()
    return (output if code is ExitCode.OK else errors).decode()
