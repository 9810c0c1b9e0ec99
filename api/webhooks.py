"""What `taskledger webhooks …` does: the same as the API, in lines for people or as the API's JSON."""

import json
from collections.abc import Mapping

import typer
from pydantic import ValidationError

from api.json_response import timestamp, to_json
from api.origin import terminal_actor
from api.terminal import answer_json, opened
from api.validation import sentence_of
from api.webhook_bodies import definition_of, deliveries_page, kept_body, listing_page, start_of, webhook_body
from api.webhook_schemas import Outcome, WebhookBody
from ledger.errors import ConfigurationError, InvalidValueError
from ledger.store.records import Origin
from ledger.webhooks.commands import Webhooks
from ledger.webhooks.delivery_log import DeliveryLog
from ledger.webhooks.rows import Delivery

_LISTED_MAX = 1000


async def run_set(name: str, fields: Mapping[str, object], database_url: str | None, *, as_json: bool) -> None:
    """Make or replace a webhook from the body that the API takes, and print it."""
    try:
        given = WebhookBody.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise ConfigurationError(sentence_of(error.errors(include_url=False))) from error
    async with opened(database_url, role="webhooks") as ledger:
        webhooks = Webhooks(ledger)
        kept = await webhooks.put(
            name, definition_of(given), start=start_of(given), reason=given.reason, origin=_origin()
        )
        _print(kept_body(kept, horizon=await webhooks.horizon()), as_json=as_json)


async def run_list(database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each webhook, or what the API answers."""
    async with opened(database_url, role="webhooks") as ledger:
        webhooks = Webhooks(ledger)
        horizon = await webhooks.horizon()
        found = await webhooks.list(after="", limit=_LISTED_MAX + 1)
    if as_json:
        _print(listing_page(found, limit=_LISTED_MAX, horizon=horizon), as_json=True)
        return
    for one in found:
        typer.echo(f"{one.name:<20} {one.state:<8} {webhook_body(one, horizon=horizon)['explanation']}")
    if not found:
        typer.echo("there are no webhooks")


async def run_show(name: str, database_url: str | None, *, as_json: bool) -> None:
    """Print a webhook."""
    async with opened(database_url, role="webhooks") as ledger:
        webhooks = Webhooks(ledger)
        body = webhook_body(await webhooks.find(name), horizon=await webhooks.horizon())
    _print(body, as_json=as_json)


async def run_turn(name: str, database_url: str | None, *, paused: bool, reason: str, as_json: bool) -> None:
    """Pause or resume a webhook, and print it."""
    async with opened(database_url, role="webhooks") as ledger:
        webhooks = Webhooks(ledger)
        turn = webhooks.pause if paused else webhooks.resume
        webhook = await turn(name, reason=reason, origin=_origin())
        _print(webhook_body(webhook, horizon=await webhooks.horizon()), as_json=as_json)


async def run_skip(name: str, event_id: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Leave out the next event, and print the webhook."""
    async with opened(database_url, role="webhooks") as ledger:
        webhooks = Webhooks(ledger)
        webhook = await webhooks.skip(name, event_id, reason=reason, origin=_origin())
        _print(webhook_body(webhook, horizon=await webhooks.horizon()), as_json=as_json)


async def run_rotate(
    name: str, database_url: str | None, *, overlap_seconds: float | None, reason: str, as_json: bool
) -> None:
    """Change the secret, and print it with the webhook."""
    async with opened(database_url, role="webhooks") as ledger:
        webhooks = Webhooks(ledger)
        kept = await webhooks.rotate(
            name, secret=None, overlap_seconds=overlap_seconds, reason=reason, origin=_origin()
        )
        _print(kept_body(kept, horizon=await webhooks.horizon()), as_json=as_json)


async def run_test(name: str, database_url: str | None, *, as_json: bool) -> None:
    """Ask for a ping, and print what is queued."""
    async with opened(database_url, role="webhooks") as ledger:
        _print_queued(await DeliveryLog(ledger).test(name, origin=_origin()), as_json=as_json)


async def run_redeliver(name: str, delivery_id: int, database_url: str | None, *, as_json: bool) -> None:
    """Ask for a delivery once more, and print what is queued."""
    async with opened(database_url, role="webhooks") as ledger:
        queued = await DeliveryLog(ledger).redeliver(name, delivery_id, origin=_origin())
    _print_queued(queued, as_json=as_json)


async def run_deliveries(
    name: str, database_url: str | None, *, outcome: str | None, limit: int, as_json: bool
) -> None:
    """Print a line for each delivery, newest first, or what the API answers."""
    if outcome is not None and outcome not in set(Outcome):
        raise InvalidValueError(field="--outcome", bound=f"one of {', '.join(Outcome)}", value=outcome)
    async with opened(database_url, role="webhooks") as ledger:
        found = await DeliveryLog(ledger).deliveries(name, before=None, outcome=outcome, limit=limit + 1)
    if as_json:
        answer_json(deliveries_page(found, limit=limit))
        return
    for one in found[:limit]:
        told = f" {one.status or ''} {one.error}".rstrip()
        typer.echo(f"{one.id:>8} {timestamp(one.recorded_at):<27} {one.kind} {one.message_id} {one.outcome}{told}")
    if not found:
        typer.echo(f"nothing is in the log of {name}")


async def run_delete(name: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Remove a webhook, and say so."""
    async with opened(database_url, role="webhooks") as ledger:
        await Webhooks(ledger).remove(name, reason=reason, origin=_origin())
    if as_json:
        answer_json({"name": name, "removed": True})
    else:
        typer.echo(f"removed {name}")


def _origin() -> Origin:
    return Origin(actor=terminal_actor())


def _print(body: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        answer_json(body)
        return
    for field, value in body.items():
        if value not in (None, "", {}):
            typer.echo(f"{field:<14} {value if isinstance(value, str) else to_json(value).decode()}")


def _print_queued(delivery: Delivery, *, as_json: bool) -> None:
    if as_json:
        answer_json(delivery)
    else:
        typer.echo(f"queued as delivery {delivery.id}")
