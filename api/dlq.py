"""`taskledger dlq …`: dead letters on a terminal."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import typer
from pydantic import ValidationError

from api.bulk_acts import bulk_act_body
from api.dead_letter_shapes import LetterFilter
from api.dead_letters import LetterShelf, sample_of, taken_body
from api.json_response import timestamp, to_json
from api.origin import terminal_actor
from api.terminal import Ask, answer_json, opened
from api.validation import sentence_of
from ledger.bulk_acts.bulk_act import BulkAct, BulkOrder
from ledger.bulk_acts.commands import BulkActs
from ledger.dead_letters.acts import DeadLetterActs
from ledger.dead_letters.letters import TOP, Act, DeadLetterFilter, ListedLetter
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import ConfigurationError

_REASON_CHARS_MAX = 80


async def run_list(asked: Mapping[str, object], *, limit: int, database_url: str | None, as_json: bool) -> None:
    """Print a line for each dead letter, or one JSON object."""
    letters = _letters(asked)
    async with opened(database_url, role="dlq") as ledger:
        found = await DeadLetterReader(ledger).page(letters, below=TOP, limit=limit + 1)
    page = found[:limit]
    if as_json:
        answer_json({"dead_letters": page, "has_more": len(found) > limit})
        return
    _print_letters(page)
    if not page:
        typer.echo("no dead letters")
    elif len(found) > limit:
        typer.echo(f"… and more: the newest {limit} are shown")


async def run_show(letter_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print everything that is known about a dead letter."""
    async with opened(database_url, role="dlq") as ledger:
        shown = await LetterShelf(ledger).show(letter_id)
    if as_json:
        answer_json(shown)
        return
    for name, value in shown.items():
        if isinstance(value, str):
            typer.echo(f"{name:<13} {value}")
        elif name == "history" and isinstance(value, list):
            for event in value:
                typer.echo(f"{name:<13} {to_json(event).decode()}")
        elif value is not None:
            typer.echo(f"{name:<13} {to_json(value).decode().strip(chr(34))}")


async def run_act(letter_id: UUID, ask: Ask, *, database_url: str | None, as_json: bool) -> None:
    """Redrive or discard one dead letter."""
    async with opened(database_url, role="dlq") as ledger:
        taken = await DeadLetterActs(ledger).act(Act(ask.act), letter_id, ask.intent)
    _print(taken_body(taken), f"{letter_id} {ask.act}", as_json=as_json)


async def run_sample(ask: Ask, *, database_url: str | None, as_json: bool) -> None:
    """Print how many dead letters a filter finds, and the newest of them."""
    letters = _letters(ask.asked)
    async with opened(database_url, role="dlq") as ledger:
        reader = DeadLetterReader(ledger)
        found = await sample_of(reader, letters, limit=ask.limit)
    if as_json:
        answer_json(found.as_dict())
        return
    _print_letters(found.sample)
    typer.echo(f"{found.count} found, nothing {ask.act}: this is a dry run")


async def run_bulk_act(ask: Ask, *, database_url: str | None, as_json: bool) -> None:
    """Record what is to be done about all that a filter finds; the scheduler works it off."""
    order = BulkOrder(
        act=Act(ask.act),
        chosen=_letters(ask.asked),
        intent=ask.intent,
        rate_per_s=ask.rate,
        limit=ask.limit,
    )
    async with opened(database_url, role="dlq") as ledger:
        bulk = await BulkActs(ledger).begin(order)
    pace = f"at most {bulk.rate_per_s} a second"
    line = f"{bulk.found} found, to be {bulk.act} by the scheduler, {pace}: {bulk.bulk_id}"
    _print(bulk_act_body(bulk), line, as_json=as_json)


async def run_progress(bulk_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print how far a bulk act has come."""
    async with opened(database_url, role="dlq") as ledger:
        bulk = await BulkActs(ledger).find(bulk_id)
    _print(bulk_act_body(bulk), _standing(bulk), as_json=as_json)


async def run_cancel(bulk_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Stop a bulk act."""
    async with opened(database_url, role="dlq") as ledger:
        bulk = await BulkActs(ledger).cancel(bulk_id, actor=terminal_actor())
    _print(bulk_act_body(bulk), _standing(bulk), as_json=as_json)


def _letters(asked: Mapping[str, object]) -> DeadLetterFilter:
    try:
        return LetterFilter.model_validate_json(to_json(dict(asked))).letters()
    except ValidationError as error:
        raise ConfigurationError(sentence_of(error.errors(include_url=False))) from error


def _standing(bulk: BulkAct) -> str:
    return f"{bulk.state}: {bulk.acted} {bulk.act}, {bulk.skipped} skipped, {bulk.found} found"


def _print_letters(letters: Sequence[ListedLetter]) -> None:
    for one in letters:
        about = f"{one.error_type}: {one.reason}" if one.error_type else one.reason
        line = about.partition("\n")[0]
        shown = line if len(line) <= _REASON_CHARS_MAX else f"{line[:_REASON_CHARS_MAX]}…"
        typer.echo(f"{one.id}  {timestamp(one.died_at)}  {one.kind:<7}  {one.queue}  {one.cause or '-'}  {shown}")


def _print(body: Mapping[str, object], line: str, *, as_json: bool) -> None:
    if as_json:
        answer_json(body)
    else:
        typer.echo(line)
