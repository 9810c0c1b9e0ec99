"""`taskledger erase …` and `taskledger erasure …`: the options of the commands; api.erasure has what they do."""

from typing import Annotated
from uuid import UUID

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

erase = typer.Typer(no_args_is_help=True, help="Destroy the keys of what erasable tasks hold.")
erasure = typer.Typer(no_args_is_help=True, help="Look at an erasure by tag; put newer secrets around the keys.")

Why = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]


@erase.command("task")
def erase_task(
    task_id: Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")],
    database_url: DatabaseUrl = None,
    *,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Erase one finished task; its history, its statistics and its seals stay."""
    from api.erasure import run_erase  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_erase(task_id, reason=reason, database_url=database_url, as_json=as_json))


@erase.command("tag")
def erase_tag(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="All erasable tasks that have it.")],
    database_url: DatabaseUrl = None,
    *,
    reason: Why = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Order that all finished tasks with a tag be erased, by the scheduler."""
    from api.erasure import run_erase_tag  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_erase_tag(tag, reason=reason, dry_run=dry_run, database_url=database_url, as_json=as_json))


@erasure.command()
def show(
    order_id: Annotated[UUID, typer.Argument(metavar="ERASURE", help="The id of an erasure by tag.")],
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say how far an erasure by tag has come."""
    from api.erasure import run_show  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_show(order_id, database_url=database_url, as_json=as_json))


@erasure.command()
def rewrap(database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Wrap every key under the first secret of LEDGER_PAYLOAD_SECRET, so that the others can be destroyed."""
    from api.erasure import run_rewrap  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_rewrap(database_url=database_url, as_json=as_json))
