"""`taskledger keys …`: the options of the commands; api.keys has what they do."""

from datetime import datetime
from typing import Annotated

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_show_locals=False, help="Make, rotate and revoke API keys."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name; events name it as key:NAME.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]


@app.command()
def create(  # noqa: PLR0913 - each is an option of its own
    name: Name,
    *,
    scopes: Annotated[
        list[str], typer.Option("--scope", help="read, submit, operate or admin; may be given again.")
    ],
    rate: Annotated[
        int | None, typer.Option("--rate", help="Requests a second that one API process answers it.")
    ] = None,
    expires_at: Annotated[
        datetime | None,
        typer.Option("--expires", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="When it ends, in UTC."),
    ] = None,
    reason: Why = "",
    as_json: AsJson = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key and print it, this once. From the first key on nobody gets in without one."""
    from api.keys import NewKey, run_create  # noqa: PLC0415 - keeps `--help` fast

    new = NewKey(name=name, scopes=tuple(scopes), rate_max=rate, expires_at=expires_at)
    run_command(run_create(new, database_url, reason=reason, as_json=as_json))


@app.command("list")
def list_keys(database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show every key, what it may do, and when it was last used."""
    from api.keys import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(database_url, as_json=as_json))


@app.command()
def rotate(
    name: Name,
    *,
    overlap: Annotated[
        float, typer.Option("--overlap", help="Seconds for which the old secret is good as well.")
    ] = 3600.0,
    reason: Why = "",
    as_json: AsJson = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a key a new secret and print it, this once."""
    from api.keys import run_rotate  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_rotate(name, database_url, overlap_seconds=overlap, reason=reason, as_json=as_json))


@app.command()
def revoke(name: Name, *, reason: Why = "", as_json: AsJson = False, database_url: DatabaseUrl = None) -> None:
    """Let nobody in with a key any more."""
    from api.keys import run_revoke  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_revoke(name, database_url, reason=reason, as_json=as_json))
