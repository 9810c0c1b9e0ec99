"""A rebuild makes a read model anew while everybody goes on: writers, readers, projectors and vacuums."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.store.records import RecordedEvent
from projections.progress import Phase, Progress
from projections.projection import PythonProjection
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.task_status import TASK_STATUS
from projections.verify import Difference, verify
from tests.integration.given import caught_up, eventually, execute, fetch, opened, running, submitted
from tests.integration.lives import live_through
from tests.integration.rebuilds_given import CONTENT, COUNTS, INDEXES, LEFTOVERS, SMALL, has_folded_all

WAITED_FOR = """SELECT mode FROM pg_locks
                 WHERE NOT granted AND relation = 'projections.task_status'::regclass"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_rebuild_makes_the_same_read_model_with_the_same_indexes(ledger: Ledger) -> None:
    await live_through(ledger, 30)
    await caught_up(ledger)
    content, indexes = await fetch(ledger, CONTENT), await fetch(ledger, INDEXES)

    rebuilt = await rebuild(ledger, TASK_STATUS, effort=SMALL)

    [(events, versions, last, checkpoint)] = await fetch(ledger, COUNTS)
    assert await fetch(ledger, CONTENT) == content
    assert await fetch(ledger, INDEXES) == indexes
    assert len(indexes) > 1
    assert rebuilt.events == events == versions
    assert rebuilt.position == last == checkpoint
    assert await fetch(ledger, LEFTOVERS) == []


async def test_projector_goes_on_where_the_rebuild_left_off(ledger: Ledger) -> None:
    await live_through(ledger, 10)
    await rebuild(ledger, TASK_STATUS, effort=SMALL)
    await submitted(ledger, 3)

    folded = await Projector(ledger, [TASK_STATUS]).run_once()

    assert folded == 3
    assert await verify(ledger, TASK_STATUS) == []


async def test_rebuild_tells_its_progress_from_nothing_to_all(ledger: Ledger) -> None:
    await live_through(ledger, 20)
    told: list[Progress] = []

    rebuilt = await rebuild(ledger, TASK_STATUS, told.append, effort=SMALL)

    phases = list(dict.fromkeys(progress.phase for progress in told))
    done = [progress.events_done for progress in told]
    assert phases == list(Phase)
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, rebuilt.events)
    assert {progress.events_total for progress in told} == {rebuilt.events}
    assert told[0].eta_seconds is None
    assert told[-1].eta_seconds == 0
    assert told[-1].events_per_second > 0


async def test_verification_names_every_difference_and_a_rebuild_removes_them(ledger: Ledger) -> None:
    changed, lost, kept = await submitted(ledger, 3)
    await caught_up(ledger)
    invented = uuid7()
    columns = ", ".join(TASK_STATUS_COLUMNS)
    await execute(
        ledger, "UPDATE projections.task_status SET status = 'FAILED', attempt = 7 WHERE task_id = $1", changed
    )
    await execute(ledger, "DELETE FROM projections.task_status WHERE task_id = $1", lost)
    await execute(
        ledger,
        f"INSERT INTO projections.task_status (task_id, {columns}) SELECT $1, {columns}"  # noqa: S608 - names of ours
        " FROM projections.task_status WHERE task_id = $2",
        invented,
        kept,
    )

    differences = await verify(ledger, TASK_STATUS)
    await rebuild(ledger, TASK_STATUS)

    assert differences == [
        Difference(str(changed), "attempt", "0", "7"),
        Difference(str(changed), "status", "PENDING", "FAILED"),
        Difference(str(lost), "row", "a row", None),
        Difference(str(invented), "row", None, "a row"),
    ]
    assert await verify(ledger, TASK_STATUS) == []


