"""`taskledger schedules` does what the API does, in lines or as JSON, and its exit codes say what went wrong."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from ledger.exit_codes import ExitCode
from tests.integration.commands_given import answer_of


async def test_a_schedule_lives_on_the_command_line(database_url: str) -> None:
    made = answer_of(
        await _command(
            database_url, "set", "nightly", "--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--kind",
            "report", "--input", '{"of": 1}', "--priority", "7", "--tag", "a", "--tag", "b", "--overlap", "skip",
            "--reason", "new", "--json",
        )
    )  # fmt: skip
    paused, fired = await asyncio.gather(
        _command(database_url, "pause", "nightly", "--reason", "maintenance"),
        _command(database_url, "fire", "nightly"),
    )
    shown, listed = await asyncio.gather(
        _command(database_url, "show", "nightly"), _command(database_url, "list", "--json")
    )
    removed = await _command(database_url, "remove", "nightly")
    changes = await _command(database_url, "changes", "nightly")

    assert (made["task"]["input"], made["task"]["priority"], made["task"]["tags"]) == ({"of": 1}, 7, ["a", "b"])
    assert made["next_fire_at"].endswith(("00:30:00Z", "01:30:00Z"))
    assert " ".join(paused.split()) == "nightly 30 2 * * * Europe/Berlin report paused"
    assert fired.startswith("fired nightly at ")
    assert "overlap       skip\n" in shown
    assert "fired_by_hand " in shown
    assert changes.count(" by cli:") == 4
    assert ": maintenance\n" in changes
    assert [one["name"] for one in answer_of(listed)["schedules"]] == ["nightly"]
    assert removed == "removed nightly\n"


async def test_what_an_app_declares_is_applied_and_a_pause_outlives_it(database_url: str, tmp_path: Path) -> None:
    source = """
from worker.registry import task_handler
from worker.scheduled import scheduled
from tests.integration.commands_given import answer_of

@scheduled("0 {hour} * * *")
@task_handler("report.daily")
def report(value): return value
"""
    for app, hour in (("app_of_may", 2), ("app_of_june", 9)):
        (tmp_path / f"{app}.py").write_text(source.format(hour=hour))

    first = await _command(database_url, "apply", "--app", "app_of_may", folder=tmp_path)
    await _command(database_url, "pause", "report-daily")
    second = answer_of(await _command(database_url, "apply", "--app", "app_of_june", "--json", folder=tmp_path))

    assert first.startswith("report-daily         0 2 * * * ")
    assert [(one["cron"], one["paused"]) for one in second["schedules"]] == [("0 9 * * *", True)]


WRONG = (
    (("show", "nightly"), ExitCode.NOT_FOUND, "there is no schedule 'nightly'"),
    (("set", "nightly", "--cron", "61 * * * *"), ExitCode.USAGE, "cron must be a cron expression of 5 fields"),
    (("set", "nightly", "--cron", "* * * * *", "--input", "{"), ExitCode.USAGE, "--input must be JSON, for"),
    (("set", "n", "--cron", "* * * * *", "--backfill", "x"), ExitCode.USAGE, "backfill must be one of 'none'"),
)


async def test_what_goes_wrong_is_one_sentence_and_an_exit_code(database_url: str) -> None:
    answers = await asyncio.gather(*(_run(database_url, *arguments) for arguments, _, _ in WRONG))

    for (returncode, output, errors), (_, code, sentence) in zip(answers, WRONG, strict=True):
        assert (returncode, output) == (code, "")
        assert errors.startswith(f"taskledger: {sentence}")
        assert len(errors.splitlines()) == 1


async def _command(database_url: str, *arguments: str, folder: Path | None = None) -> str:
    returncode, output, errors = await _run(database_url, *arguments, folder=folder)
    assert returncode == 0, errors
    return output


async def _run(database_url: str, *arguments: str, folder: Path | None = None) -> tuple[int | None, str, str]:
    path = os.pathsep.join(str(entry) for entry in (folder, os.environ.get("PYTHONPATH")) if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "api", "schedules", *arguments, "--database-url", database_url]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment)
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()
