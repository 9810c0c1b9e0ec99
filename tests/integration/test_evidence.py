"""The evidence of a task proves its history without a database, and nothing that was altered in it."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError, TaskNotFoundError
from ledger.seals.bundle import BundleVerdict, check_bundle, read_bundle
from ledger.seals.evidence import gather_evidence
from ledger.seals.export import export_seals, read_seals_file
from ledger.seals.leaf import payload_digest
from ledger.seals.seal import Seal, read_seals
from ledger.seals.sealer import Sealer
from tests.integration.api_given import UNKNOWN_ID, client_of
from tests.integration.given import fetch, submitted
from tests.integration.seals_given import finished, sealed_ledger, tampered

Bundle = dict[str, Any]  # JSON that the tests alter
Alteration = Callable[[Bundle], object]


@pytest.fixture
async def sealed(database_url: str) -> AsyncIterator[tuple[Ledger, UUID]]:
    """A ledger of three seals, and its task whose three events are the last ones."""
    async with sealed_ledger(database_url) as (ledger, tasks):
        yield ledger, tasks[-1]


async def test_the_history_of_a_task_is_proven_without_a_database(sealed: tuple[Ledger, UUID]) -> None:
    ledger, task_id = sealed
    await submitted(ledger, 5)
    await Sealer(ledger).run_once()

    verdict = check_bundle(await _written(ledger, task_id))

    assert verdict.is_proven
    assert verdict == BundleVerdict(
        task_id=str(task_id), events=3, unsealed=0, erased=0,
        first_seal=3, last_seal=5, links_missing=0, difference=None,
    )  # fmt: skip


async def test_events_that_are_not_sealed_yet_are_said_to_be(sealed: tuple[Ledger, UUID]) -> None:
    ledger, _ = sealed
    (unsealed,) = await finished(ledger)

    verdict = check_bundle(await _written(ledger, unsealed))

    assert (verdict.is_proven, verdict.events, verdict.unsealed) == (True, 3, 3)


async def test_an_alteration_of_a_bundle_is_named(sealed: tuple[Ledger, UUID]) -> None:
    ledger, task_id = sealed
    await submitted(ledger, 5)
    await Sealer(ledger).run_once()
    bundle = await _written(ledger, task_id)
    expected = {name: finding for name, (_, finding) in _ALTERATIONS.items()}

    found = {name: _finding(bundle, alteration) for name, (alteration, _) in _ALTERATIONS.items()}

    assert found == expected


_ALTERATIONS: dict[str, tuple[Alteration, tuple[str, int | None, int | None]]] = {
    "payload": (lambda it: it["events"][2].update(payload="{}"), ("changed", 12, 3)),
    "payload and its digest": (
        lambda it: it["events"][2].update(payload="{}", payload_sha256=payload_digest("{}").hex()),
        ("changed", 12, 3),
    ),
    "digest": (lambda it: it["events"][0].update(payload_sha256="0" * 64), ("changed", 10, 3)),
    "actor": (lambda it: it["events"][1].update(actor="x"), ("changed", 11, 3)),
    "time": (lambda it: it["events"][1].update(recorded_at="2020-01-01T00:00:00+00:00"), ("changed", 11, 3)),
    "position": (lambda it: it["events"][1].update(position=9), ("changed", 9, 3)),
    "index": (lambda it: it["events"][1]["proof"].update(index=0), ("changed", 11, 3)),
    "path": (lambda it: it["events"][1]["proof"]["path"].pop(), ("changed", 11, 3)),
    "event left out": (lambda it: it["events"].pop(1), ("seal", None, None)),
    "event of another": (lambda it: it.update(task_id=UNKNOWN_ID), ("seal", None, None)),
    "proof left out": (lambda it: it["events"][1].update(proof=None), ("inserted", 11, 5)),
    "seal left out": (lambda it: it["seals"].pop(0), ("seal", None, 3)),
    "seal altered": (lambda it: it["seals"][0].update(root="00" * 32), ("seal", None, 3)),
    "seal made anew": (lambda it: it["seals"].__setitem__(0, _remade(it["seals"][0])), ("seal", None, 4)),
    "seals swapped": (lambda it: it["seals"].reverse(), ("seal", None, 4)),
}


def _remade(seal: dict[str, object]) -> dict[str, object]:
    altered = replace(Seal.from_dict(seal), root=bytes(32))
    return replace(altered, hash=altered.expected_hash()).as_dict()


async def test_exported_seals_vouch_for_a_bundle_and_against_a_chain_made_anew(
    sealed: tuple[Ledger, UUID], tmp_path: Path
) -> None:
    ledger, task_id = sealed
    exported = tmp_path / "seals.ndjson"
    with exported.open("w") as file:
        await export_seals(ledger.database, file)
    genuine = check_bundle(await _written(ledger, task_id), read_seals_file(exported))

    await tampered(ledger, "UPDATE ledger.events SET actor = 'x' WHERE position = 11", "TRUNCATE ledger.seals")
    await Sealer(ledger).run_once()
    forged = await _written(ledger, task_id)

    assert genuine.is_proven
    assert check_bundle(forged).is_proven
    difference = check_bundle(forged, read_seals_file(exported)).difference
    assert str(difference) == "seal 3 is not right: it is not the one that was exported"


async def test_a_later_seal_vouches_for_those_before_it_and_an_earlier_one_does_not(
    sealed: tuple[Ledger, UUID],
) -> None:
    ledger, task_id = sealed
    await submitted(ledger, 5)
    await Sealer(ledger).run_once()
    seals = await read_seals(ledger.database, after=0)
    bundle = await _written(ledger, task_id)

    assert check_bundle(bundle, seals[-1:]).is_proven
    difference = check_bundle(bundle, seals[:2]).difference
    assert str(difference) == "seal 3 is not right: no seal that was exported vouches for it"


async def test_a_link_that_is_left_out_is_said_and_nothing_beyond_it_vouches(sealed: tuple[Ledger, UUID]) -> None:
    ledger, task_id = sealed
    await submitted(ledger, 5)
    await Sealer(ledger).run_once()
    seals = await read_seals(ledger.database, after=0)
    bundle = await _written(ledger, task_id)

    bundle["seals"].pop(1)

    alone, beyond, direct = (check_bundle(bundle, exported) for exported in (None, seals[-1:], seals))
    assert (alone.is_proven, alone.links_missing) == (True, 1)
    assert (beyond.is_proven, direct.is_proven) == (False, True)


async def test_an_erased_payload_leaves_the_proof_whole(sealed: tuple[Ledger, UUID]) -> None:
    ledger, task_id = sealed
    (row,) = await fetch(ledger, "SELECT data FROM ledger.events WHERE position = 12")
    erased = f'{{"$erased": "{payload_digest(row["data"]).hex()}"}}'
    await tampered(ledger, f"UPDATE ledger.events SET data = '{erased}' WHERE position = 12")  # noqa: S608 - ours

    bundle = await _written(ledger, task_id)

    assert bundle["events"][2]["payload"] is None
    verdict = check_bundle(bundle)
    assert (verdict.is_proven, verdict.erased) == (True, 1)


async def test_an_event_that_was_changed_before_its_evidence_was_gathered_is_named(
    sealed: tuple[Ledger, UUID],
) -> None:
    ledger, task_id = sealed
    await tampered(ledger, "UPDATE ledger.events SET kind = 'x', occurred_at = 'infinity' WHERE position = 11")

    verdict = check_bundle(await _written(ledger, task_id))

    assert verdict.difference is not None
    assert (verdict.difference.kind, verdict.difference.event_id) == ("changed", f"{task_id}:2")


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "[" * 100_000, "[]", "{}", '{"format": "task-ledger.evidence"}',
        '{"format": "task-ledger.evidence", "format_version": 2}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bundle.json"
    file.write_text(text)

    with pytest.raises(InvalidValueError, match=r"^the bundle must be "):
        read_bundle(file)


@pytest.mark.parametrize(
    "alteration",
    [
        lambda it: it.pop("events"),
        lambda it: it.update(events=7),
        lambda it: it.update(events=[]),
        lambda it: it.update(seals=[{}]),
        lambda it: it["events"][0].pop("kind"),
        lambda it: it["events"][0].update(recorded_at="yesterday"),
        lambda it: it["events"][0].update(schema_version=2**70),
        lambda it: it["events"][0].update(payload="\ud800", actor="\ud800"),
        lambda it: it["events"][0]["proof"].update(path=["x"]),
        lambda it: it["events"][0].update(proof=[]),
    ],
)
async def test_a_bundle_that_is_not_whole_is_refused(alteration: Alteration) -> None:
    bundle = _bundle_of_nothing()
    alteration(bundle)

    with pytest.raises(InvalidValueError):
        check_bundle(bundle)


async def test_evidence_and_seals_are_served(sealed: tuple[Ledger, UUID]) -> None:
    ledger, task_id = sealed

    async with client_of(ledger) as client:
        evidence = await client.get(f"/tasks/{task_id}/evidence")
        unknown = await client.get(f"/tasks/{UNKNOWN_ID}/evidence")
        first = (await client.get("/seals", params={"limit": 2})).json()
        rest = (await client.get("/seals", params={"after": first["next_after"]})).json()
        refused = await client.get("/seals", params={"limit": 100_000})

    assert check_bundle(evidence.json()).is_proven
    assert (unknown.status_code, refused.status_code) == (404, 400)
    served = [Seal.from_dict(seal) for seal in [*first["seals"], *rest["seals"]]]
    assert served == await read_seals(ledger.database, after=0)
    assert rest["next_after"] is None


async def test_a_task_that_is_not_there_has_no_evidence(sealed: tuple[Ledger, UUID]) -> None:
    with pytest.raises(TaskNotFoundError):
        await gather_evidence(sealed[0], UUID(UNKNOWN_ID))


async def _written(ledger: Ledger, task_id: UUID) -> Bundle:
    """Return the evidence as it comes out of a file."""
    bundle: Bundle = json.loads(json.dumps(await gather_evidence(ledger, task_id)))
    return bundle


def _finding(bundle: Bundle, alteration: Alteration) -> tuple[str, int | None, int | None]:
    altered: Bundle = json.loads(json.dumps(bundle))
    alteration(altered)
    difference = check_bundle(altered).difference
    assert difference is not None
    return difference.kind.value, difference.position, difference.seal


def _bundle_of_nothing() -> Bundle:
    event = {
        "position": 1, "task_id": UNKNOWN_ID, "version": 1, "type": "t", "schema_version": 1, "kind": "k",
        "queue": "q", "occurred_at": None, "recorded_at": None, "actor": "a", "correlation_id": "c",
        "causation_id": None, "traceparent": None, "payload": "{}", "payload_sha256": "",
        "proof": {"seal": 1, "index": 0, "path": []},
    }  # fmt: skip
    return {"task_id": UNKNOWN_ID, "events": [event], "seals": []}
