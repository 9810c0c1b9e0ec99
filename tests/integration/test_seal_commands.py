"""`taskledger verify`, `evidence` and `seals export` say what is proven, and their exit codes do too."""

from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from tests.integration.api_given import UNKNOWN_ID
from tests.integration.commands_given import answer_of
from tests.integration.given import opened, submitted
from tests.integration.seals_given import sealed_ledger, tampered
from tests.services.postgres import run_apart


@pytest.fixture
def task_id(database_url: str) -> UUID:
    """The task of the last three of twelve sealed events; one event more is not sealed."""
    return run_apart(_sealed(database_url))


def test_a_sound_ledger_is_proven_and_what_is_not_sealed_is_said(task_id: UUID, database_url: str) -> None:
    result = _run("verify", "--database-url", database_url)
    as_json = _run("verify", "--json", "--from", "9", "--database-url", database_url)

    assert task_id
    assert (result.exit_code, result.stdout) == (
        0, "12 events in 3 seals proven, up to position 12; 1 event after that not sealed yet\n",
    )  # fmt: skip
    assert answer_of(as_json.stdout) == {
        "proven": True, "seals": 1, "events": 4, "erased": 0, "upto": 12, "unsealed": 1, "archived": 0,
        "unverified": [], "difference": None,
    }  # fmt: skip


def test_a_change_is_named_and_ends_with_1(task_id: UUID, database_url: str) -> None:
    run_apart(_tampered(database_url, "UPDATE ledger.events SET actor = 'x' WHERE position = 11"))

    result = _run("verify", "--database-url", database_url)
    as_json = answer_of(_run("verify", "--json", "--database-url", database_url).stdout)

    assert result.exit_code == 1
    assert result.stdout == f"position 11 ({task_id}:2) was changed after it was sealed (seal 3)\n"
    assert result.stderr == "taskledger: not proven; before that: 8 events in 2 seals proven, up to position 8\n"
    assert (as_json["proven"], as_json["difference"]["kind"], as_json["difference"]["position"]) == (
        False, "changed", 11,
    )  # fmt: skip


def test_a_bundle_is_checked_without_a_database_and_against_exported_seals(
    task_id: UUID, database_url: str, tmp_path: Path
) -> None:
    bundle, seals = str(tmp_path / "bundle.json"), str(tmp_path / "seals.ndjson")

    written = _run("evidence", str(task_id), "--output", bundle, "--database-url", database_url)
    exported = _run("seals", "export", seals, "--database-url", database_url)
    alone = _run("verify", "--bundle", bundle)
    against = _run("verify", "--bundle", bundle, "--against", seals)
    ledger = _run("verify", "--against", seals, "--database-url", database_url)

    assert (written.exit_code, exported.exit_code, exported.stderr) == (0, 0, "3 seals exported\n")
    assert (alone.exit_code, against.exit_code, ledger.exit_code) == (0, 0, 0)
    assert alone.stdout == (
        f"task {task_id}: 3 events proven, if seal 3 is the ledger's: compare with exported seals (--against)\n"
    )
    assert against.stdout == f"task {task_id}: 3 events proven; the exported seals vouch for it\n"


def test_seals_made_anew_do_not_pass_against_an_export(task_id: UUID, database_url: str, tmp_path: Path) -> None:
    seals = str(tmp_path / "seals.ndjson")
    _run("seals", "export", seals, "--database-url", database_url)

    run_apart(_tampered(database_url, "DELETE FROM ledger.seals WHERE number = 3"))

    result = _run("verify", "--against", seals, "--database-url", database_url)
    assert task_id
    assert result.exit_code == 1
    assert result.stdout == "seal 3 is not right: it was exported, and is not in the ledger any more\n"


@pytest.mark.parametrize(("text", "bound"), [("", "one with seals in it"), ("{}\n", "one that was exported")])
def test_a_file_without_seals_is_refused(
    task_id: UUID, database_url: str, tmp_path: Path, text: str, bound: str
) -> None:
    file = tmp_path / "seals.ndjson"
    file.write_text(text)

    result = _run("verify", "--against", str(file), "--database-url", database_url)

    assert task_id
    assert result.exit_code == 2
    assert bound in result.stderr


def test_evidence_of_no_task_ends_with_3(task_id: UUID, database_url: str) -> None:
    result = _run("evidence", UNKNOWN_ID, "--database-url", database_url)

    assert task_id
    assert (result.exit_code, result.stdout) == (3, "")


async def _sealed(url: str) -> UUID:
    async with sealed_ledger(url) as (ledger, tasks):
        await submitted(ledger, 1)
        return tasks[-1]


async def _tampered(url: str, *statements: str) -> None:
    async with opened(url) as ledger:
        await tampered(ledger, *statements)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))
