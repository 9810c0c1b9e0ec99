"""`taskledger task list|retry|cancel`, `taskledger bulk-acts …`: the options; api.task_acts has what they do."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer

from api.gathered_options import Options, gathered
from ledger.bulk_acts.pace import RATE_PER_S_DEFAULT, RATE_PER_S_MAX
from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

task = typer.Typer()
bulk_acts = typer.Typer(no_args_is_help=True, help="Look at what is done about many dead letters or tasks.")

Ids = Annotated[list[UUID] | None, typer.Argument(metavar="[ID]…", help="Tasks, by their ids.")]
BulkId = Annotated[UUID, typer.Argument(metavar="BULK", help="The id of a bulk act.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]

_FILTERS: Options = {
    "status": (Annotated[list[str] | None, typer.Option(help="In this state; may be given again.")], None),
    "kind": (Annotated[str | None, typer.Option(help="Of this kind.")], None),
    "queue": (Annotated[str | None, typer.Option(help="Of this queue.")], None),
    "tags": (Annotated[list[str] | None, typer.Option("--tag", help="With this tag; may be given again.")], None),
    "created_after": (
        Annotated[str | None, typer.Option(help="Submitted at this moment (RFC 3339) or later.")],
        None,
    ),
    "created_before": (Annotated[str | None, typer.Option(help="Submitted before this moment.")], None),
}
_AS_OF: Options = {
    "as_of": (Annotated[str | None, typer.Option(metavar="TIME", help="As they were at this moment.")], None),
}
_ERROR: Options = {
    "error_type": (Annotated[str | None, typer.Option(help="Whose last error was of this type.")], None),
}
_BULK: Options = {
    "everything": (Annotated[bool, typer.Option("--all", help="All to which it can be done.")], False),
    "dry_run": (Annotated[bool, typer.Option("--dry-run", help="Only say how many, with a sample.")], False),
    "rate": (
        Annotated[int, typer.Option(min=1, max=RATE_PER_S_MAX, help="How many a second at most.")],
        RATE_PER_S_DEFAULT,
    ),
    "limit": (Annotated[int | None, typer.Option(min=1, help="How many at most.")], None),
}


@task.command("list")
@gathered("asked", {**_FILTERS, **_AS_OF})
def list_tasks(
    *, asked: Mapping[str, object], limit: Limit = 50, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """List tasks, newest first."""
    from api.task_acts import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(asked, limit=limit, database_url=database_url, as_json=as_json))


@task.command()
@gathered("how", _BULK)
@gathered("asked", {**_FILTERS, **_ERROR})
def retry(
    task_ids: Ids = None,
    *,
    asked: Mapping[str, object],
    how: Mapping[str, Any],
    reason: Why = "",
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Retry tasks now, or let the scheduler retry all that a filter finds: FAILED ones, if no --status."""
    _act("retried", task_ids or (), {**how, "asked": asked, "reason": reason}, database_url, as_json=as_json)


@task.command()
@gathered("how", _BULK)
@gathered("asked", {**_FILTERS, **_ERROR})
def cancel(
    task_ids: Ids = None,
    *,
    asked: Mapping[str, object],
    how: Mapping[str, Any],
    reason: Why = "",
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Cancel tasks now, or let the scheduler cancel all that a filter finds: PENDING and RUNNING ones."""
    _act("cancelled", task_ids or (), {**how, "asked": asked, "reason": reason}, database_url, as_json=as_json)


@bulk_acts.command("list")
def list_bulk_acts(
    *,
    subject: Annotated[str | None, typer.Option(help="tasks, or dead_letters.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="running, done or cancelled; may be given again.")
    ] = None,
    limit: Limit = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the bulk acts, newest first, and how far each has come."""
    from api.task_acts import run_bulk_list  # noqa: PLC0415 - keeps `--help` fast

    asked = {"subject": subject, "state": state or []}
    run_command(run_bulk_list(asked, limit=limit, database_url=database_url, as_json=as_json))


@bulk_acts.command("show")
def show_bulk_act(bulk_id: BulkId, *, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show how far a bulk act has come."""
    from api.task_acts import run_bulk_show  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_bulk_show(bulk_id, database_url=database_url, as_json=as_json))


@bulk_acts.command("cancel")
def cancel_bulk_act(bulk_id: BulkId, *, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Stop a bulk act; what is done stays done."""
    from api.task_acts import run_bulk_cancel  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_bulk_cancel(bulk_id, database_url=database_url, as_json=as_json))


def _act(
    act: str, task_ids: Sequence[UUID], given: Mapping[str, Any], database_url: str | None, *, as_json: bool
) -> None:
    from api.task_acts import run_act, run_bulk_act, run_sample  # noqa: PLC0415 - keeps `--help` fast
    from api.terminal import Ask  # noqa: PLC0415 - keeps `--help` fast

    ask = Ask(act=act, asked=given["asked"], rate=given["rate"], limit=given.get("limit"), reason=given["reason"])
    is_bulk = bool(ask.asked) or given["everything"] or given["dry_run"] or ask.limit is not None
    if task_ids:
        if is_bulk:
            raise typer.BadParameter("IDs stand alone: no filter, no --all, no --dry-run, no --limit")
        run_command(run_act(task_ids, ask, database_url=database_url, as_json=as_json))
        return
    if not (ask.asked or given["everything"] or given["dry_run"]):
        raise typer.BadParameter("name IDs, a filter, or --all")
    run = run_sample if given["dry_run"] else run_bulk_act
    run_command(run(ask, database_url=database_url, as_json=as_json))
