"""The attaching and the dropping: a month comes back into the log, or its table beside it is given up."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import structlog

from ledger.archive.checks import (
    STEP_SECONDS_MAX,
    alone,
    archive_of,
    facts_of,
    is_table,
    prove_file,
    prove_kept,
    refuse_lagging,
)
from ledger.archive.errors import ArchiveNotFoundError
from ledger.archive.file import Row, digest_of, read_header, read_rows
from ledger.archive.month import Month
from ledger.archive.move import KEPT, LOG, briefly, move
from ledger.archive.record import Archive
from ledger.archive.shares import recorded_shares
from ledger.bootstrap import Ledger
from ledger.errors import ArchiveFileError, ArchiveRefusedError
from ledger.queries import query
from ledger.seals.leaf import COLUMNS, moment_of

log = structlog.get_logger()

_ACT = "attach"


@dataclass(frozen=True, slots=True)
class Attached:
    """What an attaching did; `locked_seconds` is how long readers and writers of the log had to wait."""

    events: int
    locked_seconds: float


async def attach(ledger: Ledger, month: Month, *, path: Path | None, actor: str) -> Attached:
    """Bring a month back into the log, from the table beside it or else from its file.

    No reader takes its events for new ones: all of them have come past its last position.

    Raises:
        ArchiveRefusedError: it is in the log already, something is in its way, or it is not what was archived.
        ArchiveFileError: the file is not what was archived.
    """
    async with alone(ledger, month, _ACT) as connection:
        archive = await archive_of(connection, month)
        if await is_table(connection, month, is_in_log=True):
            raise ArchiveRefusedError(month=str(month), act=_ACT, reason="it is in the log already")
        if not await is_table(connection, month, is_in_log=False):
            await _load(connection, month, archive, path)
        elif archive is not None:
            await prove_kept(connection, archive, _ACT)
        facts = await facts_of(connection, month, is_kept=True)
        await refuse_lagging(connection, month, _ACT, position=facts.last_position or 0)
        await _refuse_doubling(connection, month)

        async def recorded() -> None:
            if archive is not None:
                await connection.execute(query("insert_archive_act"), archive.id, "attached", actor)

        locked_seconds = await move(connection, month, source=KEPT, target=LOG, work=recorded)
    log.info("ledger.attached", month=str(month), events=facts.events, locked_seconds=round(locked_seconds, 4))
    return Attached(facts.events, locked_seconds)


async def drop(ledger: Ledger, month: Month, *, path: Path, actor: str) -> int:
    """Give up the table of a month whose file is proven once more; return how many events only the file has now.

    Raises:
        ArchiveRefusedError: there is no such table, or a reader still needs it.
        ArchiveFileError: the file is not what was archived.
    """
    async with alone(ledger, month, "drop") as connection:
        archive = await archive_of(connection, month)
        if archive is None or not await is_table(connection, month, is_in_log=False):
            raise ArchiveRefusedError(month=str(month), act="drop", reason="it has no table beside the log")
        await prove_archive(connection, archive, path)
        # A rebuild that is under way has a checkpoint too, and folds this table.
        await refuse_lagging(connection, month, "drop", position=archive.last_position)

        async def dropped() -> float:
            await connection.execute(query("lock_kept_months"))
            await connection.execute(query("drop_month"), month.first)
            await connection.execute(query("insert_archive_act"), archive.id, "dropped", actor)
            return 0.0

        await briefly(connection, month, dropped, act="drop")
    log.info("ledger.dropped", month=str(month), events=archive.events, file=archive.file)
    return archive.events


async def prove_archive(connection: asyncpg.Connection, archive: Archive, path: Path) -> None:
    """Refuse a file that is not the one that was archived; raises ArchiveFileError."""
    digest, _ = digest_of(path)
    if digest != archive.file_sha256:
        reason = f"has another digest than the record of {archive.name}"
        with suppress(ArchiveFileError):
            header = read_header(path)
            reason += f" (it says that it is of {header.month}, with {header.events} events)"
        raise ArchiveFileError(file=str(path), reason=reason)
    await prove_file(connection, path, await recorded_shares(connection, archive.id))


async def _load(connection: asyncpg.Connection, month: Month, archive: Archive | None, path: Path | None) -> None:
    """Make the table beside the log from the file, whole or not at all."""
    if path is None:
        if archive is None:
            raise ArchiveNotFoundError(month=str(month), act=_ACT, reason="there is no archive of it")
        reason = f"its table is gone: name its file, {archive.file}"
        raise ArchiveRefusedError(month=str(month), act=_ACT, reason=reason)
    if archive is None:
        await prove_file(connection, path)
    else:
        await prove_archive(connection, archive, path)
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(query("make_month"), month.first)
        for rows in read_rows(path):
            await connection.copy_records_to_table(
                month.table,
                schema_name="archive",
                columns=[*COLUMNS, "data"],
                records=_records(path, rows, month),
                timeout=STEP_SECONDS_MAX,
            )
        await connection.execute(query("finish_month"), month.first, *month.ids, timeout=STEP_SECONDS_MAX)


def _records(path: Path, rows: Sequence[Row], month: Month) -> Iterator[tuple[object, ...]]:
    least, beyond = month.ids
    for position, task_id, *rest in rows:
        try:
            key = UUID(str(task_id))
            times: list[datetime] = [moment_of(int(str(rest[at]))) for at in (5, 6)]
        except (ValueError, OverflowError) as error:
            raise ArchiveFileError(file=str(path), reason=f"has no event at position {position}") from error
        if not least <= key < beyond:
            raise ArchiveFileError(file=str(path), reason=f"has task {key} in it, which is not of {month}")
        yield (position, key, *rest[:5], *times, *rest[7:])


async def _refuse_doubling(connection: asyncpg.Connection, month: Month) -> None:
    rows = await connection.fetch(query("rows_in_the_way"), *month.ids, timeout=STEP_SECONDS_MAX)
    of_tasks, of_positions = rows[0]
    if of_tasks or of_positions:
        reason = f"the log has {of_tasks} events of its tasks and {of_positions} upon its positions already"
        raise ArchiveRefusedError(month=str(month), act=_ACT, reason=reason)
