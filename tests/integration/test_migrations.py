"""The migrations: applied once, in order, by one at a time; an edited or unknown one is refused."""

import asyncio
import secrets

import asyncpg
import pytest

from ledger import migrate as runner
from ledger.errors import MigrationError, StoreRefusedError, StoreUnavailableError
from ledger.migrate import Migration, migrate, shipped_migrations
from ledger.queries import query


async def value(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_everything_is_applied_once(empty_database_url: str) -> None:
    first = await migrate(empty_database_url)
    second = await migrate(empty_database_url)

    assert first == shipped_migrations()
    assert second == []
    assert await value(empty_database_url, "SELECT count(*) FROM ledger.schema_migrations") == len(first)


async def test_dry_run_says_what_is_missing_and_changes_nothing(empty_database_url: str) -> None:
    missing = await migrate(empty_database_url, dry_run=True)

    assert missing == shipped_migrations()
    assert await value(empty_database_url, "SELECT to_regnamespace('ledger')") is None


async def test_two_migrators_at_once_apply_everything_once(empty_database_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))

    assert sorted(map(len, applied)) == [0, 0, 0, len(shipped_migrations())]


async def test_edited_migration_is_refused(database_url: str) -> None:
    await execute(database_url, "UPDATE ledger.schema_migrations SET sha256 = 'other' WHERE number = 2")

    with pytest.raises(MigrationError, match="migration 0002 \\(operations\\) was edited"):
        await migrate(database_url)


async def test_migration_of_a_newer_release_is_refused(database_url: str) -> None:
    await execute(database_url, "INSERT INTO ledger.schema_migrations VALUES (9999, 'future', 'x')")

    with pytest.raises(MigrationError, match="9999 \\(future\\), which this release does not know"):
        await migrate(database_url)


async def test_migration_that_fails_leaves_nothing_half_done(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Migration(9000, "broken", "CREATE TABLE ledger.half_done (n int); SELECT 1 / 0;")
    monkeypatch.setattr(runner, "shipped_migrations", lambda: [*shipped_migrations(), broken])

    with pytest.raises(MigrationError, match="migration 9000 \\(broken\\) failed: division by zero"):
        await migrate(database_url)

    assert await value(database_url, "SELECT to_regclass('ledger.half_done')") is None


async def test_migrator_does_not_wait_for_another_for_ever(empty_database_url: str) -> None:
    other = await asyncpg.connect(empty_database_url)
    await other.execute(query("lock_migrations"))

    with pytest.raises(MigrationError, match=r"another migrator has been at work for more than 0\.1 s"):
        await migrate(empty_database_url, lock_seconds_max=0.1)

    await other.close()
    assert await migrate(empty_database_url) == shipped_migrations()


async def test_user_that_may_not_migrate_is_refused(empty_database_url: str) -> None:
    role = f"stranger_{secrets.token_hex(4)}"
    await execute(empty_database_url, f"CREATE ROLE {role}")

    try:
        with pytest.raises(StoreRefusedError, match="permission denied"):
            await migrate(f"{empty_database_url}?role={role}")
    finally:
        await execute(empty_database_url, f"DROP ROLE {role}")


async def test_database_out_of_reach_is_named_without_its_password() -> None:
    with pytest.raises(StoreUnavailableError, match=r"postgres://u:\*\*\*@127.0.0.1:1/db") as refused:
        await migrate("postgres://u:s3cr3t@127.0.0.1:1/db")

    assert "s3cr3t" not in str(refused.value)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in shipped_migrations()] == list(
        range(1, len(shipped_migrations()) + 1)
    )
