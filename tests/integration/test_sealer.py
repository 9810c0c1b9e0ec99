"""The sealer seals every event once, in a chain, however often it is killed and however many of it run."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import asyncpg
import pytest

from ledger.bootstrap import Ledger
from ledger.errors import StoreUnavailableError
from ledger.queries import query
from ledger.scheduler import Scheduler
from ledger.seals.leaf import canonical_payload, entry_of
from ledger.seals.merkle import tree_root
from ledger.seals.seal import Seal, read_seal_leaves, read_seals
from ledger.seals.sealer import Sealer
from ledger.seals.verification import Verifier
from tests.integration.given import eventually, execute, fetch, opened, running, submitted


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, seal_events_max=4, seal_seconds=0) as ledger:
        yield ledger


async def test_every_event_is_sealed_once_and_each_seal_holds_the_one_before(ledger: Ledger) -> None:
    await submitted(ledger, 9)
    sealer = Sealer(ledger)

    sealed = await sealer.run_once()
    await submitted(ledger, 1)
    sealed_then = await sealer.run_once()

    seals = await read_seals(ledger.database, after=0)
    assert (sealed, sealed_then, await sealer.run_once()) == (9, 1, 0)
    assert [(seal.number, seal.after, seal.upto, seal.events) for seal in seals] == [
        (1, 0, 4, 4), (2, 4, 8, 4), (3, 8, 9, 1), (4, 9, 10, 1),
    ]  # fmt: skip
    assert seals[0].fault_after(None) is None
    assert [seal.fault_after(previous) for previous, seal in pairwise(seals)] == [None, None, None]


async def test_a_seal_keeps_the_leaves_that_its_root_is_made_of(ledger: Ledger) -> None:
    await submitted(ledger, 3)
    await Sealer(ledger).run_once()

    (seal,) = await read_seals(ledger.database, after=0)
    async with ledger.database.connection() as connection:
        leaves = await read_seal_leaves(connection, seal.number)

    assert [leaf.position for leaf in leaves] == [1, 2, 3]
    assert tree_root([leaf.hash for leaf in leaves]) == seal.root


async def test_few_events_wait_until_the_last_seal_is_old(database_url: str) -> None:
    async with opened(database_url, seal_events_max=4, seal_seconds=3600) as ledger:
        await submitted(ledger, 1)
        sealer = Sealer(ledger)

        counts = [await sealer.run_once()]
        await submitted(ledger, 3)
        counts.append(await sealer.run_once())
        await submitted(ledger, 1)
        counts.append(await sealer.run_once())

    assert counts == [1, 0, 4]


async def test_events_of_an_open_transaction_are_not_sealed_over(ledger: Ledger) -> None:
    await submitted(ledger, 1)
    async with ledger.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await _append_copy(connection)
        await submitted(ledger, 2)

        before = await Sealer(ledger).run_once()
        await transaction.commit()

    assert (before, await Sealer(ledger).run_once()) == (1, 3)


async def test_many_sealers_at_once_seal_nothing_twice(ledger: Ledger) -> None:
    await submitted(ledger, 30)

    sealed = await asyncio.gather(*(Sealer(ledger).run_once() for _ in range(4)))
    await Sealer(ledger).run_once()

    seals = await read_seals(ledger.database, after=0)
    assert sum(seal.events for seal in seals) == 30
    assert sum(sealed) <= 30
    assert [seal.fault_after(previous) for previous, seal in pairwise(seals)] == [None] * (len(seals) - 1)


async def test_a_sealer_that_is_killed_in_the_middle_leaves_nothing_behind(ledger: Ledger) -> None:
    await submitted(ledger, 9)
    async with ledger.database.dedicated() as other:
        lock = other.transaction()
        await lock.start()
        await other.execute("LOCK TABLE ledger.seals IN SHARE ROW EXCLUSIVE MODE")
        sealing = asyncio.ensure_future(Sealer(ledger).run_once())
        await eventually(lambda: _kills_a_waiting_insert(ledger), what="the sealer has written and is killed")
        await lock.rollback()
        with pytest.raises(StoreUnavailableError):
            await sealing
    before = await read_seals(ledger.database, after=0)

    sealed = await Sealer(ledger).run_once()

    assert (before, sealed) == ([], 9)
    assert (await Verifier(ledger).verify()).is_proven


async def test_the_scheduler_seals(ledger: Ledger) -> None:
    await submitted(ledger, 9)

    async with running(Scheduler(ledger).run()):
        await eventually(lambda: _sealed_events(ledger, 9), what="everything is sealed")


async def test_seals_are_never_changed_or_deleted(ledger: Ledger) -> None:
    await submitted(ledger, 1)
    await Sealer(ledger).run_once()

    for statement in (
        "UPDATE ledger.seals SET events = 2", "DELETE FROM ledger.seals", "TRUNCATE ledger.seals",
    ):  # fmt: skip
        with pytest.raises(Exception, match="append-only"):
            await execute(ledger, statement)


async def test_a_seal_survives_its_export(ledger: Ledger) -> None:
    await submitted(ledger, 1)
    await Sealer(ledger).run_once()
    (seal,) = await read_seals(ledger.database, after=0)

    assert Seal.from_dict(seal.as_dict()) == seal
    assert replace(seal, events=2).fault_after(None) == "its hash is not that of its record"


async def test_the_bytes_that_are_hashed_are_the_same_on_every_server(ledger: Ledger) -> None:
    given = (
        '{"long": 123456789012345678901234567890.10, "e": 1e2, "small": 2.5E-7, "zero": -0.0, "b": [1.0, 1, 17],'
        ' "aaa": {"\\u00e9\\u0001": "\\/\\u007f\\n"}, "\U0001f600": null, "dup": 1, "dup": 2}'
    )
    await execute(
        ledger,
        "INSERT INTO ledger.events (position, task_id, version, type, schema_version, kind, queue, data,"
        " occurred_at, recorded_at, actor, correlation_id) VALUES (7, '0198F3C2-7a1e-7c3a-9d52-0f4be0a1c9d7', 1,"
        " 'task.submitted', 2, 'k', 'q', $1::jsonb, '1969-12-31 23:59:59.999999Z', '2026-01-02 03:04:05.6+01',"
        " E'a\"\\té', 'c')",
        given,
    )

    (row,) = await fetch(ledger, query("read_leaf_rows"), 0, 10, None)

    payload = (
        '{"aaa":{"é\\u0001":"/\x7f\\n"},"b":[1.0,1,17],"dup":2,"e":100,'
        '"long":123456789012345678901234567890.10,"small":0.00000025,"zero":0.0,"\U0001f600":null}'
    )
    assert row["data"] != given
    assert canonical_payload(row["data"]).decode() == canonical_payload(given).decode() == payload
    assert entry_of(row).decode() == (
        '[1,7,"0198f3c2-7a1e-7c3a-9d52-0f4be0a1c9d7",1,"task.submitted",2,"k","q",-1,1767319445600000,'
        f'"a\\"\\té","c",null,null,"{sha256(payload.encode()).hexdigest()}"]'
    )


async def _append_copy(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,"
        " correlation_id) SELECT gen_random_uuid(), 1, type, schema_version, kind, queue, data, occurred_at,"
        " actor, correlation_id FROM ledger.events LIMIT 1"
    )


async def _kills_a_waiting_insert(ledger: Ledger) -> bool:
    statement = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO ledger.seals%'"""
    return bool(await fetch(ledger, statement))


async def _sealed_events(ledger: Ledger, count: int) -> bool:
    return sum(seal.events for seal in await read_seals(ledger.database, after=0)) == count
