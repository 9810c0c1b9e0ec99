"""`taskledger task list|retry|cancel`, `bulk-acts`: an operator acts upon a task, or upon what a filter finds."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from tests.integration.api_given import UNKNOWN_ID
from tests.integration.commands_given import answer_of
from tests.integration.dead_letters_given import failed
from tests.integration.given import caught_up, opened, submitted
from tests.services.postgres import run_apart


def test_tasks_are_listed_by_the_filters_of_the_api(database_url: str) -> None:
    first, second = run_apart(_given(database_url, pending=1, dead=1))

    words = _run(database_url, "task", "list").stdout.splitlines()
    dead = _run(database_url, "task", "list", "--status", "FAILED", "--tag", "tenant:acme", "--json")
    one = _run(database_url, "task", "list", "--limit", "1").stdout.splitlines()
    none = _run(database_url, "task", "list", "--queue", "elsewhere", "--json")
    then = _run(database_url, "task", "list", "--as-of", "2020-01-01T00:00:00Z")

    assert [line.split()[0] for line in words] == [str(second), str(first)]
    assert words[1].split()[2:] == ["PENDING", "mail", "default"]
    assert [task["task_id"] for task in answer_of(dead.stdout)["tasks"]] == [str(second)]
    assert one[1] == "… and more: the newest 1 are shown"
    assert answer_of(none.stdout) == {"tasks": [], "has_more": False}
    assert then.stdout == "no tasks\n"


def test_tasks_are_retried_and_cancelled_by_their_ids_and_a_refusal_does_not_stop_the_others(
    database_url: str,
) -> None:
    pending, dead = run_apart(_given(database_url, pending=1, dead=1))

    retried = _run(database_url, "task", "retry", str(pending), UNKNOWN_ID, str(dead), "--reason", "fixed")
    cancelled = _run(database_url, "task", "cancel", str(pending), str(dead), "--json")
    again = _run(database_url, "task", "cancel", str(dead))

    assert (retried.exit_code, retried.stdout) == (5, f"{dead} PENDING\n")
    assert retried.stderr.startswith(f"taskledger: {pending}: ")
    assert "Task not found" in retried.stderr
    assert (cancelled.exit_code, [one["status"] for one in answer_of(cancelled.stdout)["tasks"]]) == (
        0, ["CANCELLED", "CANCELLED"],
    )  # fmt: skip
    assert again.exit_code == 5


def test_what_a_filter_finds_is_counted_recorded_shown_and_called_off(database_url: str) -> None:
    run_apart(_given(database_url, pending=2, dead=1))

    dry = _run(database_url, "task", "cancel", "--queue", "mail", "--dry-run")
    begun = answer_of(_run(database_url, "task", "cancel", "--queue", "mail", "--rate", "5", "--json").stdout)
    words = _run(database_url, "task", "retry", "--all", "--error-type", "ValueError").stdout
    listed = _run(database_url, "bulk-acts", "list", "--subject", "tasks").stdout.splitlines()
    shown = _run(database_url, "bulk-acts", "show", begun["bulk_id"])
    called_off = _run(database_url, "bulk-acts", "cancel", begun["bulk_id"], "--json")

    assert dry.stdout.splitlines()[-1] == "2 found, nothing cancelled: this is a dry run"
    assert (begun["count"], begun["rate_per_s"], begun["filter"]["queue"]) == (2, 5, "mail")
    assert words.startswith("1 found, to be retried by the scheduler, at most 50 a second: ")
    assert [line.split()[0] for line in listed] == [words.split()[-1], begun["bulk_id"]]
    assert shown.stdout == "running: 0 cancelled, 0 skipped, 2 found\n"
    assert answer_of(called_off.stdout)["state"] == "cancelled"


@pytest.mark.parametrize(
    "arguments",
    [
        ["task", "retry"],
        ["task", "cancel", "--rate", "10"],
        ["task", "retry", UNKNOWN_ID, "--all"],
        ["task", "retry", UNKNOWN_ID, "--queue", "mail"],
        ["task", "retry", "nonsense"],
        ["task", "cancel", "--all", "--rate", "1001"],
        ["task", "list", "--status", "GONE"],
        ["task", "list", "--created-after", "yesterday"],
        ["task", "list", "--limit", "0"],
        ["task", "retry", "--dry-run", "--queue", "NOT A QUEUE"],
        ["bulk-acts", "list", "--state", "tired"],
        ["bulk-acts", "show"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_is_a_wrong_use(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_status_to_which_the_act_cannot_be_done_and_a_body_that_is_not_valid_are_a_wrong_use(
    database_url: str,
) -> None:
    refused = {
        ("task", "retry", "--status", "RUNNING"): "status must be one of COMPLETED, FAILED, CANCELLED",
        ("submit", "priority=high"): "Invalid request body: priority must be",
        ("submit", "colour=red"): "Invalid request body: unknown field: colour",
        ("submit", "--kind", "NO!"): "kind must be 1 to 200",
    }

    for arguments, sentence in refused.items():
        result = _run(database_url, *arguments)
        assert (result.exit_code, result.stderr.startswith(f"taskledger: {sentence}")) == (2, True), result.stderr


def test_a_submit_prints_json_where_asked_to(database_url: str) -> None:
    submit = _run(database_url, "submit", "--input", "hello", "--json")

    printed = answer_of(submit.stdout)
    assert UUID(printed["task_id"])
    assert printed["existing"] is False


def _run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--database-url", database_url])


async def _given(database_url: str, *, pending: int, dead: int) -> Sequence[UUID]:
    async with opened(database_url) as ledger:
        waiting = await submitted(ledger, pending, queue="mail")
        finished = await failed(ledger, dead, tags=("tenant:acme",))
        await caught_up(ledger)
        return [*waiting, *finished]
