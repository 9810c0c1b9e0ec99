"""What `taskledger schedules …` does: the same as the API, in lines for people or as the API's JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson
import typer
from pydantic import ValidationError

from api.json_response import timestamp, to_json
from api.origin import terminal_actor
from api.schedule_bodies import FIRES_SHOWN, changes_page, definition_of, schedule_body
from api.schedule_schemas import ScheduleBody
from api.terminal import answer_json, opened
from api.validation import sentence_of
from ledger.bootstrap import open_ledger
from ledger.errors import ConfigurationError, InvalidValueError
from ledger.roles import start_up
from ledger.schedules.commands import Schedules
from ledger.schedules.schedule import Schedule
from ledger.settings import load_settings
from ledger.store.records import Origin
from worker.registry import load_registry
from worker.scheduled import put_declared

_PAGE_SIZE = 500


async def run_list(database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each schedule, or what the API answers with all of them on one page."""
    async with opened(database_url, role="schedules") as ledger:
        found = await _all(Schedules(ledger))
    if as_json:
        answer_json({"schedules": [schedule_body(one) for one in found], "next_after": None})
        return
    for one in found:
        typer.echo(_line(one))
    if not found:
        typer.echo("there are no schedules")


async def run_show(name: str, database_url: str | None, *, as_json: bool) -> None:
    """Print a schedule with what it fires next and what it fired last."""
    async with opened(database_url, role="schedules") as ledger:
        schedule, upcoming, fires = await Schedules(ledger).find(name, fires_max=FIRES_SHOWN)
    body = schedule_body(schedule)
    if as_json:
        answer_json({**body, "next_fires": upcoming, "recent_fires": fires})
        return
    for field, value in body.items():
        typer.echo(f"{field:<13} {_text(value)}")
    for time in upcoming:
        typer.echo(f"fires at      {timestamp(time)}")
    for fire in fires:
        typer.echo(f"{fire.outcome:<13} {timestamp(fire.fire_at)} {fire.task_id or ''}".rstrip())


async def run_changes(name: str, database_url: str | None, *, limit: int, as_json: bool) -> None:
    """Print who changed a schedule, newest first, or what the API answers."""
    async with opened(database_url, role="schedules") as ledger:
        found = await Schedules(ledger).changes(name, before=None, limit=limit + 1)
    if as_json:
        answer_json(changes_page(found, limit=limit))
        return
    for change in found[:limit]:
        why = f": {change.reason}" if change.reason else ""
        typer.echo(f"{timestamp(change.recorded_at):<27} {change.change:<8} by {change.actor}{why}")
    if not found:
        typer.echo(f"no schedule {name} was ever made")


async def run_set(
    name: str,
    fields: Mapping[str, object],
    task: Mapping[str, object],
    task_input: str | None,
    *,
    database_url: str | None,
    as_json: bool,
) -> None:
    """Make or replace a schedule, and print it.

    Args:
        name: 1 to 64 characters of a-z 0-9 _ -.
        fields: the body that the API takes, but its task.
        task: the task, but its input.
        task_input: the input as JSON text.
        database_url: None stands for the configured one.
        as_json: print what the API answers.

    Raises:
        InvalidValueError: a field is out of its bound.
        ConfigurationError: a field is not of its type.
    """
    settings = load_settings(database_url=database_url)
    given = _body(fields, task, task_input)
    definition = definition_of(given, settings)
    async with opened(database_url, role="schedules") as ledger:
        kept = await Schedules(ledger).put(
            name, definition, paused=given.paused, reason=given.reason, origin=_origin()
        )
    _print_schedule(kept.schedule, as_json=as_json)


async def run_apply(apps: tuple[str, ...] | None, database_url: str | None, *, as_json: bool) -> None:
    """Set the schedules that the modules declare, and print them.

    Raises:
        ConfigurationError: a module cannot be imported, or a declaration is out of its bounds.
    """
    settings = load_settings(database_url=database_url, worker_apps=apps)
    registry = load_registry(settings.worker_apps)
    async with open_ledger(start_up(settings, role="schedules")) as ledger:
        kept = await put_declared(ledger, registry, origin=_origin())
    if as_json:
        answer_json({"schedules": [schedule_body(one.schedule) for one in kept]})
        return
    for one in kept:
        typer.echo(_line(one.schedule))
    if not kept:
        typer.echo("no handler declares a schedule")


async def run_turn(name: str, database_url: str | None, *, paused: bool, reason: str, as_json: bool) -> None:
    """Pause or resume a schedule, and print it."""
    async with opened(database_url, role="schedules") as ledger:
        schedules = Schedules(ledger)
        turn = schedules.pause if paused else schedules.resume
        schedule = await turn(name, reason=reason, origin=_origin())
    _print_schedule(schedule, as_json=as_json)


async def run_remove(name: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Remove a schedule, and say so."""
    async with opened(database_url, role="schedules") as ledger:
        await Schedules(ledger).remove(name, reason=reason, origin=_origin())
    if as_json:
        answer_json({"removed": name})
        return
    typer.echo(f"removed {name}")


async def run_fire(name: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Fire a schedule by hand, and print its task."""
    async with opened(database_url, role="schedules") as ledger:
        fired = await Schedules(ledger).fire(name, reason=reason, origin=_origin())
    task_id = fired.appended.task_id
    if as_json:
        answer_json({"schedule": name, "fire_at": fired.fire_at, "task_id": task_id})
        return
    typer.echo(f"fired {name} at {timestamp(fired.fire_at)}: task {task_id}")


async def _all(schedules: Schedules) -> Sequence[Schedule]:
    found: list[Schedule] = []
    while True:
        page = await schedules.list(after=found[-1].name if found else "", limit=_PAGE_SIZE)
        found.extend(page)
        if len(page) < _PAGE_SIZE:
            return found


def _body(fields: Mapping[str, object], task: Mapping[str, object], task_input: str | None) -> ScheduleBody:
    try:
        value = {} if task_input is None else {"input": orjson.loads(task_input)}
    except orjson.JSONDecodeError as error:
        raise InvalidValueError(field="--input", bound="JSON, for example '\"text\"'", value=task_input) from error
    try:
        return ScheduleBody.model_validate_json(json.dumps({**fields, "task": {**task, **value}}))
    except ValidationError as error:
        raise ConfigurationError(sentence_of(error.errors(include_url=False))) from error


def _origin() -> Origin:
    return Origin(actor=terminal_actor())


def _print_schedule(schedule: Schedule, *, as_json: bool) -> None:
    if as_json:
        answer_json(schedule_body(schedule))
        return
    typer.echo(_line(schedule))


def _line(schedule: Schedule) -> str:
    definition = schedule.definition
    next_fire_at = schedule.next_fire_at
    state = "paused" if schedule.paused else "ended"
    then = state if next_fire_at is None else f"next {timestamp(next_fire_at)}"
    return (
        f"{schedule.name:<20} {definition.cron:<20} {definition.time_zone:<16} {definition.task.kind:<20} {then}"
    )


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, dict):
        return to_json(value).decode()
    return "-" if value is None else str(value)
