"""The commands of the archives: `taskledger archive …`."""

from pathlib import Path
from typing import Annotated

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Take finished months out of the log into files that the seals prove, and bring them back.",
)

MonthText = Annotated[str, typer.Argument(metavar="MONTH", help="Like 2026-05.")]
What = Annotated[
    str, typer.Argument(metavar="FILE|MONTH", help="The file of an archive, or a month like 2026-05.")
]
Directory = Annotated[
    Path,
    typer.Option("--directory", metavar="DIR", help="Where the files of the archives are.", show_default=True),
]


@app.command("list")
def list_all(
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the months: what they amount to, and whether they are open, finished, detached or archived."""
    from ledger.archive.commands import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(database_url, as_json=as_json))


@app.command()
def detach(
    month: MonthText, database_url: DatabaseUrl = None, *, directory: Directory = Path(), as_json: AsJson = False
) -> None:
    """Export a finished month, prove the file, and take the month out of the log; its table is kept beside it."""
    from ledger.archive.commands import run_detach  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_detach(month, directory=directory, database_url=database_url, as_json=as_json))


@app.command()
def export(
    month: MonthText,
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a month to a file and prove it by the seals; the month stays where it is."""
    from ledger.archive.commands import run_export  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_export(month, output=output, database_url=database_url, as_json=as_json))


@app.command()
def attach(what: What, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Bring a month back into the log: from the table beside it, or else from its file."""
    from ledger.archive.commands import run_attach  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_attach(what, database_url=database_url, as_json=as_json))


@app.command()
def verify(
    what: What,
    database_url: DatabaseUrl = None,
    *,
    directory: Annotated[
        Path | None, typer.Option("--directory", metavar="DIR", help="Where the files of the archives are.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the file of a month, and its table where it is kept, by the seals; exits with 1 where either fails."""
    from ledger.archive.commands import run_verify  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_verify(what, directory=directory, database_url=database_url, as_json=as_json))


@app.command()
def drop(
    month: MonthText, database_url: DatabaseUrl = None, *, directory: Directory = Path(), as_json: AsJson = False
) -> None:
    """Give up the table of a detached month, after its file was proven once more; the file is all that is left."""
    from ledger.archive.commands import run_drop  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_drop(month, directory=directory, database_url=database_url, as_json=as_json))
