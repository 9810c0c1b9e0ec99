"""`taskledger events …` and `taskledger audit`: the options of the commands; api.history has what they do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from api.gathered_options import Options, gathered
from ledger.command_line import run_command
from ledger.options import AsJson, AsLines, DatabaseUrl

app = typer.Typer()
events = typer.Typer(no_args_is_help=True, help="Read the log over all tasks, follow it, export it.")


_FILTERS: Options = {
    "types": (Annotated[list[str] | None, typer.Option("--type", help="Of this type; may be given again.")], None),
    "kind": (Annotated[str | None, typer.Option(help="Of tasks of this kind.")], None),
    "queue": (Annotated[str | None, typer.Option(help="Of tasks of this queue.")], None),
    "actor": (Annotated[str | None, typer.Option(help="Decided by exactly this actor.")], None),
    "correlation_id": (Annotated[str | None, typer.Option(help="Of this story.")], None),
    "since": (Annotated[str | None, typer.Option(help="Recorded at this moment (RFC 3339), or later.")], None),
    "until": (Annotated[str | None, typer.Option(help="Recorded before this moment.")], None),
}
_FROM: Options = {
    "after": (Annotated[int | None, typer.Option(help="Only the events after this position.")], None),
}
_AUDITED: Options = {
    "source": (
        Annotated[
            str | None,
            typer.Option(help="events (the default), queue_changes, schedule_changes or dead_letter_acts."),
        ],
        None,
    ),
    "order": (Annotated[str | None, typer.Option(help="newest (the default) or oldest first.")], None),
    "task_id": (Annotated[str | None, typer.Option(help="About this task.")], None),
    "reason": (Annotated[str | None, typer.Option(help="Stands somewhere in the reason.")], None),
}


@events.command()
@gathered("asked", {**_FILTERS, **_FROM})
def tail(
    *,
    asked: Mapping[str, object],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events are appended.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=10_000, help="How many of the last ones; not with --after.")
    ] = 10,
    database_url: DatabaseUrl = None,
    as_json: AsLines = False,
) -> None:
    """Show the last events of all tasks, and with -f each one that follows; none is ever skipped."""
    from api.history import run_tail  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_tail(asked, lines=lines, is_followed=follow, database_url=database_url, as_json=as_json))


@events.command()
@gathered("asked", {**_FILTERS, **_FROM})
def export(
    *,
    asked: Mapping[str, object],
    written_as: Annotated[str, typer.Option("--format", help="ndjson or csv.")] = "ndjson",
    output: Annotated[Path | None, typer.Option("--output", help="The file; standard output when absent.")] = None,
    ciphertext: Annotated[
        bool, typer.Option("--ciphertext", help="Leave the payloads of erasable tasks encrypted.")
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Export the events of all tasks, up to where the log is complete now; a file is there when it is whole."""
    from api.history import run_export  # noqa: PLC0415 - keeps `--help` fast

    given = {**asked, "format": written_as, "ciphertext": ciphertext}
    run_command(run_export(given, output=output, database_url=database_url, as_json=as_json))


@app.command()
@gathered("asked", {**_FILTERS, **_AUDITED})
def audit(
    *,
    asked: Mapping[str, object],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search who did what, when and why, in the log and beside it."""
    from api.history import run_audit  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_audit(asked, limit=limit, database_url=database_url, as_json=as_json))
