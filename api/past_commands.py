"""`taskledger task show|diff` and `taskledger ledger …`: their options; api.past has what they do."""

from typing import Annotated
from uuid import UUID

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

task = typer.Typer(no_args_is_help=True)
ledger = typer.Typer(no_args_is_help=True, help="Look at the whole ledger, as it is or as it was.")

TaskId = Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")]
Since = Annotated[str, typer.Option("--from", metavar="TIME", help="The earlier moment (RFC 3339, with offset).")]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="The later moment; now when absent.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="As it was at this moment (RFC 3339, with offset).")
]


@task.command("show")
def show_task(
    task_id: TaskId,
    *,
    as_of: AsOf = None,
    version: Annotated[int | None, typer.Option("--version", help="As it was after so many events.")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show everything known about a task, as it is or as it was."""
    from api.past import run_task  # noqa: PLC0415 - keeps `--help` fast

    asked = {"as_of": as_of, "as_of_version": version}
    run_command(run_task(task_id, asked, database_url=database_url, as_json=as_json))


@task.command("diff")
def diff_task(
    task_id: TaskId,
    *,
    since: Since,
    until: Until = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show which fields of a task are not what they were."""
    from api.past import run_task_diff  # noqa: PLC0415 - keeps `--help` fast

    asked = {"from": since, "to": until}
    run_command(run_task_diff(task_id, asked, database_url=database_url, as_json=as_json))


@ledger.command("show")
def show_ledger(*, as_of: AsOf = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Count the tasks by status, queue and kind, as they are or as they were."""
    from api.past import run_ledger  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_ledger({"as_of": as_of}, database_url=database_url, as_json=as_json))


@ledger.command("diff")
def diff_ledger(
    *, since: Since, until: Until = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Count the tasks at two moments, and say how they moved in between."""
    from api.past import run_ledger_diff  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_ledger_diff({"from": since, "to": until}, database_url=database_url, as_json=as_json))
