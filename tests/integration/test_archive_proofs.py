"""The seals prove a ledger with archived months, and whatever was done to an archive or behind it is named."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from ledger.archive.attach import attach, drop
from ledger.archive.detach import detach, export
from ledger.archive.file import file_name
from ledger.bootstrap import Ledger
from ledger.doctor import examine
from ledger.errors import ArchiveRefusedError
from ledger.seals.verification import Verdict, Verifier
from tests.integration.archives_given import JUNE, MAY, aged_ledger
from tests.integration.given import eventually, execute, fetch

_UNGUARD = """
DO $$
DECLARE
    guarded regclass;
BEGIN
    FOR guarded IN SELECT relid FROM pg_partition_tree('ledger.events') UNION SELECT relid FROM
        pg_partition_tree('archive.events') UNION SELECT unnest('{ledger.archives,ledger.archive_shares}'::regclass[])
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER refuse_change', guarded);
    END LOOP;
END $$;
"""  # noqa: E501


@pytest.fixture
async def aged(database_url: str) -> AsyncIterator[tuple[Ledger, list[UUID]]]:
    async with aged_ledger(database_url) as aged:
        yield aged


async def verdict_after(ledger: Ledger, *statements: str, archives: Path | None = None) -> Verdict:
    """Return what a verification says once somebody whom no trigger stops has done this, and undo it."""
    await execute(ledger, _UNGUARD)
    tables = ("ledger.events", "archive.events", "ledger.archives", "ledger.archive_shares")
    for number, table in enumerate(tables):
        await execute(ledger, f"CREATE TABLE kept_{number} AS TABLE {table}")
    for statement in statements:
        await execute(ledger, statement)
    verdict = await Verifier(ledger).verify(archives=archives)
    await execute(ledger, "TRUNCATE ledger.events, archive.events")
    await execute(ledger, "DELETE FROM ledger.archive_shares")
    for number, table in enumerate(tables):
        if table == "ledger.archives":
            await execute(
                ledger,
                f"DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{number}",  # noqa: S608 - ours
            )
        else:
            await execute(ledger, f"INSERT INTO {table} SELECT * FROM kept_{number}")  # noqa: S608 - ours
        await execute(ledger, f"DROP TABLE kept_{number}")
    assert (await Verifier(ledger).verify()).is_proven
    return verdict


async def test_dropped_month_is_proven_by_its_file_and_else_told(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, _ = aged
    whole = await Verifier(ledger).verify()
    path = (await detach(ledger, MAY, directory=tmp_path, actor="tester")).path
    beside = await Verifier(ledger).verify()
    await drop(ledger, MAY, path=path, actor="tester")

    without = await Verifier(ledger).verify()
    with_file = await Verifier(ledger).verify(archives=tmp_path)

    assert (whole.events, beside.events, beside.archived) == (18, 18, 9)
    assert (without.is_proven, without.events, without.archived) == (True, 9, 0)
    (positions,) = await fetch(ledger, "SELECT first_position, last_position FROM ledger.archives")
    assert without.unverified == (f"2024-05, positions {positions[0]} to {positions[1]}",)
    assert (with_file.is_proven, with_file.events, with_file.archived, with_file.unverified) == (True, 18, 9, ())
    assert await examine(ledger) == []


async def test_whatever_is_done_beside_an_archive_is_named(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, tasks = aged
    await detach(ledger, MAY, directory=tmp_path, actor="tester")
    stream = await fetch(ledger, "SELECT position FROM archive.events WHERE task_id = $1 ORDER BY 1", tasks[1])
    june = await fetch(ledger, "SELECT position FROM ledger.events WHERE task_id = $1 ORDER BY 1", tasks[3])
    first, seal = stream[0][0], "(SELECT min(seal) FROM ledger.archive_shares)"
    forged = "'\\x" + "00" * 32 + "'"

    found = {
        statement: (difference.kind.value, difference.position)
        for statement in (
            f"DELETE FROM archive.events WHERE task_id = '{tasks[1]}'",  # noqa: S608 - ours
            f"UPDATE archive.events SET actor = 'x' WHERE position = {first}",  # noqa: S608 - ours
            f"DELETE FROM ledger.events WHERE task_id = '{tasks[3]}'",  # noqa: S608 - ours
            f"UPDATE ledger.archive_shares SET root = {forged} WHERE seal = {seal}",  # noqa: S608 - ours
            f"UPDATE ledger.archive_shares SET ranges = '{{1,{june[0][0]}}}' WHERE seal = {seal}",  # noqa: S608 - ours
            f"DELETE FROM ledger.archive_shares WHERE seal = {seal}",  # noqa: S608 - ours
        )
        if (difference := (await verdict_after(ledger, statement)).difference)
    }

    lost = (await fetch(ledger, f"SELECT ranges[1] FROM ledger.archive_shares WHERE seal = {seal}"))[0][0]  # noqa: S608 - ours
    assert list(found.values()) == [
        ("removed", first), ("changed", first), ("removed", june[0][0]), ("archive", None), ("archive", None),
        ("removed", lost),
    ]  # fmt: skip


async def test_table_beside_the_log_that_was_touched_does_not_come_back(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, tasks = aged
    await detach(ledger, MAY, directory=tmp_path, actor="tester")
    await execute(ledger, _UNGUARD)
    await execute(ledger, "DELETE FROM archive.events WHERE task_id = $1", tasks[1])

    with pytest.raises(ArchiveRefusedError, match="its table is not what was archived"):
        await attach(ledger, MAY, path=None, actor="tester")


async def test_forged_record_hides_a_deletion_only_from_whoever_does_not_ask_for_the_file(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, _ = aged
    path = (await detach(ledger, MAY, directory=tmp_path, actor="tester")).path
    await drop(ledger, MAY, path=path, actor="tester")
    await execute(ledger, _UNGUARD)
    # Somebody removes June as well, and says of the archive of May that it has its events too.
    await detach(ledger, JUNE, directory=tmp_path, actor="forger")
    await execute(ledger, "UPDATE ledger.archives SET file = $1 WHERE actor = 'forger'", path.name)
    await execute(ledger, f"DROP TABLE archive.{JUNE.table}")

    unasked = await Verifier(ledger).verify()
    difference = (await Verifier(ledger).verify(archives=tmp_path)).difference

    assert unasked.is_proven
    assert [told.partition(",")[0] for told in unasked.unverified] == ["2024-05", "2024-06"]
    assert difference is not None
    assert "the archive of 2024-06 is not right" in str(difference)


@pytest.mark.parametrize("moment", ["writing", "moving"])
async def test_month_is_whole_whenever_its_detaching_is_killed(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path, database_url: str, moment: str
) -> None:
    ledger, _ = aged
    before = await fetch(ledger, "SELECT * FROM ledger.events ORDER BY position")
    if moment == "writing":
        await export(ledger, JUNE, tmp_path / "june")
        for part in ("body", "unfinished"):  # what a kill leaves behind
            (tmp_path / f"{file_name(MAY)}.{part}").write_bytes((tmp_path / "june").read_bytes()[:100])
    else:
        await _killed_while_moving(ledger, database_url, tmp_path)

    between = await fetch(ledger, "SELECT * FROM ledger.events ORDER BY position")
    await detach(ledger, MAY, directory=tmp_path, actor="tester")
    (archives,) = await fetch(ledger, "SELECT count(*), min(events) FROM ledger.archives")

    assert between == before
    assert tuple(archives) == (1, 9)
    assert (await Verifier(ledger).verify(archives=tmp_path)).is_proven
    assert (
        await fetch(ledger, "SELECT * FROM ledger.events UNION ALL SELECT * FROM archive.events ORDER BY 1")
        == before
    )


async def _killed_while_moving(ledger: Ledger, url: str, directory: Path) -> None:
    """Kill the command while it has the log under its lock and waits to write its record."""
    arguments = ("-m", "api", "archive", "detach", str(MAY), "--directory", str(directory), "--database-url", url)
    async with ledger.database.dedicated() as holder, holder.transaction():
        await holder.execute("LOCK TABLE ledger.archives IN SHARE MODE")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
        )

        async def waits() -> bool:
            return bool(
                await holder.fetchval(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ledger.archives'::regclass"
                )
            )

        await eventually(waits, what="the command writes its record")
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
