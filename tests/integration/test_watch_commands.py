"""`taskledger submit` and `task watch`: a script submits a task, waits for its end, and learns how it ended."""

import asyncio
from uuid import UUID

from typer.testing import CliRunner, Result

from api.cli import app
from ledger.bootstrap import Ledger
from ledger.task import Task
from ledger.task_words import Cause, TaskError
from tests.integration.api_given import UNKNOWN_ID
from tests.integration.given import CLIENT, eventually, fetch, opened, started, submitted
from tests.services.postgres import run_apart

LISTENERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'
"""


async def test_a_task_is_watched_to_its_completion(database_url: str) -> None:
    async with opened(database_url) as ledger:
        (task_id,) = await submitted(ledger)
        watching = asyncio.create_task(asyncio.to_thread(_run, database_url, "task", "watch", str(task_id)))
        await eventually(lambda: _is_watched(ledger), what="the command listens")
        await started(ledger, task_id)
        await _end(ledger, task_id, succeeds=True)
        result = await watching

    assert result.exit_code == 0
    lines = [line.split(" ", 1) for line in result.stdout.splitlines()]
    assert [line[1] for line in lines[:3]] == [
        "task.submitted",
        "task.started attempt=1 worker_id=worker",
        "task.completed attempt=1",
    ]
    assert lines[3] == ["COMPLETED", '{"n":1}']


def test_a_task_that_failed_is_told_by_the_exit_code(database_url: str) -> None:
    task_id = run_apart(_failed_task(database_url))

    result = _run(database_url, "task", "watch", str(task_id))

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "FAILED OSError: no such file"


def test_a_submitted_task_is_waited_for_only_as_long_as_asked(database_url: str) -> None:
    result = _run(database_url, "submit", "--input", "hello", "--wait", "--timeout", "0.3")

    task_id, *_ = result.stdout.splitlines()
    assert result.exit_code == 6
    assert result.stderr == f"taskledger: task {task_id} is not finished after 0.3 s\n"


def test_what_is_submitted_is_what_the_words_say(database_url: str) -> None:
    words = ("--kind", "mail.send", "--queue", "mail", "--input", '{"to": "ada"}', "priority=7", 'tags=["a"]')

    result = _run(database_url, "submit", *words, "key=12")

    task = run_apart(_load(database_url, UUID(result.stdout.strip())))
    assert (task.kind, task.queue, task.input) == ("mail.send", "mail", {"to": "ada"})
    assert (task.priority, list(task.tags), task.key) == (7, ["a"], "12")


def test_what_is_not_valid_is_told_by_sentence_and_code(database_url: str) -> None:
    refused = {
        ("submit", "priority"): (2, "a field must be FIELD=VALUE, got 'priority'"),
        ("submit", "priority=99"): (2, "priority must be "),
        ("submit", "colour=red"): (2, "Invalid request body: unknown field: colour"),
        ("task", "watch", UNKNOWN_ID): (3, "Task not found"),
    }

    for words, (code, sentence) in refused.items():
        result = _run(database_url, *words)
        assert result.stderr.startswith(f"taskledger: {sentence}")
        assert result.exit_code == code


def _run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--database-url", database_url])


async def _is_watched(ledger: Ledger) -> bool:
    return bool((await fetch(ledger, LISTENERS))[0]["count"] == 1)


async def _load(database_url: str, task_id: UUID) -> Task:
    async with opened(database_url) as ledger:
        return await ledger.commands.load(task_id)


async def _failed_task(database_url: str) -> UUID:
    async with opened(database_url) as ledger:
        (task_id,) = await submitted(ledger, max_attempts=1)
        await started(ledger, task_id)
        await _end(ledger, task_id, succeeds=False)
    return task_id


async def _end(ledger: Ledger, task_id: UUID, *, succeeds: bool) -> None:
    def decide(task: Task) -> None:
        now = ledger.clock.now()
        if succeeds:
            task.complete(attempt=1, result={"n": 1}, now=now)
        else:
            error = TaskError(type="OSError", message="no such file")
            task.fail(attempt=1, error=error, cause=Cause.ERROR, now=now, retry_delay_seconds=None)

    await ledger.commands.decide(task_id, decide, origin=CLIENT)
