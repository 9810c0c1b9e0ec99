"""What the tests of seals begin with: a sealed ledger, and somebody whom no trigger stops."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.seals.sealer import Sealer
from ledger.seals.verification import Verifier
from tests.integration.given import CLIENT, execute, opened, started, submitted

SEAL_EVENTS = 4
_TRIGGERS = """
DO $$
DECLARE
    guarded regclass;
BEGIN
    FOR guarded IN SELECT relid FROM pg_partition_tree('ledger.events') UNION SELECT 'ledger.seals'::regclass LOOP
        EXECUTE format('ALTER TABLE %s {verb} TRIGGER refuse_change', guarded);
    END LOOP;
END $$;
"""


@asynccontextmanager
async def sealed_ledger(url: str) -> AsyncIterator[tuple[Ledger, list[UUID]]]:
    """Open a ledger of three seals over twelve events: positions 1 to 9, then one task's that ran, at 10 to 12."""
    async with opened(url, seal_events_max=SEAL_EVENTS, seal_seconds=0) as ledger:
        tasks = await submitted(ledger, 9)
        tasks += await finished(ledger)
        await Sealer(ledger).run_once()
        yield ledger, tasks


async def finished(ledger: Ledger) -> list[UUID]:
    """Submit a task and let it run: three events, the outcome has fractions in it."""
    (task_id,) = await submitted(ledger)
    attempt = await started(ledger, task_id)
    await ledger.commands.decide(
        task_id,
        lambda task: task.complete(attempt=attempt, result={"b": 0.10, "a": [1e22, "é"]}, now=ledger.clock.now()),
        origin=CLIENT,
    )
    return [task_id]


async def tampered(ledger: Ledger, *statements: str) -> None:
    """Change the tables as a superuser does who has disabled the triggers, and cover the tracks."""
    async with ledger.database.connection() as connection, connection.transaction():
        await connection.execute(_TRIGGERS.format(verb="DISABLE"))
        for statement in statements:
            await connection.execute(statement)
        await connection.execute(_TRIGGERS.format(verb="ENABLE ALWAYS"))


Finding = tuple[str, int | None, int | None]


async def finding(ledger: Ledger) -> Finding | None:
    """Return what a verification finds: the kind, the position and the seal."""
    difference = (await Verifier(ledger).verify()).difference
    return None if difference is None else (difference.kind.value, difference.position, difference.seal)


async def findings(ledger: Ledger, statements: Iterable[str]) -> dict[str, Finding | None]:
    """Return what is found after each of these statements, where everything is put back between them."""
    await execute(ledger, "CREATE TABLE kept_events AS TABLE ledger.events")
    await execute(ledger, "CREATE TABLE kept_seals AS TABLE ledger.seals")
    found = {}
    for statement in statements:
        await tampered(ledger, statement)
        found[statement] = await finding(ledger)
        await tampered(ledger, *_PUT_BACK)
    assert await finding(ledger) is None
    return found


_PUT_BACK = (
    "TRUNCATE ledger.events, ledger.seals",
    "INSERT INTO ledger.events SELECT * FROM kept_events",
    "INSERT INTO ledger.seals SELECT * FROM kept_seals",
)


def copy_of(position: int, *, at: int) -> str:
    """Return the statement that puts a copy of an event, as a stream of its own, at another position."""
    return (
        "INSERT INTO ledger.events (position, task_id, version, type, schema_version, kind, queue, data,"  # noqa: S608 - numbers
        f" occurred_at, recorded_at, actor, correlation_id) SELECT {at}, gen_random_uuid(), 1, type,"
        " schema_version, kind, queue, data, occurred_at, recorded_at, actor, correlation_id"
        f" FROM ledger.events WHERE position = {position}"
    )
