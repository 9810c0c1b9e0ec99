"""`taskledger up`, `api`, `doctor` and `version`: everything in one process, the API as one, and how they are."""

from pathlib import Path
from typing import Annotated

import typer

from ledger.command_line import run_command, run_role
from ledger.envelope import answer
from ledger.options import AsJson, DatabaseUrl, RabbitmqUrl
from projections.cli import Apps

app = typer.Typer()

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
    database_url: DatabaseUrl = None,
    rabbitmq_url: RabbitmqUrl = None,
    app_modules: Annotated[
        list[str] | None,
        typer.Option(
            "--app",
            help="A module with your handlers and projections; may be given again (LEDGER_APPS, by commas).",
        ),
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
    database_url: DatabaseUrl = None,
    rabbitmq_url: RabbitmqUrl = None,
    apps: Apps = None,
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
    database_url: DatabaseUrl = None,
    bound: Annotated[
        float | None,
        typer.Option("--bound", help="Seconds that a task or an event may wait before it is forgotten."),
    ] = None,
    as_json: AsJson = False,
    as_metrics: Annotated[
        bool, typer.Option("--metrics", help="Print a gauge a check, as Prometheus reads it.")
    ] = False,
    apps: Apps = None,
) -> None:
    """Check what must always hold; exit code 1 and the offending ids where something does not."""
    from api.doctor import Form, run_doctor  # noqa: PLC0415 - keeps `--help` fast

    form = Form.METRICS if as_metrics else Form.JSON if as_json else Form.TEXT
    run_command(run_doctor(database_url=database_url, bound_seconds=bound, form=form, apps=apps))


@app.command()
def version(*, as_json: AsJson = False) -> None:
    """Print the version."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - keeps `--help` fast

    number = version_of("task-ledger")
    if as_json:
        answer(f'{{"version":"{number}"}}'.encode())
    else:
        typer.echo(number)
