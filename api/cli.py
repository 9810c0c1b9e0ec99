"""The `taskledger` command: everything in one process, the API as a process, and every other folder's commands."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

import api.dlq_commands
import api.erasure_commands
import api.history_commands
import api.key_commands
import api.past_commands
import api.queue_commands
import api.read_model_commands
import api.schedule_commands
import api.watch_commands
import api.webhook_commands
import ledger.archive.cli
import ledger.cli
import ledger.seals.cli
import projections.cli
import worker.cli
from ledger.process import run_command, run_role

app = typer.Typer(
    name="taskledger",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold secrets
    help="An event-sourced task queue: submit over REST, run on workers, prove what happened.",
)

Host = Annotated[
    str | None, typer.Option("--host", envvar="LEDGER_HOST", show_envvar=True, help="Where to listen.")
]
Port = Annotated[
    int | None, typer.Option("--port", envvar="PORT", show_envvar=True, help="Where to listen; 0: any.")
]


@app.command()
def up(
    *,
    host: Host = None,
    port: Port = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", envvar="LEDGER_DATA_DIR", show_envvar=True, help="Where the own Postgres lives."
        ),
    ] = None,
    database_url: ledger.cli.DatabaseUrl = None,
    rabbitmq_url: ledger.cli.RabbitmqUrl = None,
    app_modules: Annotated[
        list[str] | None,
        typer.Option("--app", help="A module with your handlers and projections; may be given again."),
    ] = None,
) -> None:
    """Run everything in this one process; needs nothing else, uses what is configured."""
    from api.up import run_up  # noqa: PLC0415 - keeps `--help` fast

    overrides = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "database_url": database_url,
        "rabbitmq_url": rabbitmq_url,
        "worker_apps": tuple(app_modules) if app_modules else None,
    }
    run_role(lambda stop: run_up(stop, overrides))


@app.command("api")
def serve_api(
    *,
    host: Host = None,
    port: Port = None,
    database_url: ledger.cli.DatabaseUrl = None,
    rabbitmq_url: ledger.cli.RabbitmqUrl = None,
    apps: projections.cli.Apps = None,
) -> None:
    """Serve the HTTP API."""
    from api.process import run_api  # noqa: PLC0415 - keeps `--help` fast

    overrides = {
        "host": host,
        "port": port,
        "database_url": database_url,
        "rabbitmq_url": rabbitmq_url,
        "worker_apps": tuple(apps) if apps else None,
    }
    run_role(lambda stop: run_api(stop, overrides))


@app.command()
def doctor(
    *,
    database_url: ledger.cli.DatabaseUrl = None,
    bound: Annotated[
        float | None,
        typer.Option("--bound", help="Seconds that a task or an event may wait before it is forgotten."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_metrics: Annotated[
        bool, typer.Option("--metrics", help="Print a gauge a check, as Prometheus reads it.")
    ] = False,
    apps: projections.cli.Apps = None,
) -> None:
    """Check what must always hold; exit code 1 and the offending ids where something does not."""
    from api.doctor import Form, run_doctor  # noqa: PLC0415 - keeps `--help` fast

    form = Form.METRICS if as_metrics else Form.JSON if as_json else Form.TEXT
    run_command(run_doctor(database_url=database_url, bound_seconds=bound, form=form, apps=apps))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - keeps `--help` fast

    typer.echo(version_of("task-ledger"))


task = typer.Typer(no_args_is_help=True, help="Look at a task.")
app.add_typer(task, name="task")


@task.command()
def explain(
    task_id: Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")],
    database_url: ledger.cli.DatabaseUrl = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say why a task is not running, how it runs, or why it ended."""
    from api.explain import run_explain  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_explain(task_id, database_url=database_url, as_json=as_json))


task.command()(api.watch_commands.watch)
app.command()(api.watch_commands.submit)


@task.command()
def history(
    task_id: Annotated[UUID, typer.Argument(metavar="ID", help="The task's id.")],
    database_url: ledger.cli.DatabaseUrl = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show every event of a task, oldest first: what happened, when, by whom and why."""
    from api.history import run_history  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_history(task_id, database_url=database_url, as_json=as_json))


task.add_typer(api.past_commands.task)
task.command()(api.read_model_commands.timeline)
app.command()(api.read_model_commands.stats)
app.add_typer(api.read_model_commands.failures, name="failures")
app.add_typer(api.past_commands.ledger, name="ledger")
app.command()(api.history_commands.audit)
app.add_typer(api.history_commands.events, name="events")
app.add_typer(api.dlq_commands.app, name="dlq")
app.add_typer(api.erasure_commands.erase, name="erase")
app.add_typer(api.erasure_commands.erasure, name="erasure")
app.add_typer(api.queue_commands.app, name="queues")
app.add_typer(api.schedule_commands.app, name="schedules")
app.add_typer(api.key_commands.app, name="keys")
app.add_typer(api.webhook_commands.app, name="webhooks")
app.add_typer(ledger.archive.cli.app, name="archive")
app.add_typer(ledger.cli.app)
app.add_typer(ledger.seals.cli.app)
app.add_typer(projections.cli.app)
app.add_typer(worker.cli.app)


def main() -> None:
    """Run the command line."""
    app()
