"""What `taskledger task show|diff` and `taskledger ledger …` do: the past on a terminal."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import typer

from api.as_of import AsOfQuery, DiffQuery, asked_for
from api.json_response import to_json
from api.read_model import TaskReader
from api.routes.tasks import task_body
from api.task_past import TaskPast, TaskThen
from ledger.bootstrap import Ledger, open_ledger
from ledger.roles import start_up
from ledger.settings import load_settings


async def run_task(task_id: UUID, given: Mapping[str, object], *, database_url: str | None, as_json: bool) -> None:
    """Print a task as it is or as it was, a line for each field that says something, or what the API answers."""
    asked = asked_for(AsOfQuery, given)
    async with _opened(database_url) as ledger:
        if asked.is_past:
            then = await TaskPast(ledger).find(task_id, asked)
        else:
            then = TaskThen(await TaskReader(ledger).find(task_id), None)
        body = task_body(then, await ledger.store.read_stale_writes(task_id))
    if as_json:
        _print_json(body)
        return
    for name, value in body.items():
        if value not in (None, [], ()):
            typer.echo(f"{name:<17} {_text(value)}")


async def run_task_diff(
    task_id: UUID, given: Mapping[str, object], *, database_url: str | None, as_json: bool
) -> None:
    """Print a line for each field of a task that is not what it was, or what the API answers."""
    asked = asked_for(DiffQuery, given)
    async with _opened(database_url) as ledger:
        body = await TaskPast(ledger).diff(task_id, asked)
    if as_json:
        _print_json(body)
        return
    changes = body["changes"]
    if isinstance(changes, Mapping):
        for name, change in changes.items():
            typer.echo(f"{name:<17} {_text(change['from'])} → {_text(change['to'])}")
    if not changes:
        typer.echo("nothing changed")


@asynccontextmanager
async def _opened(database_url: str | None) -> AsyncIterator[Ledger]:
    async with open_ledger(start_up(load_settings(database_url=database_url), role="past")) as ledger:
        yield ledger


def _text(value: object) -> str:
    return value if isinstance(value, str) else to_json(value).decode().strip('"')


def _print_json(body: object) -> None:
    typer.echo(to_json(body).decode())
