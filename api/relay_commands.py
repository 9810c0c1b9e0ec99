"""`taskledger relay status`: the options of the command; api.relay has what it does."""

from ledger.cli import relay
from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl, RabbitmqUrl


@relay.command()
def status(
    database_url: DatabaseUrl = None,
    rabbitmq_url: RabbitmqUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show who publishes and who stands by, how far behind the log that is, and what lies in the broker."""
    from api.relay import run_status  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_status(database_url, rabbitmq_url, as_json=as_json))
