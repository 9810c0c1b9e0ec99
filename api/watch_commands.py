"""`taskledger submit` and `taskledger task watch`: the options of the commands; api.watch has what they do."""

from typing import Annotated
from uuid import UUID

import typer

from ledger.command_line import run_command
from ledger.options import AsLines, DatabaseUrl

app = typer.Typer()

_SECONDS_MAX = 604_800
Timeout = Annotated[
    float | None,
    typer.Option(min=0, max=_SECONDS_MAX, help="Seconds to wait at most; then the exit code is 6."),
]


def watch(
    task_id: Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")],
    database_url: DatabaseUrl = None,
    *,
    timeout: Timeout = None,
    as_json: AsLines = False,
) -> None:
    """Print what happens to a task until it is finished; exit code 1 where it failed or was cancelled."""
    from api.watch import run_watch  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_watch(task_id, database_url, seconds_max=timeout, as_json=as_json))


@app.command()
def submit(  # noqa: PLR0913 - each is an option that users give by its name
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]…",
            help="What else POST /tasks takes, for example priority=7 delay_s=60 'tags=[\"nightly\"]'.",
        ),
    ] = None,
    *,
    database_url: DatabaseUrl = None,
    kind: Annotated[str | None, typer.Option(help="Which handler runs it.")] = None,
    queue: Annotated[str | None, typer.Option(help="Which workers get it.")] = None,
    task_input: Annotated[
        str, typer.Option("--input", help="What the handler gets: a JSON value; what is no JSON is text.")
    ] = "null",
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it is finished.")] = False,
    timeout: Timeout = None,
    as_json: AsLines = False,
) -> None:
    """Submit a task and print its id; with --wait the exit code is that of `task watch`."""
    from api.watch import run_submit  # noqa: PLC0415 - keeps `--help` fast

    named = {"kind": kind, "queue": queue, "input": task_input}
    given = [f"{name}={text}" for name, text in named.items() if text is not None]
    wait_seconds = (timeout or _SECONDS_MAX) if wait else None
    run_command(run_submit([*given, *(fields or ())], database_url, wait_seconds=wait_seconds, as_json=as_json))
