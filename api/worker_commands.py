"""`taskledger workers …`: the options of the commands; api.workers has what they do."""

from typing import Annotated
from uuid import UUID

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(no_args_is_help=True, help="Look at the workers, drain one, let it take again.")

WorkerId = Annotated[UUID, typer.Argument(metavar="ID", help="The worker's id.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the worker has done as it was asked.")]
Timeout = Annotated[
    float, typer.Option(min=0, max=86_400, help="Seconds to --wait at most; then the exit code is 6.")
]


@app.command("list")
def list_workers(
    database_url: DatabaseUrl = None,
    *,
    state: Annotated[
        list[str] | None, typer.Option(help="alive, draining, silent or stopped; may be given again.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Workers that serve this queue.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the workers that live, then those that have been gone for less than a day."""
    from api.workers import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(database_url, states=state or (), queue=queue, limit=limit, as_json=as_json))


@app.command()
def show(worker_id: WorkerId, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show a worker, and what runs in its name."""
    from api.workers import run_show  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_show(worker_id, database_url, as_json=as_json))


@app.command()
def drain(
    worker_id: WorkerId,
    database_url: DatabaseUrl = None,
    *,
    wait: Wait = False,
    timeout: Timeout = 300,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Let a worker take nothing new: it finishes what it runs, stays, and takes again when it is resumed."""
    from api.workers import run_drain  # noqa: PLC0415 - keeps `--help` fast

    wait_seconds = timeout if wait else None
    run_command(run_drain(worker_id, database_url, wait_seconds=wait_seconds, reason=reason, as_json=as_json))


@app.command()
def resume(
    worker_id: WorkerId,
    database_url: DatabaseUrl = None,
    *,
    wait: Wait = False,
    timeout: Timeout = 300,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Let a worker take tasks again."""
    from api.workers import run_resume  # noqa: PLC0415 - keeps `--help` fast

    wait_seconds = timeout if wait else None
    run_command(run_resume(worker_id, database_url, wait_seconds=wait_seconds, reason=reason, as_json=as_json))


@app.command()
def changes(
    worker_id: WorkerId,
    database_url: DatabaseUrl = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who drained and resumed a worker, when and why, newest first."""
    from api.workers import run_changes  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_changes(worker_id, database_url, limit=limit, as_json=as_json))
