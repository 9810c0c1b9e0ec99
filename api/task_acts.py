"""What `taskledger task list|retry|cancel` and `taskledger bulk-acts …` do: tasks and bulk acts on a terminal."""

from collections.abc import Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel, ValidationError

from api.bulk_act_shapes import BulkActsQuery, TaskFilterGiven
from api.bulk_acts import bulk_act_body, sample_of_tasks
from api.json_response import timestamp, to_json
from api.ledger_past import LedgerPast
from api.origin import terminal_actor
from api.read_model import TaskReader, filter_of
from api.schemas import ListQuery
from api.terminal import Ask, answer_json, opened
from api.validation import sentence_of
from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct, BulkOrder
from ledger.bulk_acts.commands import BulkActs
from ledger.bulk_acts.task_choice import TaskAct
from ledger.commands import Decided
from ledger.dead_letters.acts import check_reason
from ledger.envelope import ended
from ledger.errors import ConfigurationError, LedgerError
from ledger.exit_codes import ExitCode, exit_code

Asked = TypeVar("Asked", bound=BaseModel)


async def run_list(asked: Mapping[str, object], *, limit: int, database_url: str | None, as_json: bool) -> None:
    """Print a line for each task, newest first, or one JSON object."""
    named = {"tag" if name == "tags" else name: value for name, value in asked.items()}
    query = _parsed(ListQuery, named)
    chosen = filter_of(query)
    async with opened(database_url, role="tasks") as ledger:
        if chosen.as_of is None:
            found = await TaskReader(ledger).list(chosen, below=None, limit=limit + 1)
            page, has_more = found[:limit], len(found) > limit
        else:
            then = await LedgerPast(ledger).list(chosen, as_of=chosen.as_of, below=None, limit=limit)
            page, has_more = then.tasks, then.below is not None
    if as_json:
        answer_json({"tasks": page, "has_more": has_more})
        return
    for one in page:
        typer.echo(f"{one.task_id}  {timestamp(one.created_at)}  {one.status:<9}  {one.queue}  {one.kind}")
    if not page:
        typer.echo("no tasks")
    elif has_more:
        typer.echo(f"… and more: the newest {limit} are shown")


async def run_act(task_ids: Sequence[UUID], ask: Ask, *, database_url: str | None, as_json: bool) -> None:
    """Retry or cancel each of some tasks; the exit code is that of the first that refused, the others are done."""
    check_reason(TaskAct(ask.act), ask.reason)
    codes: list[ExitCode] = []
    refusals: list[str] = []
    taken: list[dict[str, object]] = []
    async with opened(database_url, role="tasks") as ledger:
        for task_id in dict.fromkeys(task_ids):
            try:
                decided = await _decided(ledger, task_id, ask)
            except LedgerError as error:
                codes.append(exit_code(error))
                refusals.append(f"{task_id}: {error}")
            else:
                taken.append({"task_id": task_id, "status": decided.task.status, "version": decided.task.version})
    if as_json:
        answer_json({"tasks": taken, "refused": refusals})
    else:
        for one in taken:
            typer.echo(f"{one['task_id']} {one['status']}")
    if codes:
        raise ended(codes[0], *refusals)


async def run_sample(ask: Ask, *, database_url: str | None, as_json: bool) -> None:
    """Print how many tasks a filter finds, and the newest of them."""
    act = TaskAct(ask.act)
    choice = _parsed(TaskFilterGiven, ask.asked).choice(act)
    async with opened(database_url, role="tasks") as ledger:
        found = await sample_of_tasks(ledger, act, choice, limit=ask.limit)
    if as_json:
        answer_json(found.as_dict())
        return
    for one in found.sample:
        error = f"  {one.error_type}" if one.error_type else ""
        typer.echo(f"{one.task_id}  {timestamp(one.created_at)}  {one.status:<9}  {one.queue}  {one.kind}{error}")
    typer.echo(f"{found.count} found, nothing {ask.act}: this is a dry run")


async def run_bulk_act(ask: Ask, *, database_url: str | None, as_json: bool) -> None:
    """Record what is to be done about all that a filter finds; the scheduler works it off."""
    act = TaskAct(ask.act)
    order = BulkOrder(
        act=act,
        chosen=_parsed(TaskFilterGiven, ask.asked).choice(act),
        intent=ask.intent,
        rate_per_s=ask.rate,
        limit=ask.limit,
    )
    async with opened(database_url, role="tasks") as ledger:
        bulk = await BulkActs(ledger).begin(order)
    pace = f"at most {bulk.rate_per_s} a second"
    _print(bulk, f"{bulk.found} found, to be {bulk.act} by the scheduler, {pace}: {bulk.bulk_id}", as_json=as_json)


async def run_bulk_list(
    asked: Mapping[str, object], *, limit: int, database_url: str | None, as_json: bool
) -> None:
    """Print a line for each bulk act, newest first, or one JSON object."""
    query = _parsed(BulkActsQuery, {name: value for name, value in asked.items() if value is not None})
    async with opened(database_url, role="tasks") as ledger:
        found = await BulkActs(ledger).list(subject=query.subject, states=query.state, limit=limit + 1)
    page = found[:limit]
    if as_json:
        answer_json({"bulk_acts": [bulk_act_body(one) for one in page], "has_more": len(found) > limit})
        return
    for one in page:
        typer.echo(f"{one.bulk_id}  {timestamp(one.upto)}  {one.subject}  {_standing(one)}")
    if not page:
        typer.echo("no bulk acts")
    elif len(found) > limit:
        typer.echo(f"… and more: the newest {limit} are shown")


async def run_bulk_show(bulk_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print how far a bulk act has come."""
    async with opened(database_url, role="tasks") as ledger:
        bulk = await BulkActs(ledger).find(bulk_id)
    _print(bulk, _standing(bulk), as_json=as_json)


async def run_bulk_cancel(bulk_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Stop a bulk act."""
    async with opened(database_url, role="tasks") as ledger:
        bulk = await BulkActs(ledger).cancel(bulk_id, actor=terminal_actor())
    _print(bulk, _standing(bulk), as_json=as_json)


async def _decided(ledger: Ledger, task_id: UUID, ask: Ask) -> Decided:
    commands = ledger.commands
    command = commands.retry if TaskAct(ask.act) is TaskAct.RETRIED else commands.cancel
    return await command(task_id, reason=ask.reason, origin=ask.intent.origin)


def _parsed(shape: type[Asked], asked: Mapping[str, object]) -> Asked:
    try:
        return shape.model_validate_json(to_json(dict(asked)))
    except ValidationError as error:
        raise ConfigurationError(sentence_of(error.errors(include_url=False))) from error


def _standing(bulk: BulkAct) -> str:
    return f"{bulk.state}: {bulk.acted} {bulk.act}, {bulk.skipped} skipped, {bulk.found} found"


def _print(bulk: BulkAct, line: str, *, as_json: bool) -> None:
    if as_json:
        answer_json(bulk_act_body(bulk))
    else:
        typer.echo(line)
