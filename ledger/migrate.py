"""The migration runner: forward only, one migrator at a time, and an applied file is never edited."""

import hashlib
from dataclasses import dataclass

import asyncpg
import structlog

from ledger.errors import MigrationError, StoreUnavailableError
from ledger.queries import query, sql_files
from ledger.settings import masked_url

log = structlog.get_logger()

_LOCK_SECONDS_MAX = 300.0
_CONNECT_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of sql/migrations, named `NNNN_what.sql`."""

    number: int
    name: str
    statements: str

    @property
    def sha256(self) -> str:
        """The digest that is recorded when it is applied."""
        return hashlib.sha256(self.statements.encode()).hexdigest()


def shipped_migrations() -> list[Migration]:
    """Return the migrations of this release, in order."""
    return [
        Migration(int(file.name[:4]), file.name.removesuffix(".sql")[5:], file.read_text("utf-8"))
        for file in sql_files("migrations")
    ]


async def migrate(url: str, *, dry_run: bool = False) -> list[Migration]:
    """Apply what is missing, each migration in one transaction, and return it; a dry run changes nothing.

    Raises:
        StoreUnavailableError: the database is out of reach.
        MigrationError: an applied migration was edited or is unknown to this release, or one failed.
    """
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS_MAX)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StoreUnavailableError(f"the database at {masked_url(url)} is out of reach: {error}") from error
    try:
        if dry_run:
            return await _missing(connection)
        await connection.execute(query("lock_migrations"), timeout=_LOCK_SECONDS_MAX)
        await connection.execute(query("make_migrations_table"))
        missing = await _missing(connection)
        for migration in missing:
            await _apply(connection, migration)
        return missing
    finally:
        await connection.close()  # the lock goes with the session


async def _missing(connection: asyncpg.Connection) -> list[Migration]:
    shipped = {migration.number: migration for migration in shipped_migrations()}
    for number, name, sha256 in await _applied(connection):
        migration = shipped.pop(number, None)
        if migration is None:
            raise MigrationError(
                f"the database has migration {number:04} ({name}), which this release does not know"
            )
        if migration.sha256 != sha256:
            raise MigrationError(f"migration {number:04} ({name}) was edited after it was applied")
    return list(shipped.values())


async def _applied(connection: asyncpg.Connection) -> list[tuple[int, str, str]]:
    if not await connection.fetchval(query("migrations_table_exists")):
        return []
    return [tuple(row) for row in await connection.fetch(query("applied_migrations"))]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.statements)
            await connection.execute(query("record_migration"), migration.number, migration.name, migration.sha256)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"migration {migration.number:04} ({migration.name}) failed: {error}") from error
    log.info("migration.applied", number=migration.number, name=migration.name)
