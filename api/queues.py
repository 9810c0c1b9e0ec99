"""What the commands `taskledger queues …` do: the queues on a terminal, and what an operator sets for them."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer

from api.json_response import to_json
from api.origin import terminal_actor
from api.terminal import answer_json, opened
from ledger.bootstrap import Ledger
from ledger.envelope import ended
from ledger.errors import InvalidValueError
from ledger.exit_codes import ExitCode
from ledger.queues.listing import QueueStanding, QueueState, list_queues, show_queue
from ledger.queues.settings import (
    QueueSettings,
    list_changes,
    pause,
    reset_policy,
    resume,
    set_policy,
)
from ledger.specification import check_queue_name

_DRAIN_LOOK_EVERY_SECONDS = 0.25


async def run_list(database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each queue, or what the API answers."""
    async with opened(database_url, role="queues") as ledger:
        queues = await list_queues(ledger)
    if as_json:
        answer_json({"queues": queues})
        return
    for one in queues:
        typer.echo(f"{one.name:<20} {_state(one)}{_counts(one)}, {one.live_workers} live workers")
    if not queues:
        typer.echo("no queue has unfinished tasks, dead letters, live workers or anything set")


async def run_show(name: str, database_url: str | None, *, as_json: bool) -> None:
    """Print a queue, or what the API answers."""
    async with opened(database_url, role="queues") as ledger:
        _print(await show_queue(ledger, name), as_json=as_json)


async def run_set(
    name: str, given: Sequence[str], database_url: str | None, *, reason: str, as_json: bool
) -> None:
    """Set everything for a queue from words like `rate_max=100`, and print it."""
    settings = parse_settings(given)
    async with opened(database_url, role="queues") as ledger:
        await set_policy(ledger.database, name, settings, actor=terminal_actor(), reason=reason)
        _print(await show_queue(ledger, name), as_json=as_json)


async def run_reset(name: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Take away all that is set for a queue, and print it."""
    async with opened(database_url, role="queues") as ledger:
        await reset_policy(ledger.database, name, actor=terminal_actor(), reason=reason)
        _print(await show_queue(ledger, name), as_json=as_json)


async def run_pause(name: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Pause a queue, and print it."""
    async with opened(database_url, role="queues") as ledger:
        await pause(ledger.database, name, actor=terminal_actor(), reason=reason)
        _print(await show_queue(ledger, name), as_json=as_json)


async def run_resume(name: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Resume a queue, and print it."""
    async with opened(database_url, role="queues") as ledger:
        await resume(ledger.database, name, actor=terminal_actor(), reason=reason)
        _print(await show_queue(ledger, name), as_json=as_json)


async def run_drain(
    name: str, database_url: str | None, *, wait_seconds: float | None, reason: str, as_json: bool
) -> None:
    """Pause a queue, wait until it is drained where asked to, and print it; exit code 6 where the time ran out."""
    async with opened(database_url, role="queues") as ledger:
        await pause(ledger.database, name, actor=terminal_actor(), reason=reason)
        queue = await _drained(ledger, name, seconds_max=wait_seconds or 0)
    _print(queue, as_json=as_json)
    if wait_seconds is not None and queue.state is not QueueState.PAUSED:
        raise ended(ExitCode.TIMEOUT, f"the queue {name} is {queue.state} after {wait_seconds:g} s")


async def run_changes(name: str, database_url: str | None, *, limit: int, as_json: bool) -> None:
    """Print a line for each change of a queue, newest first, or one JSON object."""
    check_queue_name(name)
    async with opened(database_url, role="queues") as ledger:
        changes = await list_changes(ledger.database, name, limit=limit)
    if as_json:
        answer_json({"changes": changes})
        return
    for one in changes:
        settings = f" {to_json(_meant(one.settings)).decode()}" if one.settings else ""
        reason = f": {one.reason}" if one.reason else ""
        typer.echo(f"{one.recorded_at:%Y-%m-%d %H:%M:%S}Z {one.actor} {one.change}{settings}{reason}")
    if not changes:
        typer.echo(f"nothing was ever set for the queue {name}")


def parse_settings(given: Sequence[str]) -> QueueSettings:
    """Return the settings that words like `rate_max=100` or `weights.acme=2` name.

    Raises:
        InvalidValueError: a word names no setting, or its value is of another type.
    """
    found: dict[str, Any] = {}
    weights: dict[str, float] = {}
    for word in given:
        name, _, text = word.rpartition("=")
        if name.startswith(_WEIGHTS):
            weights[name.removeprefix(_WEIGHTS)] = _value(name, text, float, "a number")
        elif name in _PARSERS:
            found[name] = _value(name, text, *_PARSERS[name])
        else:
            bound = f"SETTING=VALUE with one of {', '.join(_PARSERS)}, {_WEIGHTS}TENANT"
            raise InvalidValueError(field="a setting", bound=bound, value=word)
    return QueueSettings(**found, weights=weights)


async def _drained(ledger: Ledger, name: str, *, seconds_max: float) -> QueueStanding:
    deadline = time.monotonic() + seconds_max
    while True:
        queue = await show_queue(ledger, name)
        left = deadline - time.monotonic()
        # Somebody who resumes the queue meanwhile is believed: it would never drain.
        if queue.state is not QueueState.DRAINING or left <= 0:
            return queue
        await asyncio.sleep(min(_DRAIN_LOOK_EVERY_SECONDS, left))


def _value(name: str, text: str, parse: Callable[[str], Any], bound: str) -> Any:  # noqa: ANN401 - as it parses
    try:
        return parse(text)
    except (ValueError, KeyError) as error:
        raise InvalidValueError(field=name, bound=bound, value=text) from error


def _print(queue: QueueStanding, *, as_json: bool) -> None:
    if as_json:
        answer_json(queue)
        return
    since = "" if queue.paused_at is None else f" (paused since {queue.paused_at:%Y-%m-%d %H:%M:%S}Z)"
    typer.echo(f"{queue.name}: {queue.state}{since}")
    typer.echo(f"  {_counts(queue)}, {queue.permits} let through, {queue.live_workers} live workers")
    for name, value in _meant(asdict(queue.settings)).items():
        typer.echo(f"  {name}: {to_json(value).decode()}")


def _state(queue: QueueStanding) -> str:
    return "" if queue.state is QueueState.OPEN else f"{queue.state}, "


def _counts(queue: QueueStanding) -> str:
    held = sum(queue.held.values())
    dead = f", {queue.dead} dead" if queue.dead else ""
    return f"{queue.ready} ready, {queue.waiting} waiting, {held} held back, {queue.running} running{dead}"


def _meant(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value}


_WEIGHTS = "weights."
_COUNT = (int, "an integer")
_SECONDS = (float, "a number of seconds")
_PARSERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "concurrency_max": _COUNT,
    "key_concurrency_max": _COUNT,
    "rate_max": _COUNT,
    "rate_s": _SECONDS,
    "key_rate_max": _COUNT,
    "key_rate_s": _SECONDS,
    "fair": ({"true": True, "false": False}.__getitem__, "true or false"),
}
