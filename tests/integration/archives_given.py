"""What the tests of archives begin with: a sealed ledger with tasks of past months, every reader at its end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from uuid import UUID

from ledger.archive.month import Month
from ledger.bootstrap import Ledger
from ledger.seals.sealer import Sealer
from ledger.specification import TaskSpecification
from tests.integration.given import CLIENT, caught_up, execute, opened, started

MAY, JUNE = Month(date(2024, 5, 1)), Month(date(2024, 6, 1))
_PARTITION = "CREATE TABLE ledger.{} PARTITION OF ledger.events FOR VALUES FROM ('{}') TO ('{}')"


@asynccontextmanager
async def aged_ledger(url: str) -> AsyncIterator[tuple[Ledger, list[UUID]]]:
    """Open a ledger with three tasks of May 2024, two of June and one of now, all completed, published and sealed.

    Their events alternate, so that the seals of the tasks of May hold events of other months too.
    """
    async with opened(url, seal_events_max=5, seal_seconds=0) as ledger:
        for month in (MAY, JUNE):
            await with_partition(ledger, month)
        tasks = [await submitted_in(ledger, month, number) for number, month in enumerate([MAY] * 3 + [JUNE] * 2)]
        tasks += [(await ledger.commands.submit(TaskSpecification(), origin=CLIENT)).task_id]
        for task_id in (tasks[0], tasks[3], tasks[1], tasks[5], tasks[2], tasks[4]):
            await completed(ledger, task_id)
        await settled(ledger)
        yield ledger, tasks


async def with_partition(ledger: Ledger, month: Month) -> None:
    """Make the partition of a month, as the scheduler made it at its time."""
    await execute(ledger, _PARTITION.format(month.table, *month.ids))
    await execute(ledger, "SELECT ledger.guard_partition($1::text::regclass)", f"ledger.{month.table}")


async def submitted_in(ledger: Ledger, month: Month, number: int = 0) -> UUID:
    """Submit a task whose id says that it is of a month."""
    task_id = UUID(int=month.ids[0].int | 0x7000 << 64 | 0x8 << 60 | number)
    batch = ledger.commands.batch(origin=CLIENT)
    ledger.commands.draft_in(batch, TaskSpecification(input={"n": 1.10}), task_id=task_id)
    await ledger.commands.record(batch)
    return task_id


async def completed(ledger: Ledger, task_id: UUID) -> None:
    """Let a task run to its end."""
    attempt = await started(ledger, task_id)
    await ledger.commands.decide(
        task_id,
        lambda task: task.complete(attempt=attempt, result={"b": 0.10, "a": [1e22, "é"]}, now=ledger.clock.now()),
        origin=CLIENT,
    )


async def settled(ledger: Ledger) -> None:
    """Seal what there is, and let every reader have come to its end."""
    while await Sealer(ledger).run_once():
        pass
    await caught_up(ledger)
    for name in ("relay", "follow_ups"):
        await execute(
            ledger,
            "INSERT INTO ledger.checkpoints (name, position) VALUES ($1, ledger.safe_position())"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            name,
        )


def of_may(tasks: Sequence[UUID]) -> Sequence[UUID]:
    """Return the tasks that are of May."""
    return tasks[:3]
