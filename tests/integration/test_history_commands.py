"""`taskledger task history`, `events …` and `audit`: the history on a terminal, and what the exit codes tell."""

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from api.cli import app
from ledger.queues.settings import pause
from ledger.store.records import Origin
from tests.integration.api_given import UNKNOWN_ID
from tests.integration.commands_given import answer_of, envelope_of
from tests.integration.given import opened, started, submitted
from tests.services.postgres import run_apart

ROOT = Path(__file__).parents[2]


def test_the_history_of_a_task_says_what_happened_by_whom_and_why(database_url: str) -> None:
    task_id = run_apart(_cancelled_task(database_url, reason="called\noff"))

    words = _run(database_url, "task", "history", task_id)
    shown = answer_of(_run(database_url, "task", "history", task_id, "--json").stdout)["events"]

    lines = [line.split("  ") for line in words.stdout.splitlines()]
    assert [line[2:] for line in lines] == [
        [f"{task_id}:1", "task.submitted", "default", "client"],
        [f"{task_id}:2", "task.started", "default", "worker:w"],
        [f"{task_id}:3", "task.cancel_requested", "default", "boss: called off [story]"],
    ]
    assert [line[1] for line in lines] == [event["recorded_at"] for event in shown]
    assert (shown[2]["correlation_id"], shown[1]["causation_id"]) == ("story", f"{task_id}:1")


def test_the_tail_is_the_last_events_or_all_after_a_position(database_url: str) -> None:
    run_apart(_submit(database_url, 12))

    last = _run(database_url, "events", "tail", "--json")
    fewer = _run(database_url, "events", "tail", "-n", "2")
    after = _run(database_url, "events", "tail", "--after", "1", "--json")
    none = _run(database_url, "events", "tail", "--actor", "nobody")

    *events, _ = [json.loads(line) for line in last.stdout.splitlines()]
    assert [event["position"] for event in events] == list(range(3, 13))
    assert answer_of(last.stdout) == {"upto": 12}
    assert [line.split("  ")[0] for line in fewer.stdout.splitlines()] == ["11", "12"]
    assert [json.loads(line).get("position") for line in after.stdout.splitlines()] == [*range(2, 13), None]
    assert (none.exit_code, none.stdout) == (0, "")


def test_a_followed_tail_goes_on_with_what_is_appended(database_url: str) -> None:
    run_apart(_submit(database_url, 2))
    arguments = [sys.executable, "-m", "api", "events", "tail", "-f", "-n", "1", "--json"]
    with subprocess.Popen(
        [*arguments, "--database-url", database_url], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        run_apart(_submit(database_url, 2))
        following = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(2)
        envelope = envelope_of(process.stdout.read().decode())
        code = process.wait(20)

    assert [event["position"] for event in (first, *following)] == [2, 3, 4]
    assert (code, envelope["exit_code"], envelope["error"]["code"]) == (130, 130, "interrupted")


def test_an_export_goes_to_a_file_that_is_there_when_it_is_whole(database_url: str, tmp_path: Path) -> None:
    run_apart(_submit(database_url, 3))
    file = tmp_path / "events.csv"

    receipt = _run(database_url, "events", "export", "--format", "csv", "--output", str(file), "--json")
    streamed = _run(database_url, "events", "export", "--after", "2")

    assert answer_of(receipt.stdout) == {"archived": [], "events": 3, "position": 3, "output": str(file)}
    assert file.read_bytes().count(b"\r\n") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]
    assert [json.loads(line)["position"] for line in streamed.stdout.splitlines()] == [3]
    assert streamed.stderr == "1 events, up to position 3\n"


def test_an_audit_finds_what_people_did(database_url: str) -> None:
    task_id = run_apart(_cancelled_task(database_url, reason="called off"))
    run_apart(_pause(database_url))

    words = _run(database_url, "audit", "--actor", "boss", "--reason", "CALLED")
    shown = answer_of(_run(database_url, "audit", "--json", "--limit", "2", "--order", "oldest").stdout)
    queues = _run(database_url, "audit", "--source", "queue_changes")
    nothing = _run(database_url, "audit", "--task-id", UNKNOWN_ID)

    assert words.stdout.split("  ", 1)[1] == f"events  {task_id}  task.cancel_requested  boss: called off\n"
    assert [entry["act"] for entry in shown["entries"]] == ["task.submitted", "task.started"]
    assert shown["has_more"] is True
    assert queues.stdout.split("  ", 1)[1] == "queue_changes  mail  paused  boss: deploy\n"
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing was found\n")


def test_what_is_not_valid_or_not_there_is_told_with_its_exit_code(database_url: str, tmp_path: Path) -> None:
    refused = {
        ("task", "history", UNKNOWN_ID): (3, "Task not found"),
        ("events", "tail", "--type", "task.dreamt"): (2, "types.0 must be one of task.submitted, "),
        ("events", "tail", "--after", "-1"): (2, "after must be at least 0, got -1"),
        ("events", "export", "--format", "xml"): (2, "format must be one of 'ndjson' or 'csv', got 'xml'"),
        ("events", "export", "--output", str(tmp_path / "no" / "x")): (2, "--output must be a file that can be"),
        ("audit", "--since", "yesterday"): (2, "since must be an RFC 3339 time with its offset"),
        ("audit", "--source", "queue_changes", "--correlation-id", "x"): (2, "correlation_id must be absent for "),
    }

    for arguments, (code, sentence) in refused.items():
        result = _run(database_url, *arguments)
        assert result.exit_code == code
        assert result.stderr.startswith(f"taskledger: {sentence}")
    unreachable = _run("postgresql://127.0.0.1:1/nowhere", "events", "tail")
    assert unreachable.exit_code == 4


def _run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--database-url", database_url])


async def _submit(database_url: str, count: int) -> None:
    async with opened(database_url) as ledger:
        await submitted(ledger, count)


async def _cancelled_task(database_url: str, *, reason: str) -> str:
    async with opened(database_url) as ledger:
        (task_id,) = await submitted(ledger)
        await started(ledger, task_id, worker_id="w")
        origin = Origin(actor="boss", correlation_id="story")
        await ledger.commands.cancel(task_id, reason=reason, origin=origin)
    return str(task_id)


async def _pause(database_url: str) -> None:
    async with opened(database_url) as ledger:
        await pause(ledger.database, "mail", actor="boss", reason="deploy")
