"""The migration runner: forward only, one migrator at a time, and an applied file is never edited."""

import hashlib
from dataclasses import dataclass

import asyncpg
import structlog

from ledger.errors import MigrationError, StoreRefusedError, StoreUnavailableError
from ledger.queries import query, sql_files
from ledger.settings import masked_url
from ledger.store.connection import translated

log = structlog.get_logger()

_LOCK_SECONDS_MAX = 300.0
_CONNECT_SECONDS_MAX = 10.0
_CLOSE_SECONDS_MAX = 5.0


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


async def migrate(
    url: str, *, dry_run: bool = False, lock_seconds_max: float = _LOCK_SECONDS_MAX
) -> list[Migration]:
    """Apply what is missing, each migration in one transaction, and return it; a dry run changes nothing.

    Raises:
        StoreUnavailableError: the database is out of reach.
        StoreRefusedError: this user may not see or make what was applied.
        MigrationError: an applied migration was edited or is unknown to this release, one failed, or another
            migrator did not come to its end in time.
    """
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS_MAX)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StoreUnavailableError(f"the database at {masked_url(url)} is out of reach: {error}") from error
    with translated():
        try:
            return await (_missing(connection) if dry_run else _apply_missing(connection, lock_seconds_max))
        finally:
            await connection.close(timeout=_CLOSE_SECONDS_MAX)  # the lock goes with the session


async def _apply_missing(connection: asyncpg.Connection, lock_seconds_max: float) -> list[Migration]:
    await _lock(connection, lock_seconds_max)
    await connection.execute(query("make_migrations_table"))
    missing = await _missing(connection)
    for migration in missing:
        await _apply(connection, migration)
    return missing


async def _lock(connection: asyncpg.Connection, seconds_max: float) -> None:
    try:
        await connection.execute(query("lock_migrations"), timeout=seconds_max)
    except TimeoutError as error:
        raise MigrationError(f"another migrator has been at work for more than {seconds_max:g} s") from error


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
        with translated():
            async with connection.transaction():
                await connection.execute(migration.statements)
                await connection.execute(
                    query("record_migration"), migration.number, migration.name, migration.sha256
                )
    except StoreRefusedError as error:
        name = f"{migration.number:04} ({migration.name})"
        raise MigrationError(f"migration {name} failed: {error.__cause__}") from error
    log.info("migration.applied", number=migration.number, name=migration.name)
