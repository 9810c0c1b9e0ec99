"""`taskledger erase`, `erasure` and `evidence --with-key`: what they do and say, and with which exit code."""

import json
from base64 import b64decode
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from ledger.bootstrap import Ledger
from ledger.exit_codes import ExitCode
from ledger.payloads.cipher import Cipher
from ledger.payloads.orders import ErasureChore
from tests.integration.api_given import UNKNOWN_ID
from tests.integration.commands_given import answer_of
from tests.integration.erasure_given import MARKER, SECRET, SETTINGS, ListeningBroker, ran
from tests.integration.given import opened, submitted
from tests.services.postgres import run_apart


@pytest.fixture
def tasks(database_url: str) -> list[UUID]:
    """Two erasable tasks that ran, and one that waits."""
    return run_apart(_lived(database_url))


def test_a_task_is_erased_once_and_what_it_held_is_gone(tasks: list[UUID], database_url: str) -> None:
    task_id, _, waiting = tasks
    read = [("task", "history", str(task_id), "--json"), ("task", "show", str(task_id)), ("events", "export")]

    before = [_run(database_url, *words).stdout for words in read]
    sealed = _run(database_url, "events", "export", "--ciphertext").stdout
    said = [_run(database_url, "erase", "task", str(task_id), "--reason", "forget").stdout for _ in range(2)]
    after = [_run(database_url, *words).stdout for words in read[:2]]
    refused = [_run(database_url, "erase", "task", str(one)) for one in (waiting, UNKNOWN_ID)]

    assert all(MARKER in text for text in before)
    assert MARKER not in sealed
    assert said == [f"{task_id} erased\n", f"{task_id} erased already\n"]
    assert not any(MARKER in text for text in after)
    assert [one.exit_code for one in refused] == [ExitCode.CONFLICT, ExitCode.NOT_FOUND]
    assert f"cannot erase task {waiting}: it is PENDING" in refused[0].stderr


def test_a_tag_is_counted_ordered_and_looked_at(tasks: list[UUID], database_url: str) -> None:
    assert len(tasks) == 3
    dry = _run(database_url, "erase", "tag", "a", "--dry-run").stdout
    ordered = answer_of(_run(database_url, "erase", "tag", "a", "--reason", "forget", "--json").stdout)
    run_apart(_worked_off(database_url))
    shown = _run(database_url, "erasure", "show", ordered["erasure_id"]).stdout
    unknown = _run(database_url, "erasure", "show", UNKNOWN_ID)

    assert dry == "3 found, nothing erased: this is a dry run\n"
    assert shown == "done: 2 erased, 1 left alone, unfinished, 3 found\n"
    assert unknown.exit_code == ExitCode.NOT_FOUND


def test_evidence_holds_ciphertext_and_the_key_that_opens_it_where_asked(
    tasks: list[UUID], database_url: str, tmp_path: Path
) -> None:
    task_id = tasks[0]
    bundle = tmp_path / "bundle.json"
    _run(database_url, "evidence", str(task_id), "--with-key", "--output", str(bundle))
    document = json.loads(bundle.read_text())
    payload = json.loads(document["events"][0]["payload"])

    assert MARKER not in bundle.read_text()
    assert Cipher(task_id, b64decode(document["payload_key"])).open("input", payload["input"]) == {"name": MARKER}
    assert _run(database_url, "verify", "--bundle", str(bundle)).exit_code == 0
    _run(database_url, "erase", "task", str(task_id))
    assert "payload_key" not in json.loads(_run(database_url, "evidence", str(task_id)).stdout)
    refused = _run(database_url, "evidence", str(task_id), "--with-key")
    assert (refused.exit_code, "its payload was erased" in refused.stderr) == (ExitCode.CONFLICT, True)


def test_keys_are_rewrapped_under_the_first_secret(tasks: list[UUID], database_url: str) -> None:
    newer = "n" * 40

    both = _run(database_url, "erasure", "rewrap", secret=f"{newer},{SECRET}")
    new_alone = _run(database_url, "task", "show", str(tasks[0]), secret=newer)
    none = _run(database_url, "erasure", "rewrap", secret="")

    assert both.stdout == "3 keys rewrapped\n"
    assert MARKER in new_alone.stdout
    assert (none.exit_code, "LEDGER_PAYLOAD_SECRET must be set" in none.stderr) == (ExitCode.USAGE, True)


async def _lived(url: str) -> list[UUID]:
    async with opened(url, **SETTINGS) as ledger:
        return [*await ran(ledger, ListeningBroker(), "echo", "echo", tags=("a",)), await _waiting(ledger)]


async def _waiting(ledger: Ledger) -> UUID:
    return (await submitted(ledger, erasable=True, tags=("a",)))[0]


async def _worked_off(url: str) -> None:
    async with opened(url) as ledger:
        await ErasureChore(ledger).run_once()


def _run(url: str, *words: str, secret: str = SECRET) -> Result:
    environment = {"DATABASE_URL": url, "LEDGER_PAYLOAD_SECRET": secret}
    return CliRunner().invoke(app, list(words), env=environment)
