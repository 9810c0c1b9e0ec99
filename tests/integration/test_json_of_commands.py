"""What the commands print with --json: the envelope, and before it the events of a stream."""

import json

from typer.testing import CliRunner, Result

from api.cli import app
from ledger.migrate import shipped_migrations
from tests.integration.commands_given import answer_of


def test_the_migrations_that_are_missing_are_told_as_json(empty_database_url: str) -> None:
    dry = _run(empty_database_url, "migrate", "--dry-run", "--json")

    told = answer_of(dry.stdout)
    assert told["dry_run"] is True
    assert [one["number"] for one in told["migrations"]] == [one.number for one in shipped_migrations()]


def test_the_read_models_are_told_as_json(database_url: str) -> None:
    rebuilt = _run(database_url, "projections", "rebuild", "task_status", "--json")
    status = _run(database_url, "projections", "status", "--json")
    verified = _run(database_url, "projections", "verify", "task_status", "--json")
    listed = answer_of(CliRunner().invoke(app, ["projections", "list", "--json"]).stdout)

    assert answer_of(rebuilt.stdout)["name"] == "task_status"
    assert answer_of(status.stdout)[0]["events_behind"] == 0
    assert (verified.exit_code, answer_of(verified.stdout)["differences"]) == (0, [])
    assert "task_status" in [one["name"] for one in listed]


def test_the_end_of_a_task_is_told_as_json(database_url: str) -> None:
    task_id = answer_of(_run(database_url, "submit", "--json").stdout)["task_id"]
    _run(database_url, "task", "cancel", task_id, "--reason", "called off")

    watched = _run(database_url, "task", "watch", task_id, "--json")

    *events, envelope = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [event["type"] for event in events] == ["task.submitted", "task.cancelled"]
    assert (watched.exit_code, envelope["ok"], envelope["exit_code"]) == (1, False, 1)
    assert (envelope["data"]["status"], envelope["data"]["result"]) == ("CANCELLED", None)
    assert envelope["error"]["message"] == f"task {task_id} did not complete: it is CANCELLED"


def test_a_task_that_is_not_finished_in_time_is_told_with_its_id(database_url: str) -> None:
    watched = _run(database_url, "submit", "--wait", "--timeout", "0.2", "--json")

    event, envelope = [json.loads(line) for line in watched.stdout.splitlines()]
    assert (watched.exit_code, envelope["error"]["code"]) == (6, "timeout")
    assert envelope["data"]["task_id"] == event["task_id"]


def test_what_is_out_of_reach_is_told_as_json() -> None:
    environment = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "RABBITMQ_URL": ""}

    result = CliRunner().invoke(app, ["config", "check", "--json"], env=environment)

    assert result.exit_code == 4
    (problem,) = answer_of(result.stdout)["problems"]
    assert "127.0.0.1:1" in problem


def _run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--database-url", database_url])
