"""The checks: what has to hold before a month may leave the log, come back, or be dropped."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg

from ledger.archive.file import Row, read_rows
from ledger.archive.month import Month
from ledger.archive.record import Archive, archives_in
from ledger.archive.shares import NotSealedError, Share, recorded_shares, shares_of
from ledger.bootstrap import Ledger
from ledger.errors import ArchiveFileError, ArchiveRefusedError
from ledger.leader import leading
from ledger.queries import query
from ledger.read_model import fetch_rows

ROLE = "archive"
# What reads a whole month may take long, and must not be cut short; nothing may run for ever.
STEP_SECONDS_MAX = 6 * 3600.0
_PAGE_EVENTS = 100


@dataclass(frozen=True, slots=True)
class Facts:
    """What a month amounts to; positions and times are None where it is empty."""

    events: int
    tasks: int
    first_position: int | None
    last_position: int | None
    first_recorded_at: datetime | None
    last_recorded_at: datetime | None


@asynccontextmanager
async def alone(ledger: Ledger, month: Month, act: str) -> AsyncIterator[asyncpg.Connection]:
    """Lend a connection to the one process that moves months at the moment; raises ArchiveRefusedError."""
    async with leading(ledger.database, ROLE) as connection:
        if connection is None:
            raise ArchiveRefusedError(month=str(month), act=act, reason="another process works on the archives")
        yield connection


async def facts_of(connection: asyncpg.Connection, month: Month, *, is_kept: bool = False) -> Facts:
    """Return what a month amounts to, in the log or beside it."""
    name = "facts_of_kept_month" if is_kept else "facts_of_month"
    rows = await connection.fetch(query(name), *month.ids, timeout=STEP_SECONDS_MAX)
    return Facts(*rows[0])


async def tables_of_months(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Return the tables of the log and of what is kept beside it: name, is_in_log, bytes."""
    rows: list[asyncpg.Record] = await connection.fetch(query("months_in_log"))
    return rows


async def is_table(connection: asyncpg.Connection, month: Month, *, is_in_log: bool) -> bool:
    """Say whether the month has a table in the log, or beside it."""
    rows = await tables_of_months(connection)
    return any(row["name"] == month.table and row["is_in_log"] == is_in_log for row in rows)


async def archive_of(connection: asyncpg.Connection, month: Month) -> Archive | None:
    """Return the record of a month that is not in the log."""
    found = [one for one in await archives_in(connection) if one.month == month.first]
    return found[-1] if found else None


async def refuse_lagging(connection: asyncpg.Connection, month: Month, act: str, *, position: int) -> None:
    """Refuse while a reader of the log has not come past a position; names the one that is furthest behind."""
    row = await connection.fetchrow(query("lagging_reader"), position)
    if row is not None:
        reason = f"{row['name']} is at position {row['position']}, and has to come past its last one, {position}"
        raise ArchiveRefusedError(month=str(month), act=act, reason=reason)


async def refuse_needed(ledger: Ledger, connection: asyncpg.Connection, month: Month, act: str) -> None:
    """Refuse while a task of the month is unfinished, or somebody still needs one."""
    unfinished = await connection.fetch(query("unfinished_of_month"), *month.ids, timeout=STEP_SECONDS_MAX)
    if unfinished:
        ids = ", ".join(str(row["task_id"]) for row in unfinished)
        more = ", …" if unfinished[0]["tasks"] > len(unfinished) else ""
        reason = f"{_counted(unfinished[0]['tasks'], 'task')} unfinished: {ids}{more}"
        raise ArchiveRefusedError(month=str(month), act=act, reason=reason)
    [(keys, permits)] = await connection.fetch(query("notes_about_month"), *month.ids)
    if keys:
        reason = (
            f"{_counted(keys, 'idempotency key')} of its tasks still kept (LEDGER_IDEMPOTENCY_HOURS), and a "
            "repeat would make a second task"
        )
        raise ArchiveRefusedError(month=str(month), act=act, reason=reason)
    if permits:
        reason = f"{_counted(permits, 'permit')} of its tasks not tidied up yet; the scheduler does that"
        raise ArchiveRefusedError(month=str(month), act=act, reason=reason)
    waiting = await fetch_rows(ledger.database, "waiting_for_month", *month.ids)
    if waiting and waiting[0]["tasks"]:
        reason = f"{_counted(waiting[0]['tasks'], 'task')} of other months waiting for tasks of it"
        raise ArchiveRefusedError(month=str(month), act=act, reason=reason)


async def prove_file(
    connection: asyncpg.Connection, path: Path, expected: Sequence[Share] | None = None
) -> list[Share]:
    """Return the shares of a file, whose every event is what was sealed.

    Raises:
        ArchiveFileError: it is damaged, an event of it is not what was sealed, or its shares are not the expected.
    """
    try:
        shares = await shares_of(connection, _pages_of(path))
    except NotSealedError as error:
        raise ArchiveFileError(file=str(path), reason=f"is not what was sealed: {error}") from error
    if expected is not None and shares != list(expected):
        raise ArchiveFileError(file=str(path), reason=f"is not what was archived: {_parting(shares, expected)}")
    return shares


async def prove_kept(connection: asyncpg.Connection, archive: Archive, act: str) -> None:
    """Refuse where the table beside the log is not what the record and the seals say."""
    month = Month(archive.month)
    expected = await recorded_shares(connection, archive.id)
    try:
        shares = await shares_of(connection, month_pages(connection, month, is_kept=True))
    except NotSealedError as error:
        raise ArchiveRefusedError(month=archive.name, act=act, reason=f"its table was touched: {error}") from error
    if shares != expected:
        reason = f"its table is not what was archived: {_parting(shares, expected)}"
        raise ArchiveRefusedError(month=archive.name, act=act, reason=reason)


async def month_pages(
    connection: asyncpg.Connection, month: Month, *, is_kept: bool = False
) -> AsyncGenerator[Sequence[Row], None]:
    """Yield a month page by page, in the order of the log, as one state has it."""
    async with connection.transaction(isolation="repeatable_read"):
        cursor = await connection.cursor(query("read_kept_month" if is_kept else "read_month"), *month.ids)
        while page := await cursor.fetch(_PAGE_EVENTS, timeout=STEP_SECONDS_MAX):
            yield [tuple(row) for row in page]


def _parting(found: Sequence[Share], expected: Sequence[Share]) -> str:
    seals = {share.seal: share for share in found}
    for share in expected:
        if seals.pop(share.seal, None) != share:
            return f"other events of seal {share.seal} were"
    return f"events of seal {min(seals)} were not"


async def _pages_of(path: Path) -> AsyncIterator[Sequence[Row]]:
    for rows in read_rows(path):
        yield rows


def _counted(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number} {noun}s are"
