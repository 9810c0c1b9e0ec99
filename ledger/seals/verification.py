"""The verification: proves the ledger against its seals, and names the first event that is not what was sealed.

It walks the chain from its beginning: each seal has to follow the one before it, what it keeps of its events
has to have its root, and the events that are in its range now have to be those. So it needs memory for the
leaves of one seal (LEDGER_SEAL_EVENTS_MAX at 40 bytes), however long the log is. A chain that somebody made
anew as a whole is in itself right: only seals that were exported before can tell (`against`).

Events of archived months are not in the log. Their records say which they are (ledger.archive.shares) and are held
against the seals; the events themselves are proven where their table or their file is at hand, and where neither
is, the verdict says so. What is neither in the log nor in a record was removed.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import asyncpg

from ledger.archive.claims import Claim, claims_on, fault_of, kept_pages, prove_directory, unclaimed
from ledger.bootstrap import Ledger
from ledger.queries import query
from ledger.seals.difference import Difference, changed, inserted, removed, wrong_seal
from ledger.seals.leaf import is_erased, leaves_of
from ledger.seals.merkle import tree_root
from ledger.seals.seal import PAGE_MAX, Leaf, Seal, read_seal_leaves, read_seals
from ledger.seals.sealer import read_pages

Report = Callable[[int, int], None]
_BEFORE_ALL = -(2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is proven, and what is not.

    Attributes:
        seals: how many seals were found right.
        events: how many events were found to be what was sealed.
        erased: how many of these have only the digest of their payload left.
        upto: the position up to which the ledger is proven; 0 without a seal.
        unsealed: how many events after the last seal nothing can be said about yet.
        archived: how many of the events were proven by the table or the file of an archive.
        unverified: the archived months of which neither is at hand, with their positions; nothing is said about
            these, but that nobody removed other events than the records say.
        difference: the first thing that is not right; None where all that is sealed is proven.
    """

    seals: int = 0
    events: int = 0
    erased: int = 0
    upto: int = 0
    unsealed: int = 0
    archived: int = 0
    unverified: tuple[str, ...] = ()
    difference: Difference | None = None

    @property
    def is_proven(self) -> bool:
        """Whether all that is sealed is what was sealed."""
        return self.difference is None


