"""GET /relay: who publishes and who stands by, how far behind the log, and what lies in the broker."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from typer.testing import CliRunner

from api.cli import app
from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.broker.rabbitmq import RabbitmqBroker
from ledger.relay import Relay
from tests.integration.api_given import client_of
from tests.integration.given import caught_up, eventually, opened, running, submitted


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_nobody_leads_and_everything_lags_until_a_relay_comes(ledger: Ledger) -> None:
    broker = MemoryBroker()
    await submitted(ledger, 2, queue="mail")
    await submitted(ledger, queue="mail", priority=9)
    await caught_up(ledger)
    async with client_of(ledger, broker) as client:
        before = (await client.get("/relay")).json()
        await Relay(ledger, broker).run_once()
        after = (await client.get("/relay")).json()

    assert (before["relay"]["leader"], before["relay"]["standbys"]) == (None, [])
    assert (before["relay"]["checkpoint"], before["relay"]["lag_events"]) == (0, 3)
    assert before["relay"]["lag_seconds"] > 0
    assert before["broker"] == {
        "kind": "memory", "version": None, "is_reachable": True, "problem": None, "queues": [],
        "queues_left_out": 0,
    }  # fmt: skip
    assert after["relay"]["checkpoint"] == after["relay"]["horizon"] > 0
    assert (after["relay"]["lag_events"], after["relay"]["lag_seconds"]) == (0, 0)
    depths = {one["name"]: (one["band"], one["messages"], one["consumers"]) for one in after["broker"]["queues"]}
    assert depths == {
        "tasks.mail.high": ("high", 1, 0), "tasks.mail": ("normal", 2, 0), "tasks.mail.low": ("low", 0, 0),
        "tasks.mail.dead": (None, 0, 0),
    }  # fmt: skip


async def test_the_relay_that_leads_and_those_that_stand_by_are_told_apart(ledger: Ledger) -> None:
    async def relay(client: httpx.AsyncClient) -> dict[str, object]:
        answer: dict[str, object] = (await client.get("/relay")).json()["relay"]
        return answer

    async def stand_by(client: httpx.AsyncClient) -> bool:
        seen = await relay(client)
        return seen["leader"] is not None and len(seen["standbys"]) == 1  # type: ignore[arg-type]  # a list

    async with client_of(ledger, MemoryBroker()) as client:
        async with running(Relay(ledger, MemoryBroker()).run(), Relay(ledger, MemoryBroker()).run()):
            await eventually(lambda: stand_by(client), what="one leads and one stands by")
            seen = await relay(client)
        await eventually(lambda: _nobody(client), what="both are gone")

    leader, standby = seen["leader"], seen["standbys"][0]  # type: ignore[index]  # a list
    assert leader["process"].startswith("task-ledger relay ")  # type: ignore[index]  # an object
    assert leader["since"] is not None  # type: ignore[index]  # an object
    assert leader["backend_pid"] != standby["backend_pid"]  # type: ignore[index]  # an object


async def _nobody(client: httpx.AsyncClient) -> bool:
    seen = (await client.get("/relay")).json()["relay"]
    return (seen["leader"], seen["standbys"]) == (None, [])


async def test_a_broker_that_is_missing_or_out_of_reach_is_told(ledger: Ledger) -> None:
    away = RabbitmqBroker("amqp://guest:secret@127.0.0.1:1/", publish_timeout_seconds=1)
    async with client_of(ledger) as client:
        missing = (await client.get("/relay")).json()["broker"]
    async with client_of(ledger, away) as client:
        unreachable = (await client.get("/relay")).json()["broker"]
    await away.close()

    assert (missing["kind"], missing["is_reachable"], missing["queues"]) == (None, None, [])
    assert (unreachable["is_reachable"], "secret" in unreachable["problem"]) == (False, False)
    assert "127.0.0.1:1" in unreachable["problem"]


async def test_the_command_says_the_same_in_words(ledger: Ledger, database_url: str) -> None:
    await submitted(ledger)
    environment = {"DATABASE_URL": database_url, "RABBITMQ_URL": ""}

    words = await asyncio.to_thread(CliRunner().invoke, app, ["relay", "status"], env=environment)
    as_json = await asyncio.to_thread(CliRunner().invoke, app, ["relay", "status", "--json"], env=environment)

    assert words.exit_code == 0, words.output
    assert words.stdout.splitlines()[:2] == ["leader   nobody", "standby  nobody"]
    assert '"lag_events":1' in as_json.stdout
