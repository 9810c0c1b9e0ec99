"""The claims: what the records of archives say about the events of one seal, held against what the seal keeps."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from ledger.archive.attach import prove_archive
from ledger.archive.month import Month
from ledger.archive.record import archives_in
from ledger.archive.shares import Share
from ledger.errors import ArchiveFileError
from ledger.queries import query
from ledger.seals.difference import Difference, wrong_archive
from ledger.seals.seal import Leaf, Seal
from ledger.store.connection import Database

_PAGE_EVENTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one archive says of a seal; `fault` says why that cannot be, None where it can."""

    archive_id: int
    month: str
    is_dropped: bool
    leaves: Sequence[Leaf]
    fault: str | None

    def added_to(self, told: Sequence[str]) -> tuple[str, ...]:
        """Return the sentences with this one's positions in them, one sentence a month."""
        first, last = self.leaves[0].position, self.leaves[-1].position
        of_month = f"{self.month}, positions "
        if not any(one.startswith(of_month) for one in told):
            return (*told, f"{of_month}{first} to {last}")
        return tuple(f"{one.rpartition(' ')[0]} {last}" if one.startswith(of_month) else one for one in told)


async def claims_on(connection: asyncpg.Connection, seal: Seal, kept: Sequence[Leaf]) -> list[Claim]:
    """Return what the archives say about the events of a seal, and whether the seal agrees."""
    rows = await connection.fetch(query("shares_of_seal"), seal.number)
    claims: list[Claim] = []
    claimed: set[int] = set()
    for row in rows:
        share = Share(seal.number, row["events"], row["root"], tuple(row["ranges"]))
        leaves = [leaf for leaf in kept if share.covers(leaf.position)]
        fault = None if share.fits(leaves) else f"its record does not agree with seal {seal.number}"
        if claimed & {leaf.position for leaf in leaves}:
            fault = f"another archive has the same events of seal {seal.number}"
        claimed |= {leaf.position for leaf in leaves}
        claims.append(
            Claim(
                archive_id=row["id"],
                month=str(Month(row["month"])),
                is_dropped=row["is_dropped"],
                leaves=leaves,
                fault=fault,
            )
        )
    return claims


def fault_of(claims: Sequence[Claim], seal: Seal) -> Difference | None:
    """Return the first record that the seal does not agree with."""
    faults = [(claim.month, claim.fault) for claim in claims if claim.fault is not None]
    return wrong_archive(faults[0][0], faults[0][1], seal=seal.number) if faults else None


def unclaimed(kept: Sequence[Leaf], claims: Sequence[Claim]) -> Sequence[Leaf]:
    """Return the leaves of a seal that have to be in the log."""
    if not claims:
        return kept
    claimed = {leaf.position for claim in claims for leaf in claim.leaves}
    return [leaf for leaf in kept if leaf.position not in claimed]


async def kept_pages(
    connection: asyncpg.Connection, seal: Seal, claim: Claim
) -> AsyncGenerator[list[asyncpg.Record], None]:
    """Yield what the table beside the log has of a seal, page by page, in the transaction that is open."""
    cursor = await connection.cursor(query("read_kept_leaf_rows"), seal.after, seal.upto, claim.archive_id)
    while page := await cursor.fetch(_PAGE_EVENTS):
        yield page


async def prove_directory(database: Database, directory: Path) -> tuple[frozenset[int], Difference | None]:
    """Return the archives whose files in a directory are proven, and the first file that is not right."""
    proven: set[int] = set()
    async with database.connection() as connection:
        for archive in await archives_in(connection):
            path = directory / archive.file
            if not _exists(path):
                continue
            try:
                await prove_archive(connection, archive, path)
            except ArchiveFileError as error:
                return frozenset(proven), wrong_archive(archive.name, str(error))
            proven.add(archive.id)
    return frozenset(proven), None


def _exists(path: Path) -> bool:
    return path.exists()
