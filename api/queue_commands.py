"""`taskledger queues …`: the options of the commands; api.queues has what they do."""

from typing import Annotated

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(no_args_is_help=True, help="Look at the queues, pause them, and set what limits them.")

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue's name.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]


@app.command("list")
def list_queues(database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show how much is ready, waits, is held back and runs in each queue, and how many workers serve it."""
    from api.queues import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(database_url, as_json=as_json))


@app.command()
def show(name: Name, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show a queue and what is set for it."""
    from api.queues import run_show  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_show(name, database_url, as_json=as_json))


@app.command("set")
def set_queue(
    name: Name,
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE…",
            help="concurrency_max, key_concurrency_max, rate_max with rate_s, key_rate_max with key_rate_s, "
            "fair=true, weights.TENANT.",
        ),
    ],
    database_url: DatabaseUrl = None,
    *,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Set everything that may be set for a queue: what is not given has no bound afterwards."""
    from api.queues import run_set  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_set(name, settings, database_url, reason=reason, as_json=as_json))


@app.command()
def reset(name: Name, database_url: DatabaseUrl = None, *, reason: Why = "", as_json: AsJson = False) -> None:
    """Take away all that is set for a queue; a pause stays as it is."""
    from api.queues import run_reset  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_reset(name, database_url, reason=reason, as_json=as_json))


@app.command()
def pause(name: Name, database_url: DatabaseUrl = None, *, reason: Why = "", as_json: AsJson = False) -> None:
    """Let no task of a queue start until it is resumed; what runs goes on."""
    from api.queues import run_pause  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_pause(name, database_url, reason=reason, as_json=as_json))


@app.command()
def resume(name: Name, database_url: DatabaseUrl = None, *, reason: Why = "", as_json: AsJson = False) -> None:
    """Let tasks of a queue start again."""
    from api.queues import run_resume  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_resume(name, database_url, reason=reason, as_json=as_json))


@app.command()
def drain(
    name: Name,
    database_url: DatabaseUrl = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Return when none of its tasks runs any more.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, max=86_400, help="Seconds to --wait at most; then the exit code is 6.")
    ] = 300,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Pause a queue, and say how many of its tasks still run or wait until none does."""
    from api.queues import run_drain  # noqa: PLC0415 - keeps `--help` fast

    wait_seconds = timeout if wait else None
    run_command(run_drain(name, database_url, wait_seconds=wait_seconds, reason=reason, as_json=as_json))


@app.command()
def changes(
    name: Name,
    database_url: DatabaseUrl = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed what is set for a queue, when and why, newest first."""
    from api.queues import run_changes  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_changes(name, database_url, limit=limit, as_json=as_json))
