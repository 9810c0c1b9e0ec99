"""What `taskledger erase …` and `taskledger erasure …` do."""

from collections.abc import Mapping
from uuid import UUID

import typer
from pydantic import ValidationError

from api.erasure_shapes import ErasureRequest, erasure_body
from api.origin import terminal_actor
from api.terminal import answer_json, opened
from api.validation import sentence_of
from ledger.errors import ConfigurationError
from ledger.payloads.erasure import Erasure
from ledger.payloads.orders import ErasureOrder, ErasureOrders
from ledger.payloads.rewrapping import rewrap
from ledger.store.records import Origin


async def run_erase(task_id: UUID, *, reason: str, database_url: str | None, as_json: bool) -> None:
    """Erase one task and say so."""
    async with opened(database_url, role="erasure") as ledger:
        decided = await Erasure(ledger).erase(task_id, reason=reason, origin=Origin(actor=terminal_actor()))
    was = "erased" if decided.appended else "erased already"
    body = {"task_id": task_id, "status": decided.task.status, "version": decided.task.version}
    _print(body, f"{task_id} {was}", as_json=as_json)


async def run_erase_tag(tag: str, *, reason: str, dry_run: bool, database_url: str | None, as_json: bool) -> None:
    """Order an erasure by tag, or say how many tasks it would find."""
    try:
        asked = ErasureRequest(tag=tag, reason=reason, dry_run=dry_run)
    except ValidationError as error:
        raise ConfigurationError(sentence_of(error.errors(include_url=False))) from error
    async with opened(database_url, role="erasure") as ledger:
        orders = ErasureOrders(ledger)
        if dry_run:
            count = await orders.count(asked.tag)
            body = {"dry_run": True, "tag": asked.tag, "count": count}
            _print(body, f"{count} found, nothing erased: this is a dry run", as_json=as_json)
            return
        order = await orders.begin(asked.tag, reason=asked.reason, origin=Origin(actor=terminal_actor()))
    line = f"{order.found} found, to be erased by the scheduler: {order.order_id}"
    _print(erasure_body(order), line, as_json=as_json)


async def run_show(order_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print how far an erasure by tag has come."""
    async with opened(database_url, role="erasure") as ledger:
        order = await ErasureOrders(ledger).find(order_id)
    _print(erasure_body(order), _standing(order), as_json=as_json)


async def run_rewrap(*, database_url: str | None, as_json: bool) -> None:
    """Wrap every key under the newest secret."""
    async with opened(database_url, role="erasure") as ledger:
        count = await rewrap(ledger)
    _print({"rewrapped": count}, f"{count} keys rewrapped", as_json=as_json)


def _standing(order: ErasureOrder) -> str:
    left = f", {order.unfinished} left alone, unfinished" if order.unfinished else ""
    return f"{order.state}: {order.erased} erased{left}, {order.found} found"


def _print(body: Mapping[str, object], line: str, *, as_json: bool) -> None:
    if as_json:
        answer_json(body)
    else:
        typer.echo(line)
