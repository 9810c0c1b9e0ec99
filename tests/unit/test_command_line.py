"""The whole command line: what it offers, what it costs to ask, and the environment variable of each option."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command
from typer.testing import CliRunner

from api.cli import app
from api.later import Later
from ledger.settings import Settings, environment_name
from tests.services.command_names import commands_with, every_command

ROOT = Path(__file__).parents[2]
# These run until they are stopped.
_ROLES = {"up", "api", "scheduler", "projector", "worker"}
# What these write is a file's content, whatever is asked for.
_FILES = {"evidence", "seals export"}
# None of them is needed to say which commands there are.
_HEAVY = {
    "fastapi", "starlette", "pydantic", "pydantic_core", "asyncpg", "aio_pika", "structlog", "asyncio", "httpx",
    "orjson", "uvicorn", "uvloop", "jinja2", "cryptography", "eventsourcing", "prometheus_client", "sql",
}  # fmt: skip
_MODULES = """
import sys
from api.cli import main
try:
    main()
finally:
    print(*(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


def test_a_program_can_read_whatever_a_command_prints() -> None:
    assert every_command().keys() - commands_with("--json") == _ROLES | _FILES


def test_operators_have_a_command_for_what_the_api_offers_them() -> None:
    assert every_command().keys() >= {
        "workers list", "workers show", "workers drain", "workers resume", "workers changes", "worker",
        "relay status", "task list", "task retry", "task cancel", "bulk-acts list", "bulk-acts show",
        "bulk-acts cancel", "dlq list", "queues list", "schedules list",
    }  # fmt: skip


@pytest.mark.parametrize("arguments", [["relay", "--help"], ["relay", "status", "--help"]])
def test_the_relay_is_a_role_and_can_be_asked(arguments: list[str]) -> None:
    shown = CliRunner().invoke(app, arguments)

    assert shown.exit_code == 0
    assert "--rabbitmq-url" in shown.output


def test_nobody_is_told_of_a_pipe_that_is_read_no_more() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    command = [sys.executable, "-m", "api", "version", "--json"]
    told = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)

    assert (told.returncode, told.stderr) == (0, b"")


def test_the_version_is_told_to_a_program() -> None:
    told = CliRunner().invoke(app, ["version", "--json"]).stdout

    assert told.startswith('{"command":"version","ok":true,"exit_code":0,"data":{"version":"')


@pytest.mark.parametrize("words", [["--help"], ["task", "--help"], ["task", "show", "--help"]], ids=" ".join)
def test_help_imports_nothing_of_what_it_only_speaks_of(words: list[str]) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", _MODULES, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "Usage: " in asked.stdout
    assert _HEAVY & set(asked.stderr.split()) == set()


def test_a_shell_completes_commands_and_options_without_importing_the_others() -> None:
    script = _completed("source_bash", "")
    told = {words: _completed("complete_bash", words) for words in ("taskledger ta", "taskledger task show --as")}

    assert "_taskledger_completion" in script.stdout
    assert [one.stdout.split() for one in told.values()] == [["task"], ["--as-of"]]
    assert _HEAVY & set(told["taskledger ta"].stderr.split()) == set()


def test_the_help_says_of_each_command_what_it_says_of_itself() -> None:
    root = get_command(app)
    assert isinstance(root, TyperGroup)

    lines = {name: command.help for name, command in root.commands.items()}

    own = {name: command.load().help for name, command in root.commands.items() if isinstance(command, Later)}
    assert lines == {name: text.partition("\n\n")[0].replace("\n", " ") for name, text in own.items()}


def test_each_option_is_an_environment_variable_of_its_own_or_a_setting() -> None:
    settings = {environment_name(field) for field in Settings.model_fields} | {"LEDGER_URL", "LEDGER_API_KEY"}
    named: dict[str, str] = {}

    for name, command in every_command().items():
        for option in _options(command):
            assert isinstance(option.envvar, str), (name, option.opts)
            assert option.show_envvar, (name, option.opts)
            if option.envvar not in settings:
                assert option.envvar.startswith(f"TASKLEDGER_{name.upper().replace(' ', '_').replace('-', '_')}_")
                assert named.setdefault(option.envvar, name) == name
                assert not option.envvar.startswith("LEDGER_")

    assert len(named) > 150


def test_an_environment_variable_says_what_the_option_would() -> None:
    environment = {
        "TASKLEDGER_VERSION_JSON": "1",
        "TASKLEDGER_TASK_LIST_LIMIT": "0",
        "TASKLEDGER_TASK_LIST_JSON": "true",
    }
    environment |= {"TASKLEDGER_TASK_CANCEL_ALL": "1", "TASKLEDGER_WORKERS_LIST_STATE": "alive dead"}

    version = CliRunner().invoke(app, ["version"], env=environment)
    listed = CliRunner().invoke(app, ["task", "list"], env=environment)
    cancelled = CliRunner().invoke(
        app, ["task", "cancel", "01900000-0000-7000-8000-000000000000"], env=environment
    )
    workers = CliRunner().invoke(app, ["workers", "list"], env=environment)
    shown = CliRunner().invoke(app, ["task", "list", "--help"], env={"COLUMNS": "200"})

    assert version.stdout.startswith('{"command":"version","ok":true')
    assert listed.stdout.startswith('{"command":"task list","ok":false,"exit_code":2')
    assert "IDs stand alone" in cancelled.stderr
    assert "got 'dead'" in workers.stderr
    assert "TASKLEDGER_TASK_LIST_LIMIT" in shown.stdout


def _completed(instruction: str, words: str) -> subprocess.CompletedProcess[str]:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_TASKLEDGER_COMPLETE": instruction}
    code = f"import sys; sys.argv = ['taskledger']{_MODULES}"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={**os.environ, **asked}, capture_output=True, text=True, check=True,
    )  # fmt: skip


def _options(command: TyperCommand) -> list[TyperOption]:
    return [option for option in command.params if isinstance(option, TyperOption)]
