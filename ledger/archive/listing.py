"""The list of the months: what each amounts to, and whether it is in the log, beside it, or in a file alone."""

from dataclasses import dataclass

import asyncpg

from ledger.archive.checks import STEP_SECONDS_MAX, facts_of, tables_of_months
from ledger.archive.month import Month
from ledger.archive.record import archives_in
from ledger.queries import query
from ledger.store.connection import Database

_DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A month of the ledger.

    Attributes:
        month: like 2026-05; `default` stands for the tasks of no prepared month.
        state: open, finished (it is over, and so are all of its tasks), detached (its table is kept beside the
            log) or archived (only its file is left).
        bytes: of its table with its indexes.
        unfinished: how many of its tasks are to go on.
        file, sha256: where its events are, and the digest of that in hexadecimal.
    """

    month: str
    state: str
    events: int
    tasks: int
    bytes: int
    unfinished: int = 0
    file: str | None = None
    sha256: str | None = None


async def list_months(database: Database) -> list[Listed]:
    """Return every month that has a table or an archive; it reads all of the log, a month at a time."""
    async with database.dedicated() as connection:
        now = await connection.fetchval(query("database_time"))
        tables = {(row["name"], row["is_in_log"]): row["bytes"] for row in await tables_of_months(connection)}
        listed = [
            Listed(
                month=archive.name,
                state=archive.state,
                events=archive.events,
                tasks=archive.tasks,
                bytes=tables.get((Month(archive.month).table, False), 0),
                file=archive.file,
                sha256=archive.file_sha256.hex(),
            )
            for archive in await archives_in(connection)
        ]
        for (name, is_in_log), size in tables.items():
            if not is_in_log:
                continue
            month = Month.of_table(name)
            if month is None:
                listed.append(await _default(connection, size))
                continue
            facts = await facts_of(connection, month)
            unfinished = await _unfinished(connection, month)
            state = "finished" if month.is_over(now) and facts.events and not unfinished else "open"
            listed.append(
                Listed(
                    month=str(month),
                    state=state,
                    events=facts.events,
                    tasks=facts.tasks,
                    bytes=size,
                    unfinished=unfinished,
                )
            )
    return sorted(listed, key=lambda one: one.month)


async def _default(connection: asyncpg.Connection, size: int) -> Listed:
    [(events, tasks)] = await connection.fetch(query("facts_of_default"), timeout=STEP_SECONDS_MAX)
    return Listed(month=_DEFAULT, state="open", events=events, tasks=tasks, bytes=size)


async def _unfinished(connection: asyncpg.Connection, month: Month) -> int:
    rows = await connection.fetch(query("unfinished_of_month"), *month.ids, timeout=STEP_SECONDS_MAX)
    return int(rows[0]["tasks"]) if rows else 0
