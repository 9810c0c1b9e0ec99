"""A rebuild that is ended early or refused leaves the live read model as it was, and the next one goes on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.errors import UnknownEventTypeError
from ledger.leader import leading
from ledger.store.records import NewEvent
from projections.errors import RebuildInProgressError
from projections.progress import Progress
from projections.rebuild import rebuild, rebuild_role
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.given import CLIENT, caught_up, eventually, execute, fetch, opened, submitted
from tests.integration.lives import live_through
from tests.integration.rebuilds_given import CONTENT, INDEXES, LEFTOVERS, SMALL, has_folded_all

MARKED = "SELECT task_id FROM projections.task_status WHERE worker_id = 'of the first rebuild' ORDER BY task_id"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_killed_rebuild_leaves_the_live_read_model_and_the_next_one_finishes_it(
    ledger: Ledger, database_url: str
) -> None:
    await live_through(ledger, 10)
    await caught_up(ledger)
    content = await fetch(ledger, CONTENT)
    command = (sys.executable, "-m", "projections", "projections", "rebuild", "task_status")
    environment = {**os.environ, "DATABASE_URL": database_url}

    async with ledger.database.dedicated() as reader, reader.transaction():
        await reader.execute("SELECT count(*) FROM projections.task_status")  # so that it gets no further
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await eventually(lambda: _has_leftovers(ledger), what="the next generation stands beside the live one")
        process.kill()
        await process.wait()

    assert await fetch(ledger, CONTENT) == content
    marked = await _mark_next(ledger)
    await submitted(ledger)
    await caught_up(ledger)
    await eventually(lambda: _can_rebuild(ledger), what="the server has noticed that the process is gone")
    assert await fetch(ledger, LEFTOVERS) == []
    assert await fetch(ledger, MARKED) == marked
    assert await has_folded_all(ledger)


async def test_interrupted_rebuild_is_taken_up_after_the_slices_that_it_folded(ledger: Ledger) -> None:
    await live_through(ledger, 30)
    await caught_up(ledger)
    indexes = await fetch(ledger, INDEXES)
    await _interrupted_rebuild(ledger)
    marked = await _mark_next(ledger)

    await rebuild(ledger, TASK_STATUS, effort=SMALL)

    assert 0 < len(marked) < 30
    assert await fetch(ledger, MARKED) == marked
    assert await fetch(ledger, INDEXES) == indexes
    assert await has_folded_all(ledger)
    assert await fetch(ledger, "SELECT name FROM ledger.checkpoints WHERE name LIKE '%:next%'") == []


async def test_rebuild_of_a_newer_version_takes_up_nothing(ledger: Ledger) -> None:
    await live_through(ledger, 10)
    await _interrupted_rebuild(ledger)
    await _mark_next(ledger)

    await rebuild(ledger, replace(TASK_STATUS, version=TASK_STATUS.version + 1), effort=SMALL)

    assert await fetch(ledger, MARKED) == []
    assert await has_folded_all(ledger)


async def test_nothing_is_left_of_the_generation_that_a_swap_sets_aside(ledger: Ledger) -> None:
    await submitted(ledger)
    await caught_up(ledger)
    await execute(ledger, "CREATE TABLE projections_next.past_1 (a_rebuild_ended boolean)")

    await rebuild(ledger, TASK_STATUS)

    schemas = "nspname IN ('projections', 'projections_next')"
    tables = f"SELECT relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace WHERE {schemas}"  # noqa: S608 - of ours
    found = [row["relname"] for row in await fetch(ledger, f"{tables} AND relkind = 'r'")]
    assert sorted(found) == ["status_counts", "task_status"]


async def test_only_one_process_rebuilds_or_verifies_at_a_time(ledger: Ledger) -> None:
    async with leading(ledger.database, rebuild_role(TASK_STATUS)) as connection:
        assert connection is not None

        with pytest.raises(RebuildInProgressError, match="another process rebuilds or verifies"):
            await rebuild(ledger, TASK_STATUS)
        with pytest.raises(RebuildInProgressError):
            await verify(ledger, TASK_STATUS)


async def test_event_of_a_newer_release_refuses_the_rebuild_and_leaves_the_live_read_model(ledger: Ledger) -> None:
    await submitted(ledger, 2)
    await caught_up(ledger)
    content = await fetch(ledger, CONTENT)
    event = NewEvent(
        type="task.archived", schema_version=1, kind="default", queue="default", data="{}",
        occurred_at=ledger.clock.now(), origin=CLIENT,
    )  # fmt: skip
    await ledger.store.append(uuid7(), [event], expected_version=0)

    with pytest.raises(UnknownEventTypeError, match=r"task\.archived"):
        await rebuild(ledger, TASK_STATUS)

    assert await fetch(ledger, CONTENT) == content


async def _has_leftovers(ledger: Ledger) -> bool:
    return bool(await fetch(ledger, LEFTOVERS))


async def _interrupted_rebuild(ledger: Ledger) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.events_done:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rebuild(ledger, TASK_STATUS, interrupt, effort=SMALL)


async def _mark_next(ledger: Ledger) -> Sequence[asyncpg.Record]:
    await execute(ledger, "UPDATE projections_next.task_status SET worker_id = 'of the first rebuild'")
    return await fetch(ledger, MARKED.replace("projections.", "projections_next."))


async def _can_rebuild(ledger: Ledger) -> bool:
    try:
        await rebuild(ledger, TASK_STATUS)
    except RebuildInProgressError:
        return False
    return True
