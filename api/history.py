"""What `taskledger task history`, `events …` and `audit` do: the history on a terminal."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel, ValidationError

from api.audit_entries import entry_body, opened_entries
from api.export import Export
from api.history_shapes import AuditQuery, Events, ExportQuery
from api.json_response import timestamp
from api.routes.tasks import event_body
from api.terminal import answer_json, opened, print_line
from api.validation import sentence_of
from ledger.dead_letters.letters import Place
from ledger.errors import ConfigurationError, TaskNotFoundError
from ledger.history.audit import Audit, AuditEntry, AuditFilter, AuditPage, AuditSource, reason_of
from ledger.history.follower import follow
from ledger.history.search import EventFilter, LogSearch, Stretch
from ledger.payloads.opening import Opening
from ledger.store.records import RecordedEvent

_PAGE = 500

Asked = TypeVar("Asked", bound=BaseModel)


async def run_history(task_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print a line for each event of a task, oldest first, or one JSON object."""
    async with opened(database_url, role="history") as ledger:
        events = await Opening(ledger.vault).events(await ledger.store.read_stream(task_id))
    if not events:
        raise TaskNotFoundError(task_id)
    if as_json:
        answer_json({"events": [event_body(event) for event in events]})
        return
    _print_events(events, as_json=False)


async def run_tail(
    given: Mapping[str, object], *, lines: int, is_followed: bool, database_url: str | None, as_json: bool
) -> None:
    """Print the last events, or all after a position, and then each as it is appended; one JSON object a line."""
    asked = _checked(Events, given)
    async with opened(database_url, role="history") as ledger:
        search = LogSearch(ledger)
        opening = Opening(ledger.vault)
        horizon = await search.horizon()
        stretch = await search.stretch(asked.events(), after=asked.after, upto=horizon)
        if "after" in given:
            while stretch is not None:
                found = await search.forwards(asked.events(), stretch, limit=_PAGE)
                _print_events(await opening.events(found.events), as_json=as_json)
                stretch = found.rest
        else:
            last = await _last(search, asked.events(), stretch, count=lines)
            _print_events(await opening.events(last), as_json=as_json)
        if not is_followed:
            if as_json:
                answer_json({"upto": max(asked.after, horizon)})
            return
        async with aclosing(follow(ledger, asked.events(), after=max(asked.after, horizon))) as pages:
            async for events in pages:
                _print_events(await opening.events(events), as_json=as_json)


async def run_export(
    given: Mapping[str, object], *, output: Path | None, database_url: str | None, as_json: bool
) -> None:
    """Write the log, up to where it is complete now, to a file or to standard output; say how much it was."""
    asked = _checked(ExportQuery, given)
    async with opened(database_url, role="history") as ledger:
        search = LogSearch(ledger)
        horizon = await search.horizon()
        stretch = await search.stretch(asked.events(), after=asked.after, upto=horizon)
        opening = None if asked.ciphertext else Opening(ledger.vault)
        export = Export(search, asked.events(), asked.format, opening=opening)
        with _written(output) as file:
            async for piece in export.pieces(stretch):
                file.write(piece)
        archived = [part.month for part in await search.archived(Stretch(asked.after, horizon))]
    if archived:
        typer.echo(f"archived, and not exported: {', '.join(archived)}", err=True)
    receipt = {
        "archived": archived,
        "events": export.count,
        "position": horizon,
        "output": None if output is None else str(output),
    }
    if as_json:
        answer_json(receipt)
    else:
        # Standard output is the export's, where there is no file.
        typer.echo(f"{export.count} events, up to position {horizon}", err=output is None)


async def run_audit(given: Mapping[str, object], *, limit: int, database_url: str | None, as_json: bool) -> None:
    """Print a line for each entry that is found, or one JSON object."""
    query = _checked(AuditQuery, given)
    asked = query.asked()
    async with opened(database_url, role="history") as ledger:
        found, has_more = await _entries(Audit(ledger), asked, limit=limit)
        entries = await opened_entries(Opening(ledger.vault), found)
    if as_json:
        body = {"entries": [entry_body(entry) for entry in entries], "has_more": has_more}
        answer_json(body)
        return
    for entry in entries:
        typer.echo(_entry_line(entry))
    if not entries:
        typer.echo("nothing was found")
    elif has_more:
        typer.echo(f"… and more: the {asked.order} {limit} are shown")


async def _entries(audit: Audit, asked: AuditFilter, *, limit: int) -> tuple[Sequence[AuditEntry], bool]:
    page = await _audit_page(audit, asked, None, limit)
    entries = list(page.entries)
    while page.rest is not None and len(entries) < limit:
        page = await _audit_page(audit, asked, page.rest, limit - len(entries))
        entries += page.entries
    return entries, page.rest is not None


async def _audit_page(audit: Audit, asked: AuditFilter, rest: int | Place | None, limit: int) -> AuditPage:
    if asked.source is AuditSource.EVENTS:
        return await audit.events(asked, begin=None if isinstance(rest, Place) else rest, limit=limit)
    return await audit.changes(asked, begin=rest if isinstance(rest, Place) else None, limit=limit)


async def _last(
    search: LogSearch, asked: EventFilter, stretch: Stretch | None, *, count: int
) -> Sequence[RecordedEvent]:
    events: list[RecordedEvent] = []
    while stretch is not None and len(events) < count:
        found = await search.backwards(asked, stretch, limit=count - len(events))
        events += found.events
        stretch = found.rest
    return events[::-1]


def _print_events(events: Sequence[RecordedEvent], *, as_json: bool) -> None:
    for event in events:
        if as_json:
            print_line(event_body(event))
        else:
            typer.echo(_event_line(event))


def _event_line(event: RecordedEvent) -> str:
    story = "" if event.correlation_id == str(event.task_id) else f" [{event.correlation_id}]"
    when = timestamp(event.recorded_at)
    line = f"{event.position}  {when}  {event.event_id}  {event.type}  {event.queue}  {event.actor}"
    return f"{line}{_because(reason_of(event))}{story}"


def _entry_line(entry: AuditEntry) -> str:
    when = timestamp(entry.recorded_at)
    return f"{when}  {entry.source}  {entry.subject}  {entry.act}  {entry.actor}{_because(entry.reason)}"


def _because(reason: str) -> str:
    return f": {' '.join(reason.split())}" if reason else ""


def _checked(shape: type[Asked], given: Mapping[str, object]) -> Asked:
    try:
        return shape.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigurationError(sentence_of(error.errors(include_url=False))) from error


@contextmanager
def _written(output: Path | None) -> Iterator[BinaryIO]:
    """Open where the export goes; a file gets its name when it is whole."""
    if output is None:
        yield typer.get_binary_stream("stdout")
        return
    unfinished = output.with_name(f"{output.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(output)
    except OSError as error:
        reason = f"--output must be a file that can be written: {error}"
        raise ConfigurationError(reason) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
