"""A projection of a user's own folds all of the history, is rebuilt and verified, and stops nobody but itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from ledger.bootstrap import Ledger
from ledger.store.records import RecordedEvent
from projections.errors import FoldFailedError, ForeignTableError, RebuildInProgressError
from projections.progress import Progress
from projections.projector import Projector
from projections.rebuild import rebuild, rebuild_role
from projections.reset import reset
from projections.standing import read_standing
from projections.task_status import TASK_STATUS
from projections.verify import Difference, verify
from tests.integration.given import caught_up, eventually, execute, fetch, opened, running, submitted
from tests.integration.lives import live_through
from tests.integration.projections_given import SEEN, kinds_in

ALL_SEEN = """SELECT (SELECT count(*) FROM ledger.events) = (SELECT count(*) FROM projections.seen)"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, broker_retry_seconds_max=0.2) as ledger:
        yield ledger


async def test_projection_that_is_added_to_an_old_ledger_folds_all_of_its_history(
    ledger: Ledger, tmp_path: Path
) -> None:
    await live_through(ledger, 20)
    await caught_up(ledger)
    await submitted(ledger, 3, kind="report")
    kinds = kinds_in(tmp_path)

    projector = Projector(ledger, [TASK_STATUS, kinds, SEEN])
    while await projector.run_once():
        pass

    [(reports,)] = await fetch(ledger, "SELECT tasks FROM projections.kinds WHERE kind = 'report'")
    assert reports == 3
    [(tasks,)] = await fetch(ledger, "SELECT sum(tasks) FROM projections.kinds")
    assert tasks == 23
    assert [bool(row[0]) for row in await fetch(ledger, ALL_SEEN)] == [True]
    assert await verify(ledger, kinds) == []
    assert await verify(ledger, SEEN) == []


async def test_projections_of_a_users_own_are_rebuilt_and_their_differences_named(
    ledger: Ledger, tmp_path: Path
) -> None:
    kinds = kinds_in(tmp_path)
    await submitted(ledger, 3)
    await Projector(ledger, [kinds, SEEN]).run_once()
    await execute(ledger, "UPDATE projections.kinds SET tasks = 7")
    await execute(ledger, "DELETE FROM projections.seen")

    differences = [await verify(ledger, kinds), await verify(ledger, SEEN)]
    for projection in (kinds, SEEN):
        await rebuild(ledger, projection)

    assert differences[0] == [Difference("default", "tasks", "3", "7")]
    assert [one.found for one in differences[1]] == [None] * 3
    assert [await verify(ledger, kinds), await verify(ledger, SEEN)] == [[], []]


async def test_projection_that_raises_stops_only_itself_and_its_standing_says_so(ledger: Ledger) -> None:
    is_broken = True

    async def apply(connection: asyncpg.Connection, events: Sequence[RecordedEvent]) -> None:
        if is_broken:
            raise KeyError("a secret")
        await SEEN.apply(connection, events)

    broken = replace(SEEN, apply=apply)
    await submitted(ledger, 2)

    async with running(Projector(ledger, [broken, TASK_STATUS]).run()):

        async def has_halted() -> bool:
            return (await read_standing(ledger, broken)).halt is not None

        async def goes_on() -> bool:
            standing = await read_standing(ledger, broken)
            return standing.halt is None and standing.position == standing.horizon

        await eventually(has_halted, what="the error is noted")
        halted = await read_standing(ledger, broken)
        await submitted(ledger)
        await eventually(lambda: _is_at_the_end(ledger), what="the other one has folded all")
        is_broken = False
        await eventually(goes_on, what="the projection has folded all")

    assert halted.halt is not None
    assert (halted.halt.position, halted.position) == (0, 0)
    assert "the projection seen raised KeyError at the events after position 0 up to 2" in halted.halt.error
    assert "secret" not in str(halted)
    assert str(halted).endswith("; the projector's log has the details")


async def test_projection_that_changes_a_table_of_another_is_refused_and_nothing_of_it_kept(
    ledger: Ledger,
) -> None:
    async def apply(connection: asyncpg.Connection, _events: Sequence[RecordedEvent]) -> None:
        await connection.execute("UPDATE task_status SET status = 'FAILED'")

    await submitted(ledger, 2)
    await caught_up(ledger)

    with pytest.raises(ForeignTableError, match="seen must change its own tables only, and changed "):
        await Projector(ledger, [replace(SEEN, apply=apply)]).run_once()

    assert await verify(ledger, TASK_STATUS) == []


async def test_interrupted_rebuild_of_a_python_projection_goes_on_after_its_last_batch(ledger: Ledger) -> None:
    batches: list[int] = []

    async def apply(connection: asyncpg.Connection, events: Sequence[RecordedEvent]) -> None:
        batches.append(events[0].position)
        await SEEN.apply(connection, events)

    def interrupt(progress: Progress) -> None:
        if progress.phase == "swapping":
            raise asyncio.CancelledError

    noting = replace(SEEN, apply=apply)
    await submitted(ledger, 3)
    with pytest.raises(asyncio.CancelledError):
        await rebuild(ledger, noting, interrupt)
    await submitted(ledger)

    await rebuild(ledger, noting)

    assert batches == [1, 4]
    assert [bool(row[0]) for row in await fetch(ledger, ALL_SEEN)] == [True]


async def test_rebuild_of_a_projection_that_raised_begins_anew(ledger: Ledger) -> None:
    async def apply(_connection: asyncpg.Connection, _events: Sequence[RecordedEvent]) -> None:
        raise ValueError

    await submitted(ledger)

    with pytest.raises(FoldFailedError):
        await rebuild(ledger, replace(SEEN, apply=apply))

    assert await fetch(ledger, "SELECT name FROM ledger.checkpoints WHERE name LIKE '%:next%'") == []


async def test_reset_empties_the_read_model_and_folds_it_again(ledger: Ledger, tmp_path: Path) -> None:
    kinds = kinds_in(tmp_path)
    await submitted(ledger, 3)
    await Projector(ledger, [kinds]).run_once()
    await execute(ledger, "INSERT INTO projections.kinds VALUES ('invented', 1)")
    told: list[Progress] = []

    emptied = await reset(ledger, kinds, told.append)

    assert emptied.position == 3
    assert (told[0].events_done, told[-1].events_done, told[-1].phase) == (0, 3, "done")
    assert await verify(ledger, kinds) == []
    [(indexes,)] = await fetch(ledger, "SELECT count(*) FROM pg_indexes WHERE indexname = 'kinds_by_tasks'")
    assert indexes == 1


async def test_reset_is_refused_while_a_rebuild_runs(ledger: Ledger) -> None:
    await submitted(ledger)
    await caught_up(ledger)

    async with ledger.database.dedicated() as other:
        await other.execute("SELECT pg_advisory_lock(19529, hashtext($1))", rebuild_role(TASK_STATUS))
        with pytest.raises(RebuildInProgressError):
            await reset(ledger, TASK_STATUS)

    assert await verify(ledger, TASK_STATUS) == []


async def _is_at_the_end(ledger: Ledger) -> bool:
    standing = await read_standing(ledger, TASK_STATUS)
    return standing.position == 3
