"""Commands that are imported when they are run: until then they are a name and a line of help."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_group

from ledger.command_line import CommandLine, Group, name_variables


class Later(TyperCommand):
    """A command, or a group of them, that is imported when it is run.

    Args:
        name: its name.
        source: `module:app`, the Typer app that has a command of this name or is the group itself.
        line: what the help says of it before it is imported: the first line of what it says itself.
    """

    def __init__(self, name: str, *, source: str, line: str) -> None:
        super().__init__(name, help=line)
        self._name = name
        self._source = source

    def load(self) -> Any:  # noqa: ANN401 - a command or a group: what those are is inside of Typer
        """Import and return it."""
        module, _, app = self._source.partition(":")
        above = typer.Typer()
        above.add_typer(getattr(import_module(module), app), name=self.name, cls=Group)
        group = get_group(above).commands[self._name]
        own = getattr(group, "commands", {}).get(self._name, group)
        name_variables(own, (self._name,))
        return own

    def make_context(self, info_name: str | None, args: list[str], *how: Any, **extra: Any) -> Any:  # noqa: ANN401 - as Typer has it
        """Run through the words with the command itself, which the context then has."""
        return self.load().make_context(info_name, args, *how, **extra)


class LaterCommandLine(CommandLine):
    """A command line whose commands are imported when they are run.

    Attributes:
        sources: the name of each command, its source, and its line.
    """

    sources: Mapping[str, tuple[str, str]]

    def __init__(self, **how: Any) -> None:  # noqa: ANN401 - as Typer has it
        commands = {name: Later(name, source=source, line=line) for name, (source, line) in self.sources.items()}
        super().__init__(**{**how, "commands": commands})
