"""The detaching: a month goes into a file, the file is proven by the seals, and only then it leaves the log.

Its table is kept beside the log until somebody drops it, because a file that was proven today can be lost
tomorrow, and whoever notices needs the events once more. So an event is always in the log, or in a table beside
it, or in a file that was proven right before the table was dropped. A kill at any step leaves the month in the
log, whole, or beside it with its record: both commit together. A file that is whole is taken up by the next call.
"""

from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

from ledger.archive.checks import (
    Facts,
    alone,
    facts_of,
    is_table,
    month_pages,
    prove_file,
    refuse_lagging,
    refuse_needed,
)
from ledger.archive.file import digest_of, file_name, read_header, write_archive
from ledger.archive.month import Month
from ledger.archive.move import KEPT, LOG, bound, move
from ledger.archive.shares import Share
from ledger.bootstrap import Ledger
from ledger.errors import ArchiveRefusedError
from ledger.queries import query

log = structlog.get_logger()

_ACT = "detach"


@dataclass(frozen=True, slots=True)
class Detached:
    """What a detaching did; `locked_seconds` is how long readers and writers of the log had to wait."""

    path: Path
    events: int
    tasks: int
    locked_seconds: float


async def detach(ledger: Ledger, month: Month, *, directory: Path, actor: str) -> Detached:
    """Take a month out of the log.

    Raises:
        ArchiveRefusedError: the month is not over, somebody still needs it, or others held on to the log.
        ArchiveFileError: the file cannot be written, or is not what was sealed.
        StoreUnavailableError: the database is out of reach; the next call goes on.
    """
    async with alone(ledger, month, _ACT) as connection:
        await _refuse_in_use(ledger, connection, month)
        await bound(connection, month)
        facts = await _complete_facts(ledger, connection, month)
        await refuse_lagging(connection, month, _ACT, position=facts.last_position or 0)
        path = directory / file_name(month)
        if not _is_whole(path, facts):
            await _refuse_foreign(connection, path)
            await write_archive(path, month, month_pages(connection, month))
        shares = await prove_file(connection, path)
        if sum(share.events for share in shares) != facts.events:
            raise _went_on(month)
        locked_seconds = await _leave(connection, month, facts, shares=shares, file=(path, actor))
    log.info("ledger.detached", month=str(month), events=facts.events, locked_seconds=round(locked_seconds, 4))
    return Detached(path, facts.events, facts.tasks, locked_seconds)


async def export(ledger: Ledger, month: Month, path: Path) -> int:
    """Write a month to a file and prove it against the seals, and change nothing; return how many events it has.

    Raises:
        ArchiveRefusedError: the month has no table, or its last event is not sealed yet.
        ArchiveFileError: the file cannot be written, or is not what was sealed.
    """
    async with alone(ledger, month, "export") as connection:
        is_kept = await is_table(connection, month, is_in_log=False)
        if not is_kept and not await is_table(connection, month, is_in_log=True):
            raise ArchiveRefusedError(month=str(month), act="export", reason="it has no table")
        await _refuse_foreign(connection, path)
        header = await write_archive(path, month, month_pages(connection, month, is_kept=is_kept))
        await prove_file(connection, path)
    return header.events


async def _refuse_in_use(ledger: Ledger, connection: asyncpg.Connection, month: Month) -> None:
    if not month.is_over(await connection.fetchval(query("database_time"))):
        raise ArchiveRefusedError(month=str(month), act=_ACT, reason="it is not over")
    if await is_table(connection, month, is_in_log=False):
        raise ArchiveRefusedError(month=str(month), act=_ACT, reason="it is detached already")
    if not await is_table(connection, month, is_in_log=True):
        reason = "it has no partition; what is in the default partition stays in the log"
        raise ArchiveRefusedError(month=str(month), act=_ACT, reason=reason)
    await refuse_needed(ledger, connection, month, _ACT)


async def _complete_facts(ledger: Ledger, connection: asyncpg.Connection, month: Month) -> Facts:
    """Return what the month amounts to, where no open transaction can still append below its last position."""
    facts = await facts_of(connection, month)
    if facts.last_position is None:
        raise ArchiveRefusedError(month=str(month), act=_ACT, reason="there is no event in it")
    if await ledger.store.safe_position() < facts.last_position:
        raise _went_on(month)
    again = await facts_of(connection, month)
    if again != facts:
        raise _went_on(month)
    return facts


def _is_whole(path: Path, facts: Facts) -> bool:
    """Say whether an earlier call has written this very file; what is in it is proven afterwards."""
    if not _exists(path):
        return False
    header = read_header(path)
    known = (facts.events, facts.first_position, facts.last_position)
    return (header.events, header.first_position, header.last_position) == known


async def _refuse_foreign(connection: asyncpg.Connection, path: Path) -> None:
    # A file of this name that the seals do not prove is another ledger's only archive, perhaps.
    if _exists(path):
        await prove_file(connection, path)


def _exists(path: Path) -> bool:
    return path.exists()


async def _leave(
    connection: asyncpg.Connection, month: Month, facts: Facts, *, shares: list[Share], file: tuple[Path, str]
) -> float:
    path, actor = file
    digest, size = digest_of(path)

    async def recorded() -> None:
        # Events that came meanwhile have later positions: all below the last one were there when it was read.
        if await connection.fetchval(query("last_position_of_month"), *month.ids) != facts.last_position:
            raise _went_on(month)
        archive_id = await connection.fetchval(
            query("insert_archive"), month.first, *month.ids, facts.events, facts.tasks, facts.first_position,
            facts.last_position, facts.first_recorded_at, facts.last_recorded_at, path.name, size, digest, actor,
        )  # fmt: skip
        rows = [(archive_id, share.seal, share.events, share.root, list(share.ranges)) for share in shares]
        await connection.executemany(query("insert_archive_share"), rows)

    return await move(connection, month, source=LOG, target=KEPT, work=recorded)


def _went_on(month: Month) -> ArchiveRefusedError:
    return ArchiveRefusedError(month=str(month), act=_ACT, reason="a task of it went on meanwhile; try again")
