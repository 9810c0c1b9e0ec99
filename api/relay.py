"""What `taskledger relay status` does: the relay and the broker on a terminal."""

import typer

from api.json_response import timestamp
from api.terminal import answer_json
from ledger.bootstrap import broker_to_look_at, open_ledger
from ledger.relay_status import BrokerStatus, Candidate, RelayStatus, broker_status, relay_status
from ledger.roles import start_up
from ledger.settings import load_settings


async def run_status(database_url: str | None, rabbitmq_url: str | None, *, as_json: bool) -> None:
    """Print who publishes, how far behind the log, and what lies in the broker; or what the API answers."""
    settings = start_up(load_settings(database_url=database_url, rabbitmq_url=rabbitmq_url), role="relay_status")
    async with open_ledger(settings) as ledger, broker_to_look_at(settings) as broker:
        relay = await relay_status(ledger)
        seen = await broker_status(ledger, broker)
    if as_json:
        answer_json({"relay": relay, "broker": seen})
        return
    _print_relay(relay)
    _print_broker(seen)


def _print_relay(relay: RelayStatus) -> None:
    typer.echo(f"leader   {'nobody' if relay.leader is None else _named(relay.leader)}")
    for one in relay.standbys:
        typer.echo(f"standby  {_named(one)}")
    if not relay.standbys:
        typer.echo("standby  nobody")
    typer.echo(f"position {relay.checkpoint} of {relay.horizon}")
    typer.echo(f"lag      {relay.lag_events} events, {relay.lag_seconds:.1f} s")
    for shard in relay.shards if len(relay.shards) > 1 else ():
        leader = "nobody" if shard.leader is None else _named(shard.leader)
        lag = f"{shard.lag_events} events, {shard.lag_seconds:.1f} s"
        typer.echo(f"shard {shard.shard:<2} position {shard.checkpoint}, lag {lag}, led by {leader}")


def _print_broker(broker: BrokerStatus) -> None:
    if broker.is_reachable is None:
        typer.echo("broker   none is configured here (RABBITMQ_URL)")
        return
    if not broker.is_reachable:
        typer.echo(f"broker   out of reach: {broker.problem}")
        return
    typer.echo(f"broker   {broker.kind} {broker.version or ''}".rstrip())
    for one in broker.queues:
        typer.echo(f"  {one.name:<40} {one.messages:>8} messages  {one.consumers} consumers")
    if broker.queues_left_out:
        typer.echo(f"  … and {broker.queues_left_out} task queues more")


def _named(one: Candidate) -> str:
    since = "" if one.since is None else f", since {timestamp(one.since)}"
    address = "" if one.address is None else f" from {one.address}"
    return f"{one.process or 'a process'}{address} (backend {one.backend_pid}{since})"
