"""The commands of the read models say what is so, and their exit codes do too."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from projections.cli import app
from projections.shipped import SHIPPED
from projections.task_status import TASK_STATUS
from tests.integration.commands_given import answer_of
from tests.integration.given import caught_up, eventually, execute, fetch, opened, submitted
from tests.integration.projections_given import kinds_in
from tests.services.postgres import run_apart

NAMES = ", ".join(projection.name for projection in SHIPPED)

pytestmark = pytest.mark.usefixtures("database_url")


def test_list_names_every_projection() -> None:
    result = _run("list")

    assert result.exit_code == 0
    assert "task_status" in result.stdout


def test_status_tells_how_far_the_read_model_is_behind(database_url: str) -> None:
    before = _run("status", database_url)
    run_apart(_submit(database_url, folded=2, behind=3))

    after = _run("status", database_url)

    assert before.stdout.splitlines()[0] == "task_status: not made yet (horizon 0)"
    standing = f"task_status: version {TASK_STATUS.version}, position 2 of 5, 3 events behind, lag "
    assert after.stdout.startswith(standing)


def test_rebuild_says_what_it_did_and_verify_agrees(database_url: str) -> None:
    run_apart(_submit(database_url, folded=0, behind=4))

    rebuilt = _run("rebuild", "task_status", database_url)
    verified = _run("verify", "task_status", database_url)

    assert rebuilt.exit_code == 0, rebuilt.output
    assert rebuilt.stdout.startswith("rebuilt task_status: 4 events in ")
    assert "task_status: folding, 0 of 4 events" in rebuilt.stderr
    assert (verified.exit_code, verified.stdout) == (0, "task_status equals the fold of the ledger\n")


def test_verify_names_what_differs_and_fails(database_url: str) -> None:
    run_apart(_submit(database_url, folded=1, behind=0, then="UPDATE projections.task_status SET attempt = 7"))

    result = _run("verify", "task_status", database_url)

    assert result.exit_code == 1
    assert " attempt: expected '0', found '7'\n" in result.stdout
    assert "differs from the ledger in 1 place: rebuild it" in result.stderr


def test_unknown_projection_is_refused_with_a_sentence(database_url: str) -> None:
    result = _run("rebuild", "tusk_status", database_url)

    assert result.exit_code == 3
    assert result.stderr == f"taskledger: no projection 'tusk_status'; there are: {NAMES}\n"


def test_reset_asks_first_and_folds_from_the_beginning(database_url: str) -> None:
    run_apart(_submit(database_url, folded=2, behind=1, then="UPDATE projections.task_status SET attempt = 7"))

    unasked = _run("reset", "task_status", database_url)
    reset = CliRunner().invoke(
        app, ["projections", "reset", "task_status", "--yes", "--database-url", database_url]
    )
    verified = _run("verify", "task_status", database_url)

    assert (unasked.exit_code, unasked.stderr) == (2, "taskledger: nobody can be asked here: give --yes\n")
    assert reset.stdout.startswith("reset task_status: folded from position 0 to 3 in ")
    assert verified.exit_code == 0


def test_projections_of_an_app_are_listed_folded_and_told_as_json(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds_in(tmp_path)
    (tmp_path / "reports_app.py").write_text(
        "from pathlib import Path\n"
        "from projections.sql_file import sql_projections\n"
        "REPORTS = sql_projections(Path(__file__).parent)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LEDGER_APPS", "reports_app")
    run_apart(_submit(database_url, folded=0, behind=2))

    rebuilt = _run("rebuild", "kinds", database_url)
    listed = CliRunner().invoke(app, ["projections", "list", "--json", "--app", "reports_app"])
    told = CliRunner().invoke(app, ["projections", "status", "--json", "--database-url", database_url])
    verified = CliRunner().invoke(
        app, ["projections", "verify", "kinds", "--json", "--database-url", database_url]
    )
    unknown = CliRunner().invoke(app, ["projections", "list", "--app", "no_such_app"])

    assert rebuilt.exit_code == 0, rebuilt.output
    assert answer_of(listed.stdout)[-1] == {"name": "kinds", "version": 1, "tables": ["kinds"]}
    assert [(one["name"], one["position"]) for one in answer_of(told.stdout)][-1] == ("kinds", 2)
    assert answer_of(verified.stdout) == {"name": "kinds", "equal": True, "differences": []}
    assert (unknown.exit_code, "the app 'no_such_app' (--app, LEDGER_APPS)" in unknown.stderr) == (2, True)


async def test_projector_runs_as_a_process_until_it_is_told_to_stop(database_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "projections", env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with opened(database_url) as ledger:
        await submitted(ledger, 2)

        async def is_folded() -> bool:
            [(made,)] = await fetch(ledger, "SELECT to_regclass('projections.task_status') IS NOT NULL")
            return made and len(await fetch(ledger, "SELECT task_id FROM projections.task_status")) == 2

        await eventually(is_folded, what="the projector has folded both tasks")
    process.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(process.communicate(), timeout=20)

    assert process.returncode == 0
    assert b"projector.stopped" in said


def _run(command: str, *arguments: str) -> Result:
    *names, url = arguments or ("",)
    options = ["--database-url", url] if url else []
    return CliRunner().invoke(app, ["projections", command, *names, *options])


async def _submit(database_url: str, *, folded: int, behind: int, then: str = "SELECT 1") -> None:
    async with opened(database_url) as ledger:
        if folded:
            await submitted(ledger, folded)
            await caught_up(ledger)
        await execute(ledger, then)
        await submitted(ledger, behind)
