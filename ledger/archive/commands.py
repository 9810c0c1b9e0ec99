"""What `taskledger archive …` does, and how it says it on a terminal."""

import getpass
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import orjson
import typer

from ledger.archive.attach import attach, drop, prove_archive
from ledger.archive.checks import alone, archive_of, prove_file, prove_kept
from ledger.archive.detach import detach, export
from ledger.archive.file import file_name, read_header
from ledger.archive.listing import Listed, list_months
from ledger.archive.month import Month
from ledger.bootstrap import Ledger, open_ledger
from ledger.envelope import answer
from ledger.errors import ArchiveRefusedError, InvalidValueError
from ledger.roles import start_up
from ledger.settings import load_settings


async def run_list(database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each month."""
    async with _opened(database_url) as ledger:
        months = await list_months(ledger.database)
    if as_json:
        answer(orjson.dumps({"months": months}, default=str))
        return
    for one in months:
        typer.echo(_line(one))


async def run_detach(text: str, *, directory: Path, database_url: str | None, as_json: bool) -> None:
    """Archive a month and take it out of the log."""
    month = _month(text)
    _require_directory(directory)
    async with _opened(database_url) as ledger:
        done = await detach(ledger, month, directory=directory, actor=_actor())
    line = (
        f"detached {month}: {done.events} events of {done.tasks} tasks are in {done.path}, proven; readers and "
        f"writers waited {done.locked_seconds * 1000:.0f} ms; its table is kept until `archive drop {month}`"
    )
    _say(line, {**asdict(done), "month": str(month), "act": "detached"}, as_json=as_json)


async def run_export(text: str, *, output: Path, database_url: str | None, as_json: bool) -> None:
    """Write a month to a file, and leave it where it is."""
    month = _month(text)
    async with _opened(database_url) as ledger:
        events = await export(ledger, month, output)
    line = f"exported {month}: {events} events, proven by the seals, are in {output}"
    _say(line, {"month": str(month), "act": "exported", "events": events, "path": output}, as_json=as_json)


async def run_attach(what: str, *, database_url: str | None, as_json: bool) -> None:
    """Bring a month back into the log."""
    path, month = _named(what)
    async with _opened(database_url) as ledger:
        done = await attach(ledger, month, path=path, actor=_actor())
    waited = f"readers and writers waited {done.locked_seconds * 1000:.0f} ms at most"
    line = f"attached {month}: {done.events} events are in the log again; {waited}"
    _say(line, {**asdict(done), "month": str(month), "act": "attached"}, as_json=as_json)


async def run_verify(what: str, *, directory: Path | None, database_url: str | None, as_json: bool) -> None:
    """Prove the file of a month, and its table where it is kept, by the seals."""
    path, month = _named(what)
    if path is None and directory is not None:
        path = directory / file_name(month)
    async with _opened(database_url) as ledger, alone(ledger, month, "verify") as connection:
        archive = await archive_of(connection, month)
        proven = []
        if path is not None:
            await (prove_file(connection, path) if archive is None else prove_archive(connection, archive, path))
            proven.append(f"the file {path}")
        if archive is not None and not archive.is_dropped:
            await prove_kept(connection, archive, "verify")
            proven.append("the table beside the log")
        if not proven:
            reason = (
                "it is in the log" if archive is None else f"its table was dropped: name its file, {archive.file}"
            )
            raise ArchiveRefusedError(month=str(month), act="verify", reason=reason)
    line = f"{month} is what was sealed: {' and '.join(proven)}"
    _say(line, {"month": str(month), "act": "verified", "proven": proven}, as_json=as_json)


async def run_drop(text: str, *, directory: Path, database_url: str | None, as_json: bool) -> None:
    """Give up the table of a month."""
    month = _month(text)
    async with _opened(database_url) as ledger:
        events = await drop(ledger, month, path=directory / file_name(month), actor=_actor())
    path = directory / file_name(month)
    line = f"dropped {month}: its {events} events are in {path} alone, proven just now"
    _say(line, {"month": str(month), "act": "dropped", "events": events, "path": path}, as_json=as_json)


def _say(line: str, body: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        answer(orjson.dumps(body, default=str))
    else:
        typer.echo(line)


def _named(what: str) -> tuple[Path | None, Month]:
    """Return the file and the month that are meant: a file says itself of which month it is."""
    try:
        return None, Month.parse(what)
    except InvalidValueError:
        path = Path(what)
        if not path.exists():
            raise
    return path, read_header(path).month


def _month(text: str) -> Month:
    if text == "default":
        reason = "the default partition holds the tasks of no prepared month, and stays"
        raise ArchiveRefusedError(month=text, act="detach", reason=reason)
    return Month.parse(text)


def _require_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise InvalidValueError(field="--directory", bound="a directory that exists", value=str(directory))


def _line(one: Listed) -> str:
    unfinished = f"{one.unfinished} unfinished" if one.unfinished else ""
    file = f"{one.file}  sha256 {one.sha256}" if one.file else ""
    line = f"{one.month:<8} {one.state:<9} {one.events:>10} events {one.tasks:>9} tasks {one.bytes:>12} bytes"
    return f"{line}  {unfinished}{file}".rstrip()


def _actor() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container without a name for its user
        return "cli"


@asynccontextmanager
async def _opened(database_url: str | None) -> AsyncIterator[Ledger]:
    async with open_ledger(start_up(load_settings(database_url=database_url), role="archive")) as ledger:
        yield ledger
