"""`taskledger dlq` refuses what it does not understand before it opens anything."""

import pytest
from typer.testing import CliRunner, Result

from api.dlq_commands import app
from ledger.exit_codes import ExitCode

ID = "01a20cad-7423-7578-abdd-be0ca3bcb83a"


@pytest.mark.parametrize(
    "arguments",
    [
        ["redrive"],
        ["redrive", "--rate", "10"],
        ["redrive", ID, "--all"],
        ["redrive", ID, "--queue", "mail"],
        ["redrive", ID, "--dry-run"],
        ["redrive", "--all", "--rate", "0"],
        ["redrive", "--all", "--rate", "1001"],
        ["redrive", "nonsense"],
        ["redrive", "--queue", "NOT A QUEUE"],
        ["redrive", "--kind", "letter"],
        ["redrive", "--queue", "", "--kind", "task"],
        ["list", "--died-after", "yesterday"],
        ["list", "--limit", "0"],
        ["discard", ID],
        ["discard", "--reason", "called off"],
        ["discard", "--all"],
        ["discard", ID, "--reason", "called off", "--all"],
        ["show"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_is_a_wrong_use(arguments: list[str]) -> None:
    assert _run(*arguments).exit_code == ExitCode.USAGE


def test_a_wrong_filter_is_told_with_its_bound() -> None:
    result = _run("list", "--kind", "letter")

    assert "kind must be one of 'task' or 'message', got 'letter'" in result.output


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)
