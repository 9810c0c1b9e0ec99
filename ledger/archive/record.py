"""The record of an archive: what left the log, when, by whom, and which file has it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg

from ledger.archive.month import Month
from ledger.queries import query
from ledger.store.connection import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A month that is not in the log; its columns in their order.

    Attributes:
        is_dropped: whether the database has only the record of it.
    """

    id: int
    month: date
    least_task_id: UUID
    beyond_task_id: UUID
    events: int
    tasks: int
    first_position: int
    last_position: int
    first_recorded_at: datetime
    last_recorded_at: datetime
    file: str
    file_bytes: int
    file_sha256: bytes
    actor: str
    archived_at: datetime
    is_dropped: bool

    @property
    def name(self) -> str:
        """Return the month as people write it."""
        return str(Month(self.month))

    @property
    def state(self) -> str:
        """Return `detached` while its table is kept beside the log, else `archived`."""
        return "archived" if self.is_dropped else "detached"

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON: the digest in hexadecimal."""
        return {
            "month": self.name,
            "state": self.state,
            "events": self.events,
            "tasks": self.tasks,
            "first_position": self.first_position,
            "last_position": self.last_position,
            "first_recorded_at": self.first_recorded_at,
            "last_recorded_at": self.last_recorded_at,
            "file": self.file,
            "file_bytes": self.file_bytes,
            "file_sha256": self.file_sha256.hex(),
            "archived_by": self.actor,
            "archived_at": self.archived_at,
        }


async def archives_in(connection: asyncpg.Connection) -> list[Archive]:
    """Return the months that are not in the log, oldest first."""
    rows = await connection.fetch(query("archived_months"))
    return [Archive(**dict(row)) for row in rows]


async def read_archives(database: Database) -> list[Archive]:
    """Return the months that are not in the log, oldest first."""
    async with database.connection() as connection:
        return await archives_in(connection)
