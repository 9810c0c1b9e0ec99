"""The commands of the seen side: the projector as a process, and the read models in an operator's hands."""

from collections.abc import Callable
from typing import Annotated

import typer

from ledger.command_line import CommandLine, confirm, run_command, run_role
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(cls=CommandLine, no_args_is_help=True, pretty_exceptions_show_locals=False)
projections = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Look at, rebuild, verify and reset the read models.",
)
app.add_typer(projections, name="projections")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A projection's name, for example task_status.")]


Apps = Annotated[
    list[str] | None,
    typer.Option("--app", help="A module with your projections; may be given again (LEDGER_APPS, by commas)."),
]


@app.command()
def projector(database_url: DatabaseUrl = None, apps: Apps = None) -> None:
    """Keep the read models up with the ledger, and carry out the runs that were asked for over HTTP."""
    from projections.commands import run_projector  # noqa: PLC0415 - keeps `--help` fast

    run_role(lambda stop: run_projector(stop, database_url=database_url, apps=apps))


@projections.command("list")
def list_projections(apps: Apps = None, *, as_json: AsJson = False) -> None:
    """List the projections: those that ship, those of installed packages, and an app's."""
    from projections.commands import show_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(_at_once(lambda: show_list(apps, as_json=as_json)))


@projections.command()
def status(database_url: DatabaseUrl = None, apps: Apps = None, *, as_json: AsJson = False) -> None:
    """Show how far each read model is behind the ledger, and why one does not go on."""
    from projections.commands import show_status  # noqa: PLC0415 - keeps `--help` fast

    run_command(show_status(database_url, apps, as_json=as_json))


@projections.command()
def rebuild(
    name: Name,
    database_url: DatabaseUrl = None,
    apps: Apps = None,
    *,
    without_archived: Annotated[
        bool,
        typer.Option("--without-archived", help="Lose the tasks of archived months whose tables were dropped."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fold the whole ledger into a new read model and swap it in; readers, writers and projectors go on."""
    from projections.commands import run_rebuild  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_rebuild(name, database_url, apps, without_archived=without_archived, as_json=as_json))


@projections.command()
def verify(name: Name, database_url: DatabaseUrl = None, apps: Apps = None, *, as_json: AsJson = False) -> None:
    """Fold the ledger again and compare; exits with 1 where the read model differs, and says where."""
    from projections.commands import run_verify  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_verify(name, database_url, apps, as_json=as_json))


@projections.command()
def reset(
    name: Name,
    database_url: DatabaseUrl = None,
    apps: Apps = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Empty the live read model and fold it again from position 0.

    Readers see an incomplete model meanwhile: `rebuild` does not have that fault.

    Refused while a rebuild or a verification runs.
    """
    from projections.commands import run_reset  # noqa: PLC0415 - keeps `--help` fast

    if not yes:
        confirm(f"Empty the read model {name}? Its readers see an incomplete one until it is folded again")
    run_command(run_reset(name, database_url, apps, as_json=as_json))


async def _at_once(command: Callable[[], None]) -> None:
    command()
