"""What `taskledger task show|diff` and `taskledger ledger …` do: the past on a terminal."""

from collections.abc import Mapping
from uuid import UUID

import typer

from api.as_of import AsOfQuery, DiffQuery, LedgerQuery, asked_for
from api.json_response import to_json
from api.ledger_past import LedgerPast
from api.read_model import TaskReader
from api.routes.tasks import task_body
from api.task_past import TaskPast, TaskThen
from api.terminal import answer_json, opened
from ledger.payloads.opening import Opening


async def run_task(task_id: UUID, given: Mapping[str, object], *, database_url: str | None, as_json: bool) -> None:
    """Print a task as it is or as it was, a line for each field that says something, or what the API answers."""
    asked = asked_for(AsOfQuery, given)
    async with opened(database_url, role="past") as ledger:
        if asked.is_past:
            then = await TaskPast(ledger).find(task_id, asked)
        else:
            then = TaskThen(await TaskReader(ledger).find(task_id), None)
        refused = await Opening(ledger.vault).events(await ledger.store.read_stale_writes(task_id))
        body = task_body(then, refused)
    if as_json:
        answer_json(body)
        return
    for name, value in body.items():
        if value not in (None, [], ()):
            typer.echo(f"{name:<17} {_text(value)}")


async def run_task_diff(
    task_id: UUID, given: Mapping[str, object], *, database_url: str | None, as_json: bool
) -> None:
    """Print a line for each field of a task that is not what it was, or what the API answers."""
    asked = asked_for(DiffQuery, given)
    async with opened(database_url, role="past") as ledger:
        body = await TaskPast(ledger).diff(task_id, asked)
    if as_json:
        answer_json(body)
        return
    changes = _mapping(body["changes"])
    for name, ends in changes.items():
        change = _mapping(ends)
        typer.echo(f"{name:<17} {_text(change['from'])} → {_text(change['to'])}")
    if not changes:
        typer.echo("nothing changed")


async def run_ledger(given: Mapping[str, object], *, database_url: str | None, as_json: bool) -> None:
    """Print how many tasks there are or were, or what the API answers."""
    asked = asked_for(LedgerQuery, given)
    async with opened(database_url, role="past") as ledger:
        body = await LedgerPast(ledger).counts(asked)
    if as_json:
        answer_json(body)
        return
    typer.echo(f"as of {_text(body['as_of'])}{_settled(body)}")
    for field in ("status", "queue", "kind"):
        for name, tasks in _mapping(body[f"by_{field}"]).items():
            shown = tasks if isinstance(tasks, int) else _statuses(_mapping(tasks))
            typer.echo(f"{field:<6} {name:<20} {shown}")
    typer.echo(f"total  {body['total']}")


async def run_ledger_diff(given: Mapping[str, object], *, database_url: str | None, as_json: bool) -> None:
    """Print the counts at two moments side by side, and how tasks moved, or what the API answers."""
    asked = asked_for(DiffQuery, given)
    async with opened(database_url, role="past") as ledger:
        body = await LedgerPast(ledger).diff(asked)
    if as_json:
        answer_json(body)
        return
    before, after = _mapping(body["from"]), _mapping(body["to"])
    typer.echo(f"from {_text(before['as_of'])} to {_text(after['as_of'])}{_settled(body)}")
    became = _mapping(after["by_status"])
    for status, tasks in _mapping(before["by_status"]).items():
        typer.echo(f"{status:<10} {tasks} → {became[status]}")
    moved = body["moved"]
    for move in moved if isinstance(moved, list) else []:
        typer.echo(f"{move['tasks']} {'new' if move['from'] is None else move['from']} → {move['to']}")
    typer.echo(f"{body['changed']} tasks with events in between")


def _settled(body: Mapping[str, object]) -> str:
    return "" if body["settled"] else " (what is not committed yet may still be added)"


def _statuses(tasks: Mapping[str, object]) -> str:
    return ", ".join(f"{count} {status}" for status, count in tasks.items() if count)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__} is no mapping")
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else to_json(value).decode().strip('"')
