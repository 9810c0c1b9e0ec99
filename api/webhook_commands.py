"""`taskledger webhooks …`: the options of the commands; api.webhooks has what they do."""

from typing import Annotated

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(no_args_is_help=True, help="Send events to HTTP endpoints, signed, and look after them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The webhook's name.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]
Word = Annotated[str | None, typer.Option(help="Only events with exactly this.")]


@app.command("set")
def set_webhook(  # noqa: PLR0913 - an option for each field
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events go.")],
    database_url: DatabaseUrl = None,
    *,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only these events; may be repeated.")] = None,
    kind: Word = None,
    queue: Word = None,
    actor: Word = None,
    correlation_id: Word = None,
    batch_max: Annotated[int, typer.Option(help="More than 1: up to so many events in an array.")] = 1,
    start: Annotated[str, typer.Option(help="Of a new one: now, beginning, or a position.")] = "now",
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Make a webhook, or replace what is set for it; the secret of a new one is printed, this once."""
    from api.webhooks import run_set  # noqa: PLC0415 - keeps `--help` fast

    words = {"types": types, "kind": kind, "queue": queue, "actor": actor, "correlation_id": correlation_id}
    where = int(start) if start.isascii() and start.isdecimal() else start
    fields = {"url": url, "filter": words, "batch_max": batch_max, "start": where, "reason": reason}
    run_command(run_set(name, fields, database_url, as_json=as_json))


@app.command("list")
def list_webhooks(database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show every webhook, and in words where it stands."""
    from api.webhooks import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(database_url, as_json=as_json))


@app.command()
def show(name: Name, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show a webhook, and in words where it stands."""
    from api.webhooks import run_show  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_show(name, database_url, as_json=as_json))


@app.command()
def pause(name: Name, database_url: DatabaseUrl = None, *, reason: Why = "", as_json: AsJson = False) -> None:
    """Send no more events until it is resumed."""
    from api.webhooks import run_turn  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_turn(name, database_url, paused=True, reason=reason, as_json=as_json))


@app.command()
def resume(name: Name, database_url: DatabaseUrl = None, *, reason: Why = "", as_json: AsJson = False) -> None:
    """Go on where it stands; this is also how a failing one goes on."""
    from api.webhooks import run_turn  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_turn(name, database_url, paused=False, reason=reason, as_json=as_json))


@app.command()
def skip(
    name: Name,
    event_id: Annotated[str, typer.Argument(metavar="EVENT", help="TASK_ID:VERSION of the event that is next.")],
    database_url: DatabaseUrl = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")],
    as_json: AsJson = False,
) -> None:
    """Leave out the event that is next."""
    from api.webhooks import run_skip  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_skip(name, event_id, database_url, reason=reason, as_json=as_json))


@app.command()
def rotate(
    name: Name,
    database_url: DatabaseUrl = None,
    *,
    overlap: Annotated[float | None, typer.Option(help="Seconds that the secret before signs as well.")] = None,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Sign with a new secret, which is printed, this once."""
    from api.webhooks import run_rotate  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_rotate(name, database_url, overlap_seconds=overlap, reason=reason, as_json=as_json))


@app.command("test")
def ping(name: Name, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Have a signed ping sent; `deliveries` says what became of it."""
    from api.webhooks import run_test  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_test(name, database_url, as_json=as_json))


@app.command()
def deliveries(
    name: Name,
    database_url: DatabaseUrl = None,
    *,
    outcome: Annotated[str | None, typer.Option(help="queued, delivered, failed or skipped.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was sent and what was answered, newest first."""
    from api.webhooks import run_deliveries  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_deliveries(name, database_url, outcome=outcome, limit=limit, as_json=as_json))


@app.command()
def redeliver(
    name: Name,
    delivery_id: Annotated[int, typer.Argument(metavar="ID", help="The delivery's id.")],
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Have a delivery sent once more, under the same webhook-id."""
    from api.webhooks import run_redeliver  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_redeliver(name, delivery_id, database_url, as_json=as_json))


@app.command()
def delete(name: Name, database_url: DatabaseUrl = None, *, reason: Why = "", as_json: AsJson = False) -> None:
    """Remove a webhook with its secrets; its log and its changes stay."""
    from api.webhooks import run_delete  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_delete(name, database_url, reason=reason, as_json=as_json))
