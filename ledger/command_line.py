"""How a command line runs: how commands are run, the envelope, and a variable for each option.

Whatever is imported here is paid for by every `--help`, so it is next to nothing.
"""

import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from ledger.envelope import ended, enveloped
from ledger.errors import LedgerError
from ledger.exit_codes import ExitCode, exit_code

_PREFIX = "TASKLEDGER"
_OF_EVERY_COMMAND = {"--help", "--install-completion", "--show-completion"}


class Group(TyperGroup):
    """A group of commands that costs little on the way to one of them."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - the types are inside of Typer
        """Return the options; flags that are not given are False: to make that of None, Typer imports pydantic."""
        options = super().get_params(ctx)
        for option in options:
            if isinstance(option, TyperOption) and option.is_flag and option.default is None:
                option.default = False
        return options


class CommandLine(Group):
    """All commands of a program: it prints the envelope of whichever runs."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - the signature is Typer's
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - the signature is Typer's
        **extra: Any,  # noqa: ANN401 - the signature is Typer's
    ) -> Any:  # noqa: ANN401 - the signature is Typer's
        """Run the command that the words name; it always raises, and the exit code says how that went."""
        name_variables(self)
        with enveloped(sys.argv[1:] if args is None else args):
            return super().main(args, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)


def name_variables(command: TyperCommand | TyperGroup, path: Sequence[str] = ()) -> None:
    """Give each option of a command, and of all below it, the environment variable that is named after it.

    `--as-of` of `taskledger task show` is TASKLEDGER_TASK_SHOW_AS_OF. Where an option stands for a setting, that
    setting's own variable (DATABASE_URL, …) is the one. Several values are separated by blanks.
    """
    for option in command.params:
        if isinstance(option, TyperOption) and not _OF_EVERY_COMMAND & set(option.opts):
            option.envvar = option.envvar or _variable(option, path)
            option.show_envvar = True
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            if isinstance(below, TyperCommand | TyperGroup):
                name_variables(below, (*path, name))


def _variable(option: TyperOption, path: Sequence[str]) -> str:
    long = next(text for text in option.opts if text.startswith("--"))
    return "_".join((_PREFIX, *path, long.lstrip("-"))).replace("-", "_").upper()


def confirm(question: str) -> None:
    """Ask whether to go on, on standard error; whoever cannot be asked, or says no, does not go on."""
    if not sys.stdin.isatty():
        raise ended(ExitCode.USAGE, "nobody can be asked here: give --yes")
    if not typer.confirm(question, err=True):
        raise ended(ExitCode.FAILURE, "nothing was done: the answer was no")


def run_command(command: Coroutine[None, None, None]) -> None:
    """Run a command to its end; an error of ours becomes one sentence on standard error and an exit code."""
    from ledger.process import run  # noqa: PLC0415 - keeps `--help` fast

    try:
        run(command)
    except LedgerError as error:
        raise ended(exit_code(error), str(error)) from error
    except KeyboardInterrupt as error:
        raise ended(ExitCode.INTERRUPTED, "interrupted") from error


def run_role(role: Callable[..., Coroutine[None, None, None]]) -> None:
    """Run a role until it ends or SIGTERM or SIGINT asks it to stop; a second signal ends it at once.

    The role gets an event (asyncio.Event) that is set when it is asked; it then has to leave by itself.
    """
    from ledger.process import until_stopped  # noqa: PLC0415 - keeps `--help` fast

    run_command(until_stopped(role))
