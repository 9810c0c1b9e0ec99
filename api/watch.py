"""What `taskledger submit` and `taskledger task watch` do: a task is submitted, and followed to its end."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import orjson
import typer
from pydantic import JsonValue

from api.body import parse_body
from api.intake import Intake
from api.json_response import timestamp, to_json
from api.origin import terminal_actor
from api.routes.tasks import event_body
from api.schemas import Submission
from api.terminal import answer_json, opened, print_line
from ledger.bootstrap import Ledger
from ledger.codec import decode
from ledger.envelope import ended
from ledger.errors import InvalidValueError, TaskNotFoundError
from ledger.exit_codes import ExitCode
from ledger.jsonvalue import decode_json
from ledger.payloads.opening import Opening
from ledger.store.records import Appended, Origin, RecordedEvent
from ledger.subscription import subscribe
from ledger.task import Task
from ledger.task_words import Status

# Of an event's own fields those that are short and say how it goes on.
_TOLD = ("attempt", "worker_id", "fraction", "message", "cause", "reason", "hold", "retry_at", "run_at")
_TEXTS = ("kind", "queue", "key", "unique_key", "on_parent_failure", "run_at")


async def run_watch(task_id: UUID, database_url: str | None, *, seconds_max: float | None, as_json: bool) -> None:
    """Print a line for each event of a task until it is finished, and then how it ended.

    The exit code is 0 where it completed, 1 where it did not, 6 where the time ran out.

    Raises:
        TaskNotFoundError: there is no such task.
    """
    async with opened(database_url, role="watch") as ledger:
        await _watch(ledger, task_id, seconds_max, as_json=as_json)


async def run_submit(
    given: Sequence[str], database_url: str | None, *, wait_seconds: float | None, as_json: bool
) -> None:
    """Submit a task of words like `priority=7`, print its id, and watch it where asked to.

    Raises:
        InvalidInputError: a field is not what it must be.
    """
    body = orjson.dumps(dict(_field(word) for word in given))
    async with opened(database_url, role="watch") as ledger:
        specification = Intake(ledger).specification(parse_body(Submission, body), body)
        appended = await ledger.commands.submit(specification, origin=Origin(actor=terminal_actor()))
        if not as_json:
            typer.echo(str(appended.task_id))
        elif wait_seconds is None:
            answer_json(_receipt(appended))
        if wait_seconds is not None:
            await _watch(ledger, appended.task_id, wait_seconds, as_json=as_json)


async def _watch(ledger: Ledger, task_id: UUID, seconds_max: float | None, *, as_json: bool) -> None:
    try:
        async with asyncio.timeout(seconds_max):
            task = await _finished(ledger, task_id, as_json=as_json)
    except TimeoutError as error:
        if as_json:
            answer_json({"task_id": task_id})
        raise ended(ExitCode.TIMEOUT, f"task {task_id} is not finished after {seconds_max:g} s") from error
    if as_json:
        answer_json(_ending(task))
    else:
        typer.echo(_told(task))
    if task.status != Status.COMPLETED:
        raise ended(ExitCode.FAILURE, f"task {task_id} did not complete: it is {task.status}")


def _receipt(appended: Appended) -> dict[str, object]:
    return {"task_id": appended.task_id, "position": appended.position, "existing": appended.existing}


def _ending(task: Task) -> dict[str, object]:
    return {"task_id": task.id, "status": task.status, "result": task.result, "error": task.error}


def _told(task: Task) -> str:
    if task.status == Status.COMPLETED:
        return f"COMPLETED {to_json(task.result).decode()}"
    failed = task.error
    why = "" if failed is None else f" {failed['type']}: {failed.get('message', 'erased, or encrypted')}"
    return f"{task.status}{why}"


async def _finished(ledger: Ledger, task_id: UUID, *, as_json: bool) -> Task:
    task: Task | None = None
    opening = Opening(ledger.vault)
    poll_interval_seconds = ledger.settings.poll_interval_seconds
    async with subscribe(ledger.store, poll_interval_seconds=poll_interval_seconds) as subscription:
        while True:
            version = 0 if task is None else task.version
            for event in await opening.events(await ledger.store.read_stream(task_id, after_version=version)):
                if as_json:
                    print_line(event_body(event))
                else:
                    typer.echo(_line(event))
                task = decode(event).mutate(task)
            if task is None:
                raise TaskNotFoundError(task_id)
            if task.is_finished:
                return task
            await subscription.wait()


def _line(event: RecordedEvent) -> str:
    fields = decode_json(event.data)
    told = fields if isinstance(fields, dict) else {}
    words = [f"{name}={told[name]}" for name in _TOLD if told.get(name) not in (None, "")]
    return " ".join((timestamp(event.recorded_at), event.type, *words))


def _field(word: str) -> tuple[str, JsonValue]:
    name, separator, text = word.partition("=")
    if not separator:
        raise InvalidValueError(field="a field", bound="FIELD=VALUE", value=word)
    if name in _TEXTS:
        return name, text
    try:
        return name, decode_json(text)
    except ValueError:
        return name, text