class Verifier:
    """Verifies a ledger; it changes nothing, and writers and sealers may go on meanwhile."""

    def __init__(self, ledger: Ledger, report: Report = lambda _position, _of: None) -> None:
        self._ledger = ledger
        self._report = report
        self._proven: frozenset[int] = frozenset()

    async def verify(self, *, from_position: int = 0, archives: Path | None = None) -> Verdict:
        """Return what is proven, from the seal on that covers a position, up to the first difference.

        Args:
            from_position: what comes before its seal is taken for right.
            archives: the directory with the files of archived months.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        if archives is not None:
            self._proven, difference = await prove_directory(self._ledger.database, archives)
            if difference is not None:
                return Verdict(difference=difference)
        horizon = await self._ledger.store.safe_position()
        previous = await self._seal_before(from_position)
        verdict = Verdict(upto=previous.upto if previous else 0)
        while page := await read_seals(self._ledger.database, after=previous.number if previous else 0):
            for seal in page:
                verdict = await self._extended(verdict, seal, previous)
                if verdict.difference:
                    return verdict
                self._report(seal.upto, max(horizon, seal.upto))
                previous = seal
        horizon = await self._ledger.store.safe_position()
        async with self._ledger.database.connection() as connection:
            unsealed = await connection.fetchval(query("count_unsealed"), verdict.upto, horizon)
        return replace(verdict, unsealed=unsealed)

    async def compare(self, exported: Iterable[Seal]) -> Difference | None:
        """Return the first exported seal that is not in the ledger as it was; None where all are."""
        remaining = iter(exported)
        while page := list(islice(remaining, PAGE_MAX)):
            async with self._ledger.database.connection() as connection:
                numbers = [seal.number for seal in page]
                rows = await connection.fetch(query("hashes_of_seals"), numbers)
            hashes = {row["number"]: row["hash"] for row in rows}
            for seal in page:
                if seal.number not in hashes:
                    return wrong_seal(seal.number, "it was exported, and is not in the ledger any more")
                if hashes[seal.number] != seal.hash:
                    return wrong_seal(seal.number, "it is not the one that was exported: seals were made anew")
        return None

    async def _seal_before(self, position: int) -> Seal | None:
        async with self._ledger.database.connection() as connection:
            number = await connection.fetchval(query("seal_before"), position)
        if number is None:
            return None
        return (await read_seals(self._ledger.database, after=number - 1, limit=1))[0]

    async def _extended(self, verdict: Verdict, seal: Seal, previous: Seal | None) -> Verdict:
        if (fault := seal.fault_after(previous)) is not None:
            return replace(verdict, difference=wrong_seal(seal.number, fault))
        # In one transaction that holds on to the log: no month leaves it or comes back meanwhile.
        async with self._ledger.database.connection() as connection, connection.transaction():
            await connection.execute(query("hold_log"))
            kept = await read_seal_leaves(connection, seal.number)
            if len(kept) != seal.events or tree_root([leaf.hash for leaf in kept]) != seal.root:
                fault = "what it keeps of its events does not have its root"
                return replace(verdict, difference=wrong_seal(seal.number, fault))
            claims = await claims_on(connection, seal, kept)
            if (difference := fault_of(claims, seal)) is not None:
                return replace(verdict, difference=difference)
            # Positions begin at 1; whatever somebody put below belongs to the first seal, which knows none of it.
            after = _BEFORE_ALL if previous is None else seal.after
            pages = read_pages(connection, after=after, upto=seal.upto)
            difference, erased = await _compare(pages, seal, unclaimed(kept, claims))
            verdict = replace(verdict, erased=verdict.erased + erased)
            for claim in claims:
                if difference is None:
                    difference, verdict = await self._with_claim(connection, seal, claim, verdict)
        if difference is not None:
            return replace(verdict, difference=difference)
        unproven = sum(len(claim.leaves) for claim in claims if not self._is_at_hand(claim))
        return replace(
            verdict, seals=verdict.seals + 1, events=verdict.events + seal.events - unproven, upto=seal.upto
        )

    def _is_at_hand(self, claim: Claim) -> bool:
        return not claim.is_dropped or claim.archive_id in self._proven

    async def _with_claim(
        self, connection: asyncpg.Connection, seal: Seal, claim: Claim, verdict: Verdict
    ) -> tuple[Difference | None, Verdict]:
        if not self._is_at_hand(claim):
            return None, replace(verdict, unverified=claim.added_to(verdict.unverified))
        difference, erased = None, 0
        if not claim.is_dropped:
            difference, erased = await _compare(kept_pages(connection, seal, claim), seal, claim.leaves)
        proven = replace(verdict, archived=verdict.archived + len(claim.leaves), erased=verdict.erased + erased)
        return difference, proven


async def _compare(
    unread: AsyncGenerator[list[asyncpg.Record], None], seal: Seal, kept: Sequence[Leaf]
) -> tuple[Difference | None, int]:
    """Return what is not what the seal keeps, the first of it, and how many payloads of the rest are erased."""
    seen = erased = 0
    async with aclosing(unread) as pages:
        async for rows in pages:
            found = [Leaf(row[0], one) for row, one in zip(rows, leaves_of(rows), strict=True)]
            expected = kept[seen : seen + len(found)]
            if found != expected:
                ids = [f"{row['task_id']}:{row['version']}" for row in rows]
                return _first_difference(seal.number, expected, found, ids), erased
            seen += len(found)
            erased += sum(is_erased(row["data"]) for row in rows)
    missing = kept[seen].position if seen < len(kept) else None
    return (None if missing is None else removed(seal.number, missing)), erased


def _first_difference(
    seal: int, expected: Sequence[Leaf], found: Sequence[Leaf], ids: Sequence[str]
) -> Difference:
    """Return where two runs of leaves that are not equal part; `expected` may be shorter."""
    at = next(
        (at for at, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), len(expected)
    )
    position, leaf = found[at]
    if at == len(expected):
        return inserted(seal, position, ids[at])
    if leaf == expected[at].hash:
        return wrong_seal(seal, f"what it keeps of position {position} is not right")
    if position < expected[at].position:
        return inserted(seal, position, ids[at])
    if position > expected[at].position:
        return removed(seal, expected[at].position)
    if expected[at] in found[at + 1 :]:  # somebody has put another event upon its position, and it sorts first
        return inserted(seal, position, ids[at])
    return changed(seal, position, ids[at])
