"""A live generation that is lost, of another version, or of a user's own projection."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import asyncpg
import pytest

from ledger.bootstrap import Ledger
from ledger.store.records import RecordedEvent
from projections.errors import ReadModelVersionError
from projections.projection import PythonProjection
from projections.projector import Projector
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.given import eventually, execute, fetch, opened, running, submitted
from tests.integration.lives import live_through

ROWS = "SELECT count(*) FROM projections.task_status"
VERSIONS = """SELECT (SELECT count(*) FROM ledger.events), (SELECT sum(version) FROM projections.task_status)"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


@pytest.fixture
def projector(ledger: Ledger) -> Projector:
    return Projector(ledger, [TASK_STATUS])


@pytest.mark.parametrize(
    "loss", ["DROP TABLE projections.task_status", "DELETE FROM ledger.checkpoints WHERE name LIKE 'projection:%'"]
)
async def test_read_model_that_lost_its_table_or_checkpoint_is_made_anew(
    ledger: Ledger, projector: Projector, loss: str
) -> None:
    await live_through(ledger, 10)
    await projector.run_once()
    await execute(ledger, loss)

    await projector.run_once()

    [(events, versions)] = await fetch(ledger, VERSIONS)
    assert events == versions
    assert await verify(ledger, TASK_STATUS) == []


async def test_read_model_of_an_older_version_is_rebuilt(ledger: Ledger, projector: Projector) -> None:
    await live_through(ledger, 10)
    await projector.run_once()
    await execute(ledger, "UPDATE projections.task_status SET kind = 'as version 1 saw it'")
    newer = replace(TASK_STATUS, version=TASK_STATUS.version + 1)

    async with running(Projector(ledger, [newer]).run()):
        await eventually(
            lambda: _is_of_version(ledger, newer.version), what="the read model is of the newer version"
        )

    assert await verify(ledger, newer) == []


async def test_projector_of_an_older_release_leaves_the_read_model_of_a_newer_alone(
    ledger: Ledger, projector: Projector
) -> None:
    await Projector(ledger, [replace(TASK_STATUS, version=TASK_STATUS.version + 1)]).run_once()
    await submitted(ledger)

    with pytest.raises(
        ReadModelVersionError,
        match=rf"version \d+ of task_status made its read model, and this is version {TASK_STATUS.version}",
    ):
        await projector.run_once()

    [(rows,)] = await fetch(ledger, ROWS)
    assert rows == 0


async def test_python_projection_has_its_effects_once(database_url: str) -> None:
    async def apply(connection: asyncpg.Connection, events: Sequence[RecordedEvent]) -> None:
        for event in events:
            await connection.execute(
                """INSERT INTO counts (type, count) VALUES ($1, 1)
                   ON CONFLICT (type) DO UPDATE SET count = counts.count + 1""",
                event.type,
            )

    counts = PythonProjection(
        name="counts", version=1, tables=("counts",), apply=apply,
        table_statements="CREATE TABLE counts (type text PRIMARY KEY, count bigint NOT NULL)",
    )  # fmt: skip
    async with opened(database_url, projector_batch_size_max=4) as ledger:
        await live_through(ledger, 10)
        projectors = [Projector(ledger, [counts]) for _ in range(2)]

        while any(await asyncio.gather(*(projector.run_once() for projector in projectors))):
            pass

        expected = await fetch(ledger, "SELECT type, count(*) FROM ledger.events GROUP BY type ORDER BY type")
        assert await fetch(ledger, "SELECT type, count FROM projections.counts ORDER BY type") == expected


async def _is_of_version(ledger: Ledger, version: int) -> bool:
    return bool(
        await fetch(
            ledger,
            "SELECT 1 WHERE obj_description('projections.task_status'::regclass) = $1",
            f"version {version}",
        )
    )
