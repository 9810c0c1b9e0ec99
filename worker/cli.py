"""The worker's command."""

from typing import Annotated

import typer

from ledger.command_line import run_role
from ledger.options import DatabaseUrl, RabbitmqUrl

app = typer.Typer(pretty_exceptions_show_locals=False)


@app.command()
def worker(  # noqa: PLR0913 - an option each
    *,
    apps: Annotated[
        list[str] | None,
        typer.Option("--app", help="A module with your handlers; may be given again (LEDGER_APPS, by commas)."),
    ] = None,
    queues: Annotated[
        list[str] | None,
        typer.Option("--queue", help="A queue to serve; may be given again (LEDGER_WORKER_QUEUES, by commas)."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(envvar="LEDGER_WORKER_CONCURRENCY", show_envvar=True, help="How many tasks run at once."),
    ] = None,
    prefetch: Annotated[
        int | None,
        typer.Option(
            envvar="LEDGER_WORKER_PREFETCH", show_envvar=True, help="How many messages wait here for their turn."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            envvar="LEDGER_WORKER_NAME", show_envvar=True, help="What people know it by; host:pid if absent."
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    rabbitmq_url: RabbitmqUrl = None,
) -> None:
    """Run tasks. SIGTERM lets them finish (LEDGER_SHUTDOWN_GRACE_SECONDS), a second one does not."""
    from worker.process import run_worker  # noqa: PLC0415 - keeps `--help` fast

    overrides = {
        "worker_apps": tuple(apps) if apps else None,
        "worker_queues": tuple(queues) if queues else None,
        "worker_concurrency": concurrency,
        "worker_prefetch": prefetch,
        "worker_name": name,
        "database_url": database_url,
        "rabbitmq_url": rabbitmq_url,
    }
    run_role(lambda stop: run_worker(stop, overrides))
