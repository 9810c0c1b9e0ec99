"""`taskledger task …`: all that can be asked about tasks and done to them; several modules have a part of it."""

from typing import Annotated
from uuid import UUID

import typer

from api.past_commands import task as then
from api.read_model_commands import timeline
from api.task_commands import task as acts
from api.watch_commands import watch
from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(no_args_is_help=True, help="Look at tasks, retry them, cancel them.")

TaskId = Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")]


@app.command()
def explain(
    task_id: TaskId,
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say why a task is not running, how it runs, or why it ended."""
    from api.explain import run_explain  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_explain(task_id, database_url=database_url, as_json=as_json))


app.command()(watch)


@app.command()
def history(
    task_id: TaskId,
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show every event of a task, oldest first: what happened, when, by whom and why."""
    from api.history import run_history  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_history(task_id, database_url=database_url, as_json=as_json))


app.add_typer(then)
app.add_typer(acts)
app.command()(timeline)
