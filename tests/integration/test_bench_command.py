"""`taskledger bench` measures a running ledger over HTTP, and its exit code says whether all tasks completed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from typer.testing import CliRunner, Result

from api.app import create_app
from api.cli import app
from api.client import AsyncTaskLedger
from api.server import serving
from ledger.bootstrap import Ledger, open_ledger
from ledger.broker.memory import MemoryBroker
from ledger.settings import load_settings
from tests.integration.commands_given import answer_of, envelope_of
from tests.integration.erasure_given import working
from tests.integration.given import caught_up


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with open_ledger(load_settings(database_url=database_url, port=0)) as ledger:
        yield ledger


async def test_tasks_are_submitted_and_followed_to_their_end(ledger: Ledger) -> None:
    async with serving(create_app(ledger), ledger.settings) as port, working(ledger, MemoryBroker()):
        quick = await _bench(port, "--tasks", "12", "--concurrency", "3", "--json")
        steady = await _bench(port, "--tasks", "5", "--rate", "50")
        late = await _bench(port, "--tasks", "2", "--queue", "nobody", "--timeout", "1", "--json")
        await caught_up(ledger)
        async with AsyncTaskLedger(f"http://127.0.0.1:{port}") as client:
            found = [task async for task in client.list(tag=[answer_of(quick.stdout)["tag"]])]

    told = answer_of(quick.stdout)
    assert (quick.exit_code, told["submitted"], told["completed"], told["missing"]) == (0, 12, 12, 0)
    assert 0 < told["submit_p50_ms"] <= told["submit_p99_ms"]
    assert told["complete_p50_ms"] <= told["complete_p99_ms"]
    assert (steady.exit_code, steady.stdout.splitlines()[1].split()[1:3]) == (0, ["5", "completed,"])
    assert (late.exit_code, envelope_of(late.stdout)["data"]["missing"]) == (6, 2)
    assert len(found) == 13  # and the one that went ahead


def test_a_ledger_of_another_machine_is_left_alone_unless_somebody_says_yes() -> None:
    asked = CliRunner().invoke(app, ["bench", "--url", "http://ledger.example.com", "--json"])

    assert (asked.exit_code, envelope_of(asked.stdout)["error"]["code"]) == (2, "usage")
    assert "give --yes" in asked.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--url", "http://127.0.0.1:1", "--tasks", "1"], 4),
        (["--url", "nonsense", "--yes"], 2),
        (["--tasks", "0"], 2),
        (["--concurrency", "1001"], 2),
        (["--rate", "0"], 2),
        (["--rate", "0.1", "--tasks", "10000"], 2),
        (["--timeout", "0"], 2),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_told_by_the_exit_code(words: list[str], code: int) -> None:
    assert CliRunner().invoke(app, ["bench", *words]).exit_code == code


async def _bench(port: int, *words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["bench", "--url", f"http://127.0.0.1:{port}", *words])