async def test_writers_readers_and_the_projector_go_on_during_rebuilds(ledger: Ledger) -> None:
    await live_through(ledger, 20)
    await caught_up(ledger)
    writing = asyncio.create_task(live_through(ledger, 150))
    reads: list[int] = []

    async with running(Projector(ledger, [TASK_STATUS]).run(), _read_all_the_time(ledger, reads)):
        while not writing.done():
            await rebuild(ledger, TASK_STATUS, effort=SMALL)
            assert await verify(ledger, TASK_STATUS) == []
        await writing
        await eventually(lambda: has_folded_all(ledger), what="the projector is at the end of the log")

    assert await verify(ledger, TASK_STATUS) == []
    assert reads == sorted(reads)  # no swap took a reader back to an earlier state
    assert reads[-1] > reads[0]


async def test_rebuild_needs_no_read_model_to_begin_with(ledger: Ledger) -> None:
    await live_through(ledger, 10)

    await rebuild(ledger, TASK_STATUS, effort=SMALL)

    assert await has_folded_all(ledger)


async def test_rebuild_of_an_empty_ledger_makes_an_empty_read_model(ledger: Ledger) -> None:
    rebuilt = await rebuild(ledger, TASK_STATUS)

    assert (rebuilt.events, rebuilt.position) == (0, 0)
    assert await verify(ledger, TASK_STATUS) == []


async def test_slow_reader_delays_the_swap_and_stops_nobody(ledger: Ledger) -> None:
    await live_through(ledger, 10)
    await caught_up(ledger)
    reached_swap = asyncio.Event()

    def notice(progress: Progress) -> None:
        if progress.phase is Phase.SWAPPING:
            reached_swap.set()

    async with ledger.database.dedicated() as reader, reader.transaction():
        await reader.execute("SELECT count(*) FROM projections.task_status")
        rebuilding = asyncio.create_task(rebuild(ledger, TASK_STATUS, notice))
        await reached_swap.wait()
        await _read(ledger)
        still_waiting = not rebuilding.done()

    assert still_waiting
    await rebuilding
    assert await verify(ledger, TASK_STATUS) == []


async def test_swap_waits_for_a_vacuum_without_a_lock_that_readers_wait_behind(ledger: Ledger) -> None:
    await submitted(ledger)
    await caught_up(ledger)

    async with ledger.database.dedicated() as vacuum, vacuum.transaction():
        await vacuum.execute("LOCK TABLE projections.task_status IN SHARE UPDATE EXCLUSIVE MODE")  # as it does
        rebuilding = asyncio.create_task(rebuild(ledger, TASK_STATUS))
        await eventually(lambda: _waits(ledger), what="the swap waits")
        modes = [row["mode"] for row in await fetch(ledger, WAITED_FOR)]

    await rebuilding
    assert modes == ["ShareUpdateExclusiveLock"]


async def test_python_projection_is_rebuilt_as_well(ledger: Ledger) -> None:
    async def apply(connection: asyncpg.Connection, events: Sequence[RecordedEvent]) -> None:
        await connection.executemany("INSERT INTO seen (id) VALUES ($1)", [(event.event_id,) for event in events])

    seen = PythonProjection(
        name="seen", version=1, tables=("seen",), apply=apply,
        table_statements="CREATE TABLE seen (id text PRIMARY KEY)",
    )  # fmt: skip
    await live_through(ledger, 10)
    await Projector(ledger, [seen]).run_once()
    await execute(ledger, "DELETE FROM projections.seen")

    await rebuild(ledger, seen)

    expected = await fetch(ledger, "SELECT task_id::text || ':' || version AS id FROM ledger.events ORDER BY id")
    assert await fetch(ledger, "SELECT id FROM projections.seen ORDER BY id") == expected


TASK_STATUS_COLUMNS = (
    "version", "position", "status", "kind", "queue", "priority", "tags", "attempt", "failures", "losses",
    "max_attempts", "timeout_s", "ready", "cancel_requested", "correlation_id", "created_at", "updated_at",
)  # fmt: skip


async def _read(ledger: Ledger) -> int:
    [row] = await fetch(ledger, "SELECT coalesce(max(position), 0) FROM projections.task_status")
    return int(row[0])


async def _read_all_the_time(ledger: Ledger, reads: list[int]) -> None:
    while True:
        reads.append(await _read(ledger))


async def _waits(ledger: Ledger) -> bool:
    return bool(await fetch(ledger, WAITED_FOR))
