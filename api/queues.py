"""`taskledger queues list`: the queues on a terminal."""

import typer

from api.json_response import to_json
from ledger.bootstrap import open_ledger
from ledger.roles import start_up
from ledger.settings import load_settings
from ledger.work_queues import list_queues


async def run_list(database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each queue, or what the API answers."""
    async with open_ledger(start_up(load_settings(database_url=database_url), role="queues")) as ledger:
        queues = await list_queues(ledger)
    if as_json:
        typer.echo(to_json({"queues": queues}).decode())
        return
    for one in queues:
        counts = f"{one.ready} ready, {one.waiting} waiting, {one.running} running"
        typer.echo(f"{one.name:<20} {counts}, {one.live_workers} live workers")
    if not queues:
        typer.echo("no queue has unfinished tasks or live workers")
