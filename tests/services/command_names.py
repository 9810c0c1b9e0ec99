"""Every command of the command line, imported."""

from collections.abc import Iterator, Mapping
from functools import cache

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from api.cli import app
from api.later import Later


@cache
def every_command() -> Mapping[str, TyperCommand]:
    """Return every command by the words that name it."""
    return dict(_below(get_command(app), ()))


@cache
def commands_with(option: str) -> frozenset[str]:
    """Return the names of the commands that have an option."""
    found = (name for name, command in every_command().items() if option in options_of(command))
    return frozenset(found)


def options_of(command: TyperCommand) -> set[str]:
    """Return the options of a command, as they are typed."""
    return {option for parameter in command.params for option in parameter.opts}


def _below(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, Later):
        yield from _below(command.load(), path)
    elif isinstance(command, TyperCommand):
        yield " ".join(path), command
    elif isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from _below(one, (*path, name))
