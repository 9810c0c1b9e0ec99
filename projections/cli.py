"""The commands of the seen side: the projector as a process, and the read models in an operator's hands."""

import json
from typing import Annotated

import typer

from ledger.cli import DatabaseUrl
from ledger.process import run_command, run_role

app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False)
projections = typer.Typer(
    no_args_is_help=True, pretty_exceptions_show_locals=False, help="Look at, rebuild and verify the read models."
)
app.add_typer(projections, name="projections")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A projection's name, for example task_status.")]


@app.command()
def projector(database_url: DatabaseUrl = None) -> None:
    """Keep the read models up with the ledger."""
    from projections.commands import run_projector  # noqa: PLC0415 - keeps `--help` fast

    run_role(lambda stop: run_projector(stop, database_url=database_url))


@projections.command("list")
def list_projections(*, as_json: AsJson = False) -> None:
    """List the projections."""
    from projections.shipped import SHIPPED  # noqa: PLC0415 - keeps `--help` fast

    if as_json:
        shown = [{"name": one.name, "version": one.version, "tables": list(one.tables)} for one in SHIPPED]
        typer.echo(json.dumps({"projections": shown}))
        return
    for projection in SHIPPED:
        tables = ", ".join(projection.tables)
        typer.echo(f"{projection.name:<20} version {projection.version:<4} tables {tables}")


@projections.command()
def status(database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show how far each read model is behind the ledger."""
    from projections.commands import show_status  # noqa: PLC0415 - keeps `--help` fast

    run_command(show_status(database_url, as_json=as_json))


@projections.command()
def rebuild(name: Name, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Fold the whole ledger into a new read model and swap it in; readers, writers and projectors go on."""
    from projections.commands import run_rebuild  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_rebuild(name, database_url, as_json=as_json))


@projections.command()
def verify(name: Name, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Fold the ledger again and compare; exits with 1 where the read model differs, and says where."""
    from projections.commands import run_verify  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_verify(name, database_url, as_json=as_json))
