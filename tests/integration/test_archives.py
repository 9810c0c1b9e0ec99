"""A month leaves the log only when nobody needs it, into a file that the seals prove; and it comes back whole."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from ledger.archive.attach import attach, drop
from ledger.archive.detach import detach, export
from ledger.archive.file import file_name, read_header, read_rows
from ledger.archive.listing import list_months
from ledger.archive.month import Month
from ledger.bootstrap import Ledger
from ledger.doctor import examine
from ledger.errors import (
    ArchiveFileError,
    ArchiveRefusedError,
    StoreRefusedError,
    TaskArchivedError,
)
from ledger.seals.bundle import check_bundle
from ledger.seals.evidence import gather_evidence
from ledger.seals.verification import Verifier
from ledger.specification import TaskSpecification
from ledger.store.keys import IdempotencyKey
from projections.errors import ArchivedMonthsError
from projections.rebuild import rebuild
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.archives_given import JUNE, MAY, aged_ledger, completed, settled, submitted_in
from tests.integration.given import CLIENT, execute, fetch

_ALL = "SELECT * FROM ledger.events ORDER BY position"


@pytest.fixture
async def aged(database_url: str) -> AsyncIterator[tuple[Ledger, list[UUID]]]:
    async with aged_ledger(database_url) as aged:
        yield aged


@pytest.fixture
def ledger(aged: tuple[Ledger, list[UUID]]) -> Ledger:
    return aged[0]


async def detached(ledger: Ledger, directory: Path, month: Month = MAY) -> Path:
    return (await detach(ledger, month, directory=directory, actor="tester")).path


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def states(ledger: Ledger) -> dict[str, str]:
    return {one.month: one.state for one in await list_months(ledger.database) if one.events}


async def refusal(ledger: Ledger, directory: Path, month: Month = MAY) -> str:
    before = await fetch(ledger, _ALL)
    with pytest.raises(ArchiveRefusedError) as refused:
        await detached(ledger, directory, month)
    assert await fetch(ledger, _ALL) == before
    return str(refused.value)


async def test_month_leaves_the_log_into_a_file_and_comes_back_as_it_was(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, tasks = aged
    before = await fetch(ledger, _ALL)

    path = await detached(ledger, tmp_path)

    assert {row["task_id"] for row in await fetch(ledger, _ALL)} == set(tasks[3:])
    assert (read_header(path).events, read_header(path).tasks) == (9, 3)
    assert (await states(ledger))["2024-05"] == "detached"
    assert (await Verifier(ledger).verify()).is_proven

    await attach(ledger, MAY, path=None, actor="tester")

    assert await fetch(ledger, _ALL) == before
    assert (await states(ledger))["2024-05"] == "finished"
    assert (await Verifier(ledger).verify()).is_proven
    assert await examine(ledger) == []


async def test_month_that_was_dropped_comes_back_from_its_file_byte_by_byte(
    ledger: Ledger, tmp_path: Path
) -> None:
    before = await fetch(ledger, _ALL)
    path = await detached(ledger, tmp_path)

    await drop(ledger, MAY, path=path, actor="tester")
    gone = (await states(ledger))["2024-05"]
    await attach(ledger, MAY, path=path, actor="tester")

    assert gone == "archived"
    assert await fetch(ledger, _ALL) == before
    assert await examine(ledger) == []
    with pytest.raises(StoreRefusedError, match="append-only"):
        await execute(ledger, "DELETE FROM ledger.events_2024_05")


async def test_month_can_leave_again_after_it_came_back(aged: tuple[Ledger, list[UUID]], tmp_path: Path) -> None:
    ledger, tasks = aged
    await detached(ledger, tmp_path)
    await attach(ledger, MAY, path=None, actor="tester")
    await ledger.commands.retry(tasks[0], reason="once more", origin=CLIENT)
    await completed(ledger, tasks[0])
    await settled(ledger)

    path = await detached(ledger, tmp_path)

    assert read_header(path).events == 12
    assert (await Verifier(ledger).verify(archives=tmp_path)).is_proven


async def test_month_with_an_unfinished_task_stays(ledger: Ledger, tmp_path: Path) -> None:
    task_id = await submitted_in(ledger, MAY, 9)
    await settled(ledger)

    assert await refusal(ledger, tmp_path) == f"cannot detach 2024-05: 1 task is unfinished: {task_id}"
    assert files_in(tmp_path) == []


async def test_month_stays_while_a_reader_lags_or_has_not_begun(ledger: Ledger, tmp_path: Path) -> None:
    for name in ("relay", "projection:task_status", "follow_ups", "webhook:one"):
        (kept,) = await fetch(
            ledger, "SELECT coalesce(max(position), 99) FROM ledger.checkpoints WHERE name = $1", name
        )
        await execute(ledger, "DELETE FROM ledger.checkpoints WHERE name = $1", name)
        if name == "relay":
            assert "relay is at position 0" in await refusal(ledger, tmp_path)
        await execute(ledger, "INSERT INTO ledger.checkpoints (name, position) VALUES ($1, 3)", name)

        assert f"{name} is at position 3, and has to come past" in await refusal(ledger, tmp_path)
        await execute(ledger, "UPDATE ledger.checkpoints SET position = $2 WHERE name = $1", name, kept[0])


async def test_month_stays_while_a_shard_of_the_relay_lags(ledger: Ledger, tmp_path: Path) -> None:
    await execute(ledger, "DELETE FROM ledger.checkpoints WHERE name = 'relay'")
    await execute(
        ledger, "INSERT INTO ledger.checkpoints (name, position) VALUES ('relay:0/2', 99), ('relay:1/2', 3)"
    )

    assert "relay is at position 3, and has to come past" in await refusal(ledger, tmp_path)


async def test_month_stays_until_its_last_event_is_sealed(aged: tuple[Ledger, list[UUID]], tmp_path: Path) -> None:
    ledger, tasks = aged
    await ledger.commands.retry(tasks[0], reason="once more", origin=CLIENT)
    await ledger.commands.cancel(tasks[0], reason="no", origin=CLIENT)
    await execute(ledger, "UPDATE ledger.checkpoints SET position = position + 10")

    assert "sealer is at position" in await refusal(ledger, tmp_path)


async def test_month_that_is_not_over_or_has_no_partition_stays(ledger: Ledger, tmp_path: Path) -> None:
    (row,) = await fetch(ledger, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') AS month")

    assert (
        await refusal(ledger, tmp_path, Month.parse(row["month"]))
        == f"cannot detach {row['month']}: it is not over"
    )
    assert "it has no partition" in await refusal(ledger, tmp_path, Month.parse("2024-04"))


async def test_month_stays_while_a_request_may_be_repeated_or_a_task_waits_for_one_of_it(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, tasks = aged
    await execute(
        ledger,
        "INSERT INTO ledger.idempotency_keys (scope, key, digest, task_id, version, existing)"
        " VALUES ('tasks', 'k', '\\x00', $1, 1, false)",
        tasks[0],
    )
    assert "1 idempotency key is of its tasks still kept" in await refusal(ledger, tmp_path)
    await execute(ledger, "DELETE FROM ledger.idempotency_keys")

    await execute(
        ledger,
        "UPDATE projections.task_status SET hold = 'after', after = ARRAY[$1::uuid] WHERE task_id = $2",
        tasks[0],
        tasks[5],
    )
    assert "1 task is of other months waiting" in await refusal(ledger, tmp_path)


async def test_task_of_an_archived_month_is_told_from_one_that_never_was(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, tasks = aged
    await detached(ledger, tmp_path)

    for act in (ledger.commands.retry, ledger.commands.cancel):
        with pytest.raises(TaskArchivedError, match=r"the tasks of 2024-05 are archived, in task-ledger-2024-05"):
            await act(tasks[0], reason="late", origin=CLIENT)
    with pytest.raises(StoreRefusedError, match="is of 2024-05, which is archived"):
        await submitted_in(ledger, MAY, 77)


async def test_evidence_of_a_task_is_gathered_while_its_table_is_kept(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, tasks = aged
    path = await detached(ledger, tmp_path)

    kept = check_bundle(await gather_evidence(ledger, tasks[0]))
    await drop(ledger, MAY, path=path, actor="tester")

    assert (kept.is_proven, kept.events, kept.unsealed) == (True, 3, 0)
    with pytest.raises(TaskArchivedError):
        await gather_evidence(ledger, tasks[0])


async def test_rebuild_keeps_the_tasks_of_archived_months_or_refuses(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path
) -> None:
    ledger, tasks = aged
    rows = "SELECT * FROM projections.task_status ORDER BY task_id"
    before = await fetch(ledger, rows)
    path = await detached(ledger, tmp_path)

    assert await verify(ledger, TASK_STATUS) == []
    await rebuild(ledger, TASK_STATUS)
    assert await fetch(ledger, rows) == before

    await drop(ledger, MAY, path=path, actor="tester")
    with pytest.raises(ArchivedMonthsError, match="would lose the tasks of 2024-05"):
        await rebuild(ledger, TASK_STATUS)
    assert await fetch(ledger, rows) == before
    assert await verify(ledger, TASK_STATUS) == []

    await rebuild(ledger, TASK_STATUS, without_archived=True)
    assert {row["task_id"] for row in await fetch(ledger, rows)} == set(tasks[3:])


async def test_month_is_not_attached_where_readers_would_take_its_events_for_new(
    ledger: Ledger, tmp_path: Path
) -> None:
    await detached(ledger, tmp_path)
    await execute(ledger, "UPDATE ledger.checkpoints SET position = 2 WHERE name = 'relay'")

    with pytest.raises(ArchiveRefusedError, match="relay is at position 2"):
        await attach(ledger, MAY, path=None, actor="tester")


async def test_month_is_not_attached_beside_rows_that_it_would_double(ledger: Ledger, tmp_path: Path) -> None:
    await detached(ledger, tmp_path)
    await execute(ledger, "ALTER TABLE ledger.events_default DISABLE TRIGGER refuse_archived")
    await submitted_in(ledger, MAY, 77)

    with pytest.raises(ArchiveRefusedError, match="the log has 1 events of its tasks"):
        await attach(ledger, MAY, path=None, actor="tester")


async def test_month_is_attached_from_the_file_alone_where_the_ledger_is_the_same(
    ledger: Ledger, tmp_path: Path
) -> None:
    before = await fetch(ledger, _ALL)
    path = tmp_path / "anywhere"
    await export(ledger, MAY, path)
    await execute(ledger, f"DROP TABLE ledger.{MAY.table}")

    await attach(ledger, MAY, path=path, actor="tester")

    assert await fetch(ledger, _ALL) == before


async def test_file_of_another_name_or_month_is_not_written_over_nor_taken(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / file_name(MAY)
    path.write_bytes(b"somebody's only copy")

    with pytest.raises(ArchiveFileError, match="is no archive of a month"):
        await detached(ledger, tmp_path)
    assert path.read_bytes() == b"somebody's only copy"

    path.unlink()
    await detached(ledger, tmp_path)
    june = await detached(ledger, tmp_path, JUNE)
    with pytest.raises(ArchiveFileError, match="has another digest than the record of 2024-05"):
        await drop(ledger, MAY, path=june, actor="tester")


async def test_file_that_was_touched_is_named(ledger: Ledger, tmp_path: Path) -> None:
    path = await detached(ledger, tmp_path)
    whole = path.read_bytes()
    for at in (0.3, 0.6, 0.99):
        text = bytearray(whole)
        text[int(len(text) * at)] ^= 1
        path.write_bytes(text)

        with pytest.raises(ArchiveFileError, match=re.escape(str(path))):
            await drop(ledger, MAY, path=path, actor="tester")
        with pytest.raises(ArchiveFileError):
            list(read_rows(path))
        difference = (await Verifier(ledger).verify(archives=tmp_path)).difference
        assert str(path) in str(difference)


async def test_other_months_go_on_after_one_has_left_and_nobody_may_add_to_it(
    aged: tuple[Ledger, list[UUID]], tmp_path: Path, database_url: str
) -> None:
    ledger, tasks = aged
    done = await detach(ledger, MAY, directory=tmp_path, actor="tester")

    await ledger.commands.submit(
        TaskSpecification(), origin=CLIENT, idempotency_key=IdempotencyKey("k", b"d" * 32)
    )
    await ledger.commands.retry(tasks[3], reason="of June", origin=CLIENT)

    assert done.locked_seconds < 1
    connection = await asyncpg.connect(database_url)
    assert not await connection.fetchval("SELECT has_table_privilege('public', 'archive.events', 'INSERT')")
    await connection.close()
