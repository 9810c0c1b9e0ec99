"""The whole command line: what it offers, and that a program can read whatever it prints."""

from collections.abc import Iterator

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from api.cli import app

# These run until they are stopped.
_ROLES = {"up", "api", "relay", "scheduler", "projector", "worker"}
# What these print is JSON, or what they write is a file's content, whatever is asked for.
_ALWAYS_JSON = {"config show", "evidence", "seals export"}


def test_a_program_can_read_whatever_a_command_prints() -> None:
    mute = [name for name, command in _commands() if "--json" not in _options(command)]

    assert set(mute) == (_ROLES | _ALWAYS_JSON) - {"relay"}


def test_operators_have_a_command_for_what_the_api_offers_them() -> None:
    names = {name for name, _ in _commands()}

    assert names >= {
        "workers list", "workers show", "workers drain", "workers resume", "workers changes", "worker",
        "relay status", "task list", "task retry", "task cancel", "bulk-acts list", "bulk-acts show",
        "bulk-acts cancel", "dlq list", "queues list", "schedules list",
    }  # fmt: skip


@pytest.mark.parametrize("arguments", [["relay", "--help"], ["relay", "status", "--help"]])
def test_the_relay_is_a_role_and_can_be_asked(arguments: list[str]) -> None:
    shown = CliRunner().invoke(app, arguments)

    assert shown.exit_code == 0
    assert "--rabbitmq-url" in shown.output


def test_the_version_is_told_to_a_program() -> None:
    assert CliRunner().invoke(app, ["version", "--json"]).stdout.startswith('{"version":"')


def _commands() -> Iterator[tuple[str, TyperCommand]]:
    yield from _below(get_command(app), ())


def _below(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperCommand):
        yield " ".join(path), command
    if isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from _below(one, (*path, name))


def _options(command: TyperCommand) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}
