"""`taskledger dlq …`: the options of the commands; api.dlq has what they do."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import typer

from api.gathered_options import Options, gathered
from ledger.bulk_acts.pace import RATE_PER_S_MAX
from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(no_args_is_help=True, help="Look at dead letters, redrive them, discard them.")

LetterId = Annotated[
    UUID, typer.Argument(metavar="ID", help="The dead letter's id: a task's, or a message's letter.")
]
OneLetter = Annotated[UUID | None, typer.Argument(metavar="ID", help="One dead letter.")]
BulkId = Annotated[UUID, typer.Argument(metavar="BULK", help="The id of what is done about many dead letters.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]

# Options that several commands have: their types and defaults, by the names that the API has for them too.
_FILTERS: Options = {
    "kind": (Annotated[str | None, typer.Option(help="task, or message.")], None),
    "task_kind": (Annotated[str | None, typer.Option(help="Dead letters about tasks of this kind.")], None),
    "queue": (Annotated[str | None, typer.Option(help="Dead letters of this queue.")], None),
    "error_type": (Annotated[str | None, typer.Option(help="Tasks whose last error was of this type.")], None),
    "cause": (Annotated[str | None, typer.Option(help="error, timeout, worker_lost, parent, rejected, …")], None),
    "tags": (Annotated[list[str] | None, typer.Option("--tag", help="With this tag; may be given again.")], None),
    "died_after": (Annotated[str | None, typer.Option(help="Dead since this moment (RFC 3339), or later.")], None),
    "died_before": (Annotated[str | None, typer.Option(help="Dead before this moment.")], None),
}
_BULK: Options = {
    "everything": (Annotated[bool, typer.Option("--all", help="All that there are.")], False),
    "dry_run": (Annotated[bool, typer.Option("--dry-run", help="Only say how many, with a sample.")], False),
    "rate": (Annotated[int, typer.Option(min=1, max=RATE_PER_S_MAX, help="How many a second at most.")], 50),
    "limit": (Annotated[int | None, typer.Option(min=1, help="How many at most.")], None),
}


@app.command("list")
@gathered("asked", _FILTERS)
def list_letters(
    *,
    asked: Mapping[str, object],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, tasks and messages, newest first."""
    from api.dlq import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(asked, limit=limit, database_url=database_url, as_json=as_json))


@app.command()
def show(letter_id: LetterId, *, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show a dead letter: a message with headers and body, a task with error and history."""
    from api.dlq import run_show  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_show(letter_id, database_url=database_url, as_json=as_json))


@app.command()
@gathered("how", _BULK)
@gathered("asked", _FILTERS)
def redrive(
    letter_id: OneLetter = None,
    *,
    asked: Mapping[str, object],
    how: Mapping[str, Any],
    reason: Why = "",
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Redrive one dead letter now, or let the scheduler redrive all that a filter finds."""
    _act("redriven", letter_id, {**how, "asked": asked, "reason": reason}, database_url, as_json=as_json)


@app.command()
@gathered("how", _BULK)
@gathered("asked", _FILTERS)
def discard(
    letter_id: OneLetter = None,
    *,
    asked: Mapping[str, object],
    how: Mapping[str, Any],
    reason: Annotated[str, typer.Option("--reason", help="Why nothing more is to be done; needed.")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Set one dead letter aside as dealt with, or let the scheduler discard all that a filter finds."""
    _act("discarded", letter_id, {**how, "asked": asked, "reason": reason}, database_url, as_json=as_json)


@app.command()
def progress(bulk_id: BulkId, *, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show how far a redrive or a discard of many has come."""
    from api.dlq import run_progress  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_progress(bulk_id, database_url=database_url, as_json=as_json))


@app.command()
def cancel(bulk_id: BulkId, *, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Stop a redrive or a discard of many; what is done stays done."""
    from api.dlq import run_cancel  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_cancel(bulk_id, database_url=database_url, as_json=as_json))


def _act(
    act: str, letter_id: UUID | None, given: Mapping[str, Any], database_url: str | None, *, as_json: bool
) -> None:
    from api.dlq import run_act, run_bulk_act, run_sample  # noqa: PLC0415 - keeps `--help` fast
    from api.terminal import Ask  # noqa: PLC0415 - keeps `--help` fast

    ask = Ask(act=act, asked=given["asked"], rate=given["rate"], limit=given.get("limit"), reason=given["reason"])
    is_bulk = bool(ask.asked) or given["everything"] or given["dry_run"] or ask.limit is not None
    if letter_id is not None:
        if is_bulk:
            raise typer.BadParameter("an ID stands alone: no filter, no --all, no --dry-run, no --limit")
        run_command(run_act(letter_id, ask, database_url=database_url, as_json=as_json))
        return
    if not (ask.asked or given["everything"] or given["dry_run"]):
        raise typer.BadParameter("name an ID, a filter, or --all")
    run = run_sample if given["dry_run"] else run_bulk_act
    run_command(run(ask, database_url=database_url, as_json=as_json))
