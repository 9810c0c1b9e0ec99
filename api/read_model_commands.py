"""`taskledger stats`, `failures …` and `task timeline`: their options; api.reports has what they do."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import typer

from api.gathered_options import Options, gathered
from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer()
failures = typer.Typer(no_args_is_help=True, help="Look at what goes wrong, the same trouble once.")


_FILTERS: Options = {
    "queue": (Annotated[str | None, typer.Option(help="Of this queue.")], None),
    "kind": (Annotated[str | None, typer.Option(help="Of tasks of this kind.")], None),
    "since": (Annotated[str | None, typer.Option(help="From this moment on (RFC 3339).")], None),
}
_SERIES: Options = {
    **_FILTERS,
    "until": (Annotated[str | None, typer.Option(help="Before this moment; now when absent.")], None),
    "step": (Annotated[int | None, typer.Option(help="Seconds from point to point: whole minutes.")], None),
}


@app.command()
@gathered("asked", _SERIES)
def stats(*, asked: Mapping[str, object], database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show throughput, failures and latencies: of the last hour, in total and step by step."""
    from api.reports import run_stats  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_stats(asked, database_url=database_url, as_json=as_json))


def timeline(
    task_id: Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")],
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show where the time of a task went, attempt by attempt."""
    from api.reports import run_timeline  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_timeline(task_id, database_url=database_url, as_json=as_json))


@failures.command("list")
@gathered("asked", _FILTERS)
def list_failures(
    *,
    asked: Mapping[str, object],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List what goes wrong, the latest first."""
    from api.reports import run_failures  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_failures(asked, limit=limit, database_url=database_url, as_json=as_json))


@failures.command()
def show(
    failure_id: Annotated[UUID, typer.Argument(metavar="ID", help="The id of the failure group.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one kind of trouble: its trend by the hour, and tasks that have it."""
    from api.reports import run_failure  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_failure(failure_id, database_url=database_url, as_json=as_json))
