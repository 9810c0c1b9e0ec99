"""The evidence of a task: its events, a proof for each that is sealed, and the seals, for whoever has no database.

    {"format": "task-ledger.evidence", "format_version": 1, "task_id": …,
     "events": [{"position": …, …, "payload": "…", "payload_sha256": "…",
                 "proof": {"seal": 7, "index": 41, "path": ["…"]}}],
     "seals":  [{"number": 7, …, "hash": "…"}]}

An event has the members of its entry (ledger.seals.leaf), its times as RFC 3339 text, its payload as canonical
JSON *text* (so that no parser changes a number), null where the payload was erased, and null for a proof where no
seal covers it yet. The seals are those that the proofs need, and the chain from the first of them to the
newest, or as much of it as LINKS_MAX: where links are left out, compare with seals that were exported.

The payloads of an erasable task hold ciphertext, as the ledger does (ledger.payloads.cipher has the format);
`payload_key`, in base64 and only where it was asked for, opens it.
"""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger
from ledger.errors import TaskNotFoundError
from ledger.queries import query
from ledger.seals.leaf import COLUMNS, canonical_text, is_erased, moment_of, payload_digest
from ledger.seals.merkle import inclusion_paths
from ledger.seals.seal import Leaf, Seal, newest_seal, read_seal_leaves, read_seals
from ledger.store.archived import refuse_archived

FORMAT = "task-ledger.evidence"
FORMAT_VERSION = 1
LINKS_MAX = 10_000
TIMES = ("occurred_at", "recorded_at")


async def gather_evidence(ledger: Ledger, task_id: UUID) -> dict[str, object]:
    """Return the evidence of a task, as JSON; what it proves is for ledger.seals.bundle to say.

    Raises:
        TaskArchivedError: its month was archived, and its table dropped: attach it for the evidence.
        TaskNotFoundError: there is no such task.
        StoreUnavailableError: the database is out of reach.
    """
    async with ledger.database.connection() as connection:
        newest = await newest_seal(connection)  # first: a seal that comes meanwhile counts for none of the events
        rows = await connection.fetch(query("read_task_leaf_rows"), task_id)
        if not rows:
            await refuse_archived(connection, task_id)
            raise TaskNotFoundError(task_id)
        sealed = await _sealed(connection, [row["position"] for row in rows], newest)
        proofs: dict[int, Mapping[str, object]] = {}
        for number, positions in sealed.items():
            kept = await read_seal_leaves(connection, number)
            # A tree of 100,000 leaves takes a tenth of a second: not on the loop of an API.
            proofs |= await asyncio.to_thread(_proofs_of, number, kept, positions)
    chain = await _chain(ledger, sorted(sealed), newest)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task_id": str(task_id),
        "events": [_event(row, proofs.get(row["position"])) for row in rows],
        "seals": [seal.as_dict() for seal in chain],
    }


async def _sealed(
    connection: asyncpg.Connection, positions: Sequence[int], newest: Seal | None
) -> Mapping[int, list[int]]:
    """Return the positions that are covered by each seal, by its number."""
    sealed: dict[int, list[int]] = defaultdict(list)
    for row in await connection.fetch(query("seals_of_positions"), positions):
        if newest is not None and row["number"] <= newest.number:
            sealed[row["number"]].append(row["position"])
    return sealed


def _proofs_of(number: int, kept: Sequence[Leaf], positions: Sequence[int]) -> dict[int, Mapping[str, object]]:
    places = {position: bisect_left(kept, (position, b"")) for position in positions}
    there = {one: at for one, at in places.items() if at < len(kept) and kept[at].position == one}
    paths = inclusion_paths([leaf.hash for leaf in kept], list(there.values()))
    return {
        position: {"seal": number, "index": at, "path": [node.hex() for node in path]}
        for (position, at), path in zip(there.items(), paths, strict=True)
    }


async def _chain(ledger: Ledger, numbers: Sequence[int], newest: Seal | None) -> list[Seal]:
    """Return the seals of these numbers, the links after the first of them up to LINKS_MAX, and the newest."""
    if not numbers or newest is None:
        return [newest] if newest else []
    found: dict[int, Seal] = {newest.number: newest}
    after = numbers[0] - 1
    while after < newest.number and len(found) < LINKS_MAX:
        page = await read_seals(ledger.database, after=after)
        found |= {seal.number: seal for seal in page if seal.number <= newest.number}
        after = page[-1].number if page else newest.number
    for number in numbers:
        if number not in found:
            found |= {seal.number: seal for seal in await read_seals(ledger.database, after=number - 1, limit=1)}
    return [found[number] for number in sorted(found)]


def _event(row: asyncpg.Record, proof: Mapping[str, object] | None) -> dict[str, object]:
    shown = {name: _time(row[name]) if name in TIMES else row[name] for name in COLUMNS}
    payload = None if is_erased(row["data"]) else canonical_text(row["data"])
    return {**shown, "payload": payload, "payload_sha256": payload_digest(row["data"]).hex(), "proof": proof}


def _time(value: int | None) -> str | None:
    try:
        return None if value is None else moment_of(value).isoformat(timespec="microseconds")
    except OverflowError:
        return None  # nobody but a forger writes such a time, and without it the proof fails
