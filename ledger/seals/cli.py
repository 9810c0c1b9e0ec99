"""The commands that prove: `taskledger verify`, `taskledger evidence`, `taskledger seals export`."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False)
seals = typer.Typer(
    no_args_is_help=True, pretty_exceptions_show_locals=False, help="Take the seals of the ledger elsewhere."
)
app.add_typer(seals, name="seals")

Against = Annotated[
    Path | None,
    typer.Option("--against", metavar="FILE", help="Seals that were exported before: compare with them."),
]


@app.command()
def verify(
    database_url: DatabaseUrl = None,
    *,
    from_position: Annotated[
        int, typer.Option("--from", min=0, help="Begin with the seal that covers this position.")
    ] = 0,
    against: Against = None,
    archives: Annotated[
        Path | None,
        typer.Option("--archive", metavar="DIR", help="Where the files of archived months are: prove these too."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE", help="Check the evidence of a task, without a database."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove the ledger against its seals; exits with 1 and names the first event that is not what was sealed."""
    from ledger.seals.commands import run_verify, run_verify_bundle  # noqa: PLC0415 - keeps `--help` fast

    if bundle is not None:
        run_command(run_verify_bundle(bundle, against=against, as_json=as_json))
        return
    run = run_verify(
        database_url, from_position=from_position, against=against, archives=archives, as_json=as_json
    )
    run_command(run)


@app.command()
def evidence(
    task_id: Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")],
    database_url: DatabaseUrl = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to write it; else standard output.")
    ] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="With the key that opens the payloads of an erasable task.")
    ] = False,
) -> None:
    """Write the events of a task with their proofs and seals, for `verify --bundle`."""
    from ledger.seals.commands import run_evidence  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_evidence(task_id, database_url=database_url, output=output, with_key=with_key))


@seals.command()
def export(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write them; - for standard output.")],
    database_url: DatabaseUrl = None,
    *,
    after: Annotated[int, typer.Option("--after", min=0, help="Only the seals after this number.")] = 0,
) -> None:
    """Write the seals, one JSON object a line, for `verify --against`."""
    from ledger.seals.commands import run_export_seals  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_export_seals(output, database_url=database_url, after=after))
