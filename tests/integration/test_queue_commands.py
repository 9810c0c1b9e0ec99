"""`taskledger queues …`: an operator sets, pauses and drains queues, and the exit codes tell how it went."""

from typer.testing import CliRunner, Result

from api.cli import app
from tests.integration.commands_given import answer_of
from tests.integration.given import opened, started, submitted
from tests.services.postgres import run_apart


def test_what_is_set_is_printed_recorded_and_taken_away(database_url: str) -> None:
    words = _run(database_url, "set", "mail", "concurrency_max=3", "weights.acme=2", "--reason", "quota")
    shown = _run(database_url, "show", "mail", "--json")
    reset = _run(database_url, "reset", "mail")
    changes = _run(database_url, "changes", "mail")

    assert words.stdout == (
        "mail: open\n"
        "  0 ready, 0 waiting, 0 held back, 0 running, 0 let through, 0 live workers\n"
        "  concurrency_max: 3\n"
        '  weights: {"acme":2.0}\n'
    )
    assert answer_of(shown.stdout)["settings"]["weights"] == {"acme": 2}
    assert "concurrency_max" not in reset.stdout
    newest, oldest = changes.stdout.splitlines()
    assert newest.endswith(" reset")
    assert oldest.endswith(' set {"weights":{"acme":2.0},"concurrency_max":3}: quota')
    assert " cli" in oldest


def test_a_queue_is_paused_and_resumed(database_url: str) -> None:
    paused = _run(database_url, "pause", "mail", "--reason", "deploy")
    listed = _run(database_url, "list")
    resumed = _run(database_url, "resume", "mail", "--json")
    history = answer_of(_run(database_url, "changes", "mail", "--json").stdout)["changes"]

    assert paused.stdout.startswith("mail: paused (paused since ")
    assert listed.stdout.split() == [
        "mail", "paused,", "0", "ready,", "0", "waiting,", "0", "held", "back,", "0", "running,", "0", "live",
        "workers",
    ]  # fmt: skip
    assert answer_of(resumed.stdout)["state"] == "open"
    assert [(one["change"], one["reason"]) for one in history] == [("resumed", ""), ("paused", "deploy")]


def test_draining_an_idle_queue_succeeds_at_once(database_url: str) -> None:
    result = _run(database_url, "drain", "mail", "--wait")

    assert (result.exit_code, result.stdout.splitlines()[0][:13]) == (0, "mail: paused ")


def test_draining_a_queue_whose_task_runs_on_ends_in_time(database_url: str) -> None:
    run_apart(_start_a_task(database_url))

    at_once = _run(database_url, "drain", "mail", "--json")
    waited = _run(database_url, "drain", "mail", "--wait", "--timeout", "0.1")

    assert (at_once.exit_code, answer_of(at_once.stdout)["state"]) == (0, "draining")
    assert (waited.exit_code, waited.stderr) == (6, "taskledger: the queue mail is draining after 0.1 s\n")


def test_what_is_not_valid_is_told_and_ends_with_the_code_of_usage(database_url: str) -> None:
    refused = {
        ("set", "mail", "rate_max=5"): "rate_s must be given together with rate_max, got None",
        ("set", "mail", "colour=red"): "a setting must be SETTING=VALUE with one of ",
        ("pause", "Mail!"): "queue must be 1 to 64 characters",
        ("pause", "mail", "--reason", "x" * 1001): "reason must be 0 to 1000 characters",
        ("changes", "Mail!"): "queue must be 1 to 64 characters",
    }

    for arguments, sentence in refused.items():
        result = _run(database_url, *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"taskledger: {sentence}")
    assert _run(database_url, "changes", "mail").stdout == "nothing was ever set for the queue mail\n"


def _run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["queues", *arguments, "--database-url", database_url])


async def _start_a_task(database_url: str) -> None:
    async with opened(database_url) as ledger:
        (task_id,) = await submitted(ledger, queue="mail")
        await started(ledger, task_id)
