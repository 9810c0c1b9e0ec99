"""The verification proves a ledger that nobody touched, and names the first thing that somebody did to another."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.doctor import examine
from ledger.seals.leaf import payload_digest
from ledger.seals.seal import read_seals
from ledger.seals.sealer import ROWS_MAX, Sealer
from ledger.seals.verification import Verifier
from tests.integration.given import execute, fetch, opened, submitted
from tests.integration.seals_given import copy_of, finding, findings, sealed_ledger, tampered


@pytest.fixture
async def sealed(database_url: str) -> AsyncIterator[tuple[Ledger, list[UUID]]]:
    async with sealed_ledger(database_url) as sealed:
        yield sealed


@pytest.fixture
def ledger(sealed: tuple[Ledger, list[UUID]]) -> Ledger:
    return sealed[0]


async def test_a_ledger_that_nobody_touched_is_proven(ledger: Ledger) -> None:
    verdict = await Verifier(ledger).verify()

    assert verdict.is_proven
    assert (verdict.seals, verdict.events, verdict.upto, verdict.unsealed) == (3, 12, 12, 0)


async def test_what_is_not_sealed_yet_is_said(ledger: Ledger) -> None:
    await submitted(ledger, 2)

    verdict = await Verifier(ledger).verify()

    assert (verdict.is_proven, verdict.upto, verdict.unsealed) == (True, 12, 2)


async def test_a_change_of_any_column_is_named(ledger: Ledger) -> None:
    changes = [f"UPDATE ledger.events SET {change} WHERE position = 6" for change in _CHANGES]  # noqa: S608 - ours

    assert await findings(ledger, changes) == dict.fromkeys(changes, ("changed", 6, 2))


_CHANGES = (
    """data = jsonb_set(data, '{queue}', '"vip"')""",
    """data = data || '{"more": null}'""",
    "actor = 'somebody else'",
    "recorded_at = recorded_at + interval '1 microsecond'",
    "occurred_at = 'infinity'",
    "recorded_at = '20000-01-01'",
    "kind = kind || ' '",
    "queue = upper(queue)",
    "type = 'task.cancelled'",
    "schema_version = 9",
    "version = 7",
    "task_id = gen_random_uuid()",
    "correlation_id = ''",
    "causation_id = ''",
    "traceparent = '00'",
)


async def test_a_changed_event_is_named_by_its_id(ledger: Ledger) -> None:
    await tampered(ledger, "UPDATE ledger.events SET actor = 'x' WHERE position = 6")

    (row,) = await fetch(ledger, "SELECT task_id, version FROM ledger.events WHERE position = 6")
    difference = (await Verifier(ledger).verify()).difference

    assert difference is not None
    assert difference.event_id == f"{row['task_id']}:{row['version']}"


async def test_whatever_is_removed_inserted_or_moved_is_named(sealed: tuple[Ledger, list[UUID]]) -> None:
    ledger, tasks = sealed
    number = "'{result,a,0}', '10000000000000000000001'"
    expected = {
        "DELETE FROM ledger.events WHERE position = 11": ("removed", 11, 3),
        "DELETE FROM ledger.events WHERE position = 1": ("removed", 1, 1),
        "DELETE FROM ledger.events WHERE position = 12": ("removed", 12, 3),
        f"DELETE FROM ledger.events WHERE task_id = '{tasks[-1]}'": ("removed", 10, 3),  # noqa: S608 - an id
        "DELETE FROM ledger.events WHERE position BETWEEN 5 AND 8": ("removed", 5, 2),
        "DELETE FROM ledger.events": ("removed", 1, 1),
        copy_of(2, at=-3): ("inserted", -3, 1),
        copy_of(2, at=0): ("inserted", 0, 1),
        copy_of(2, at=4): ("inserted", 4, 1),
        copy_of(2, at=7): ("inserted", 7, 2),
        _SWAP: ("changed", 2, 1),
        "UPDATE ledger.events SET position = 100 WHERE position = 3": ("removed", 3, 1),
        f"UPDATE ledger.events SET data = jsonb_set(data, {number}) WHERE position = 12": ("changed", 12, 3),  # noqa: S608 - ours
    }

    assert await findings(ledger, expected) == expected


_SWAP = "UPDATE ledger.events SET position = CASE position WHEN 2 THEN 7 ELSE 2 END WHERE position IN (2, 7)"


async def test_an_event_in_a_gap_between_positions_is_named(database_url: str) -> None:
    async with opened(database_url, seal_events_max=4, seal_seconds=0) as ledger:
        await submitted(ledger, 1)
        await fetch(ledger, "SELECT nextval('ledger.position_seq')")
        await submitted(ledger, 1)
        await Sealer(ledger).run_once()

        await tampered(ledger, copy_of(1, at=2))

        assert await finding(ledger) == ("inserted", 2, 1)


async def test_an_altered_seal_is_named(ledger: Ledger) -> None:
    alter = "UPDATE ledger.seals SET {} WHERE number = 2"
    expected = {
        alter.format("events = 3, leaves = substr(leaves, 1, 120)"): ("seal", None, 2),
        alter.format("root = sha256(root)"): ("seal", None, 2),
        alter.format("sealed_at = sealed_at + interval '1 hour'"): ("seal", None, 2),
        alter.format("sealed_at = 'infinity'"): ("seal", None, 2),
        alter.format("sealed_at = '20000-01-01'"): ("seal", None, 2),
        alter.format("upto_position = 9"): ("seal", None, 2),
        alter.format("hash = sha256(hash)"): ("seal", None, 2),
        alter.format("previous_hash = sha256(previous_hash)"): ("seal", None, 2),
        alter.format("leaves = substr(leaves, 1, 8) || sha256(leaves) || substr(leaves, 41)"): ("seal", None, 2),
        alter.format("leaves = set_byte(leaves, 7, 200)"): ("seal", None, 2),  # a position, not a leaf
        "DELETE FROM ledger.seals WHERE number = 2": ("seal", None, 3),
    }

    assert await findings(ledger, expected) == expected


async def test_the_doctor_sees_a_gap_in_the_chain_and_in_what_was_sealed(ledger: Ledger) -> None:
    sound = [one for one in await examine(ledger) if one.invariant == 7]

    await tampered(
        ledger, "DELETE FROM ledger.events WHERE position = 6", "DELETE FROM ledger.seals WHERE number = 1"
    )

    assert sound == []
    assert [str(one) for one in await examine(ledger) if one.invariant == 7] == [
        "invariant 7, unchained seals: 2: it does not follow the seal before it",
        "invariant 7, miscounted seals: 2: 4 events were sealed, 3 are there",
    ]


async def test_a_log_that_lost_its_unsealed_end_is_proven_as_far_as_it_was_sealed(ledger: Ledger) -> None:
    await submitted(ledger, 2)
    await tampered(ledger, "DELETE FROM ledger.events WHERE position > 13")

    verdict = await Verifier(ledger).verify()

    assert (verdict.is_proven, verdict.upto, verdict.unsealed) == (True, 12, 1)


async def test_a_chain_made_anew_over_a_changed_log_betrays_itself_to_who_holds_an_export(ledger: Ledger) -> None:
    exported = await read_seals(ledger.database, after=0)
    before = await Verifier(ledger).compare(exported)

    await tampered(ledger, "UPDATE ledger.events SET actor = 'x' WHERE position = 6", "TRUNCATE ledger.seals")
    await Sealer(ledger).run_once()

    assert before is None
    assert (await Verifier(ledger).verify()).is_proven
    difference = await Verifier(ledger).compare(exported[-1:])
    assert difference is not None
    assert str(difference) == "seal 3 is not right: it is not the one that was exported: seals were made anew"


async def test_a_chain_that_was_cut_betrays_itself_to_who_holds_an_export(ledger: Ledger) -> None:
    exported = await read_seals(ledger.database, after=0)

    await tampered(ledger, "DELETE FROM ledger.seals WHERE number > 1")

    verdict = await Verifier(ledger).verify()
    assert (verdict.is_proven, verdict.upto, verdict.unsealed) == (True, 4, 8)
    difference = await Verifier(ledger).compare(exported)
    assert difference is not None
    assert str(difference) == "seal 2 is not right: it was exported, and is not in the ledger any more"


async def test_a_verification_from_a_position_on_takes_what_comes_before_for_right(ledger: Ledger) -> None:
    await tampered(ledger, "UPDATE ledger.events SET actor = 'x' WHERE position = 2")

    for from_position, seals in ((5, 2), (8, 2), (9, 1), (13, 0)):
        verdict = await Verifier(ledger).verify(from_position=from_position)
        assert (verdict.is_proven, verdict.seals, verdict.upto) == (True, seals, 12)

    assert not (await Verifier(ledger).verify(from_position=4)).is_proven


async def test_an_erased_payload_keeps_its_seal_and_is_counted(ledger: Ledger) -> None:
    (row,) = await fetch(ledger, "SELECT data FROM ledger.events WHERE position = 12")
    erased = f'{{"$erased": "{payload_digest(row["data"]).hex()}"}}'

    await tampered(ledger, f"UPDATE ledger.events SET data = '{erased}' WHERE position = 12")  # noqa: S608 - ours

    verdict = await Verifier(ledger).verify()
    assert (verdict.is_proven, verdict.events, verdict.erased) == (True, 12, 1)


async def test_a_digest_of_another_payload_is_a_change(ledger: Ledger) -> None:
    await tampered(
        ledger,
        f"""UPDATE ledger.events SET data = '{{"$erased": "{"0" * 64}"}}' WHERE position = 12""",  # noqa: S608 - ours
    )

    assert await finding(ledger) == ("changed", 12, 3)


async def test_a_seal_of_more_events_than_a_page_is_proven_and_its_last_event_too(database_url: str) -> None:
    async with opened(database_url, seal_seconds=0) as ledger:
        await submitted(ledger, 1)
        await execute(
            ledger,
            "INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at,"
            " actor, correlation_id) SELECT gen_random_uuid(), 1, type, 1, kind, queue, data, occurred_at,"
            " actor, '' FROM ledger.events, generate_series(1, $1)",
            2 * ROWS_MAX,
        )
        await Sealer(ledger).run_once()
        verdict = await Verifier(ledger).verify()
        last = 2 * ROWS_MAX + 1

        await tampered(ledger, f"DELETE FROM ledger.events WHERE position = {last}")  # noqa: S608 - a number

        assert (verdict.is_proven, verdict.seals, verdict.events) == (True, 1, last)
        assert await finding(ledger) == ("removed", last, 1)


async def test_an_empty_ledger_has_nothing_to_prove(database_url: str) -> None:
    async with opened(database_url) as ledger:
        verdict = await Verifier(ledger).verify()

    assert (verdict.is_proven, verdict.seals, verdict.unsealed) == (True, 0, 0)
