"""The shares: which events of each seal an archive has, and the proof that they are what was sealed.

    share = the number of a seal, how many of its events, the root (RFC 6962) of their leaves in the order of the
            log, and the first and last position of each run of them

A run has no other event of the seal in it; gaps of the sequence do not end it. The record of an archive holds its
shares, so what is missing from the log can be told from what was archived, and that from what was removed: the
leaves that the seal keeps at these positions have to have this root. Whoever forges a record can make that true,
but not the file: it is proven event by event against the same seals.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import asyncpg

from ledger.archive.file import Row
from ledger.queries import query
from ledger.seals.difference import Difference, changed, inserted, wrong_seal
from ledger.seals.leaf import leaves_of
from ledger.seals.merkle import tree_root
from ledger.seals.seal import Leaf, Seal, read_seal_leaves


@dataclass(frozen=True, slots=True)
class Share:
    """What an archive has of a seal; `ranges` alternates first and last positions."""

    seal: int
    events: int
    root: bytes
    ranges: tuple[int, ...]

    def covers(self, position: int) -> bool:
        """Say whether a position is in one of the runs."""
        pairs = zip(self.ranges[::2], self.ranges[1::2], strict=True)
        return any(first <= position <= last for first, last in pairs)

    def fits(self, leaves: Sequence[Leaf]) -> bool:
        """Say whether these are the leaves that it has."""
        return len(leaves) == self.events and tree_root([leaf.hash for leaf in leaves]) == self.root


class NotSealedError(Exception):
    """An event is not what was sealed, or no seal covers it; `difference` says which."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference
        super().__init__(str(difference))


class _OpenSeal:
    """A seal whose share is being gathered."""

    def __init__(self, seal: Seal, kept: Sequence[Leaf]) -> None:
        self.seal = seal
        self._kept = kept
        self._places = {leaf.position: place for place, leaf in enumerate(kept)}
        self._mine: list[int] = []

    def take(self, leaf: Leaf, event_id: str) -> None:
        place = self._places.get(leaf.position)
        if place is None or (self._mine and place <= self._mine[-1]):
            raise NotSealedError(inserted(self.seal.number, leaf.position, event_id))
        if self._kept[place].hash != leaf.hash:
            raise NotSealedError(changed(self.seal.number, leaf.position, event_id))
        self._mine.append(place)

    def share(self) -> Share:
        ranges: list[int] = []
        before = -2
        for place in self._mine:
            position = self._kept[place].position
            if place == before + 1:
                ranges[-1] = position
            else:
                ranges += [position, position]
            before = place
        leaves = [self._kept[place].hash for place in self._mine]
        return Share(self.seal.number, len(leaves), tree_root(leaves), tuple(ranges))


async def shares_of(connection: asyncpg.Connection, pages: AsyncIterator[Sequence[Row]]) -> list[Share]:
    """Return the shares of events that come in the order of the log, each of them compared with its seal.

    It takes the memory of one seal's leaves and one page.

    Raises:
        NotSealedError: one is not what was sealed, or is not sealed.
    """
    shares: list[Share] = []
    current: _OpenSeal | None = None
    async for rows in pages:
        for row, one in zip(rows, leaves_of(rows), strict=True):
            leaf = Leaf(int(str(row[0])), one)
            if current is None or leaf.position > current.seal.upto:
                if current is not None:
                    shares.append(current.share())
                current = await _seal_at(connection, leaf.position)
            current.take(leaf, f"{row[1]}:{row[2]}")
    return shares if current is None else [*shares, current.share()]


async def recorded_shares(connection: asyncpg.Connection, archive_id: int) -> list[Share]:
    """Return the shares that stand in the record of an archive."""
    rows = await connection.fetch(query("shares_of_archive"), archive_id)
    return [Share(seal, events, root, tuple(ranges)) for seal, events, root, ranges in rows]


async def _seal_at(connection: asyncpg.Connection, position: int) -> _OpenSeal:
    covering = await connection.fetch(query("seals_of_positions"), [position])
    if not covering:
        raise NotSealedError(wrong_seal(None, f"no seal covers position {position}"))
    number = covering[0]["number"]
    [row] = await connection.fetch(query("read_seals"), number - 1, 1)
    seal = Seal.from_row(row)
    kept = await read_seal_leaves(connection, number)
    if len(kept) != seal.events or tree_root([leaf.hash for leaf in kept]) != seal.root:
        raise NotSealedError(wrong_seal(number, "what it keeps of its events does not have its root"))
    return _OpenSeal(seal, kept)
