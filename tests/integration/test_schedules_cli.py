"""`taskledger schedules` does what the API does, in lines or as JSON, and its exit codes say what went wrong."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE

import pytest

from ledger.process import ExitCode


async def test_a_schedule_lives_on_the_command_line(database_url: str) -> None:
    made = json.loads(
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

    assert (made["task"]["input"], made["task"]["priority"], made["task"]["tags"]) == ({"of": 1}, 7, ["a", "b"])
    assert made["next_fire_at"].endswith(("00:30:00Z", "01:30:00Z"))
    assert " ".join(paused.split()) == "nightly 30 2 * * * Europe/Berlin report paused"
    assert fired.startswith("fired nightly at ")
    assert "overlap       skip\n" in shown
    assert "fired_by_hand " in shown
    assert " by user:" in shown
    assert ": maintenance\n" in shown
    assert [one["name"] for one in json.loads(listed)["schedules"]] == ["nightly"]
    assert removed == "removed nightly\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("show", "nightly"), ExitCode.NOT_FOUND, "there is no schedule 'nightly'"),
        (("set", "nightly", "--cron", "61 * * * *"), ExitCode.USAGE, "cron must be a cron expression of 5 fields"),
        (("set", "nightly", "--cron", "* * * * *", "--input", "{"), ExitCode.USAGE, "--input must be JSON, for"),
        (("set", "n", "--cron", "* * * * *", "--backfill", "x"), ExitCode.USAGE, "backfill must be one of 'none'"),
    ],
)
async def test_what_goes_wrong_is_one_sentence_and_an_exit_code(
    database_url: str, arguments: tuple[str, ...], code: ExitCode, sentence: str
) -> None:
    returncode, output, errors = await _run(database_url, *arguments)

    assert (returncode, output) == (code, "")
    assert errors.startswith(f"taskledger: {sentence}")
    assert len(errors.splitlines()) == 1


async def _command(database_url: str, *arguments: str) -> str:
    returncode, output, errors = await _run(database_url, *arguments)
    assert returncode == 0, errors
    return output


async def _run(database_url: str, *arguments: str) -> tuple[int | None, str, str]:
    command = [sys.executable, "-m", "api", "schedules", *arguments, "--database-url", database_url]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()
