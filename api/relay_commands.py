"""`taskledger relay status`: the options of the command; api.relay has what it does."""

from typing import Annotated

import typer

from ledger.cli import DatabaseUrl, RabbitmqUrl
from ledger.process import run_command


def status(
    database_url: DatabaseUrl = None,
    rabbitmq_url: RabbitmqUrl = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show who publishes and who stands by, how far behind the log that is, and what lies in the broker."""
    from api.relay import run_status  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_status(database_url, rabbitmq_url, as_json=as_json))
