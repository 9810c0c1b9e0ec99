"""GET /queues and `taskledger queues list` count what is unfinished in each queue, and who serves it."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta
from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.queries import query
from tests.integration.api_given import submitted
from tests.integration.commands_given import answer_of
from tests.integration.given import caught_up, execute, fetch, started


async def test_without_tasks_and_workers_there_is_no_queue(client: httpx.AsyncClient) -> None:
    assert (await client.get("/queues")).json() == {"queues": []}


async def test_what_is_unfinished_is_counted_by_queue_and_state(client: httpx.AsyncClient, ledger: Ledger) -> None:
    first, runs, cancelled = [await submitted(client, queue="mail") for _ in range(3)]
    await submitted(client, queue="mail", delay_s=3600)
    await submitted(client)
    await started(ledger, UUID(runs))
    await client.post(f"/tasks/{cancelled}/cancel")
    await caught_up(ledger)

    default, mail = (await client.get("/queues")).json()["queues"]

    assert (default["name"], default["ready"], default["waiting"], default["running"]) == ("default", 1, 0, 0)
    assert (mail["name"], mail["ready"], mail["waiting"], mail["running"]) == ("mail", 1, 1, 1)
    assert mail["oldest_ready_at"] == (await client.get(f"/tasks/{first}")).json()["ready_at"]


async def test_only_workers_that_live_are_counted(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await _worker(ledger, "mail", "default")
    await _worker(ledger, "mail")
    silent, stopped = await _worker(ledger, "mail"), await _worker(ledger, "mail")
    await execute(ledger, "UPDATE ledger.workers SET beat_at = beat_at - $2::interval WHERE worker_id = $1",
                  silent, timedelta(minutes=1))  # fmt: skip
    await execute(ledger, query("stop_worker"), stopped)

    queues = (await client.get("/queues")).json()["queues"]

    assert [(one["name"], one["live_workers"], one["ready"]) for one in queues] == [
        ("default", 1, 0),
        ("mail", 2, 0),
    ]


async def test_the_command_says_what_the_api_says(
    client: httpx.AsyncClient, ledger: Ledger, database_url: str
) -> None:
    await submitted(client, queue="mail")
    await caught_up(ledger)

    words = await _command(database_url)
    answer = answer_of(await _command(database_url, "--json"))

    assert " ".join(words.split()) == "mail 1 ready, 0 waiting, 0 held back, 0 running, 0 live workers"
    assert answer == (await client.get("/queues")).json()


async def _worker(ledger: Ledger, *queues: str) -> UUID:
    worker_id: UUID = uuid7()
    await fetch(ledger, query("register_worker"), worker_id, "w", list(queues), 50)
    return worker_id


async def _command(database_url: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "api", "queues", "list", "--database-url", database_url, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()
