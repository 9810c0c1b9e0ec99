"""What `taskledger workers …` does: the workers on a terminal."""

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import typer

from api.json_response import timestamp
from api.origin import terminal_actor
from api.terminal import answer_json, opened
from ledger.bootstrap import Ledger
from ledger.envelope import ended
from ledger.errors import InvalidValueError
from ledger.exit_codes import ExitCode
from ledger.specification import check_queue_name
from ledger.workers.draining import drain, list_changes, resume
from ledger.workers.listing import WorkerStanding, WorkerState, list_workers, show_worker

_LOOK_EVERY_SECONDS = 0.25


async def run_list(
    database_url: str | None, *, states: Sequence[str], queue: str | None, limit: int, as_json: bool
) -> None:
    """Print a line for each worker, or what the API answers."""
    asked = [_state(one) for one in states]
    if queue is not None:
        check_queue_name(queue)
    async with opened(database_url, role="workers") as ledger:
        found = await list_workers(ledger, queue=queue, states=asked, limit=limit + 1)
    page = found[:limit]
    if as_json:
        answer_json({"workers": page, "has_more": len(found) > limit})
        return
    for one in page:
        typer.echo(f"{one.worker_id}  {one.state:<8}  {_load(one)}  {','.join(one.queues)}  {one.name}")
    if not page:
        typer.echo("no workers")
    elif len(found) > limit:
        typer.echo(f"… and more: the first {limit} are shown")


async def run_show(worker_id: UUID, database_url: str | None, *, as_json: bool) -> None:
    """Print a worker and what runs in its name, or what the API answers."""
    async with opened(database_url, role="workers") as ledger:
        _print(await show_worker(ledger, worker_id), as_json=as_json)


async def run_drain(
    worker_id: UUID, database_url: str | None, *, wait_seconds: float | None, reason: str, as_json: bool
) -> None:
    """Drain a worker, wait until it is drained where asked to, print it; exit code 6 where that took too long."""
    async with opened(database_url, role="workers") as ledger:
        await drain(ledger, worker_id, actor=terminal_actor(), reason=reason)
        worker = await _settled(ledger, worker_id, _is_drained, seconds_max=wait_seconds or 0)
    _print(worker, as_json=as_json)
    _say_if_late(worker, wait_seconds, is_done=_is_drained(worker), what="is not drained")


async def run_resume(
    worker_id: UUID, database_url: str | None, *, wait_seconds: float | None, reason: str, as_json: bool
) -> None:
    """Resume a worker, wait until it takes again where asked to, and print it; exit code 6 as for a drain."""
    async with opened(database_url, role="workers") as ledger:
        await resume(ledger, worker_id, actor=terminal_actor(), reason=reason)
        worker = await _settled(ledger, worker_id, _is_taking, seconds_max=wait_seconds or 0)
    _print(worker, as_json=as_json)
    _say_if_late(worker, wait_seconds, is_done=_is_taking(worker), what="takes nothing yet")


async def run_changes(worker_id: UUID, database_url: str | None, *, limit: int, as_json: bool) -> None:
    """Print a line for each thing that was asked of a worker, newest first, or one JSON object."""
    async with opened(database_url, role="workers") as ledger:
        changes = await list_changes(ledger, worker_id, limit=limit)
    if as_json:
        answer_json({"changes": changes})
        return
    for one in changes:
        reason = f": {one.reason}" if one.reason else ""
        typer.echo(f"{timestamp(one.recorded_at)} {one.actor} {one.change}{reason}")
    if not changes:
        typer.echo(f"nothing was ever asked of the worker {worker_id}")


async def _settled(
    ledger: Ledger, worker_id: UUID, is_done: Callable[[WorkerStanding], bool], *, seconds_max: float
) -> WorkerStanding:
    deadline = time.monotonic() + seconds_max
    while True:
        worker = await show_worker(ledger, worker_id)
        left = deadline - time.monotonic()
        if is_done(worker) or left <= 0:
            return worker
        await asyncio.sleep(min(_LOOK_EVERY_SECONDS, left))


def _is_drained(worker: WorkerStanding) -> bool:
    # One that has left meanwhile takes nothing any more either.
    return worker.drained or worker.state is WorkerState.STOPPED


def _is_taking(worker: WorkerStanding) -> bool:
    return worker.state is WorkerState.ALIVE and worker.takes


def _say_if_late(worker: WorkerStanding, wait_seconds: float | None, *, is_done: bool, what: str) -> None:
    if wait_seconds is not None and not is_done:
        raise ended(ExitCode.TIMEOUT, f"the worker {worker.worker_id} {what} after {wait_seconds:g} s")


def _state(word: str) -> WorkerState:
    try:
        return WorkerState(word)
    except ValueError as error:
        raise InvalidValueError(field="state", bound=f"one of {', '.join(WorkerState)}", value=word) from error


def _print(worker: WorkerStanding, *, as_json: bool) -> None:
    if as_json:
        answer_json(worker)
        return
    typer.echo(f"{worker.worker_id}: {_standing(worker)}")
    typer.echo(f"  {worker.name}, serves {', '.join(worker.queues)}, {_load(worker)}")
    typer.echo(f"  started {timestamp(worker.started_at)}, last beat {timestamp(worker.beat_at)}")
    for task in worker.tasks:
        typer.echo(f"  {task.task_id}  {task.kind}  attempt {task.attempt} since {timestamp(task.since)}")


def _standing(worker: WorkerStanding) -> str:
    if worker.state is WorkerState.SILENT:
        return f"silent ({worker.evidence})"
    return f"{worker.state}, drained" if worker.drained else str(worker.state)


def _load(worker: WorkerStanding) -> str:
    return f"{worker.running}/{worker.capacity} running"
