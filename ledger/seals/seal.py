"""The seal: fixes the events between two positions by the root of their Merkle tree, and the seal before it.

    record = ["task-ledger.seal", 1, number, after, upto, events, root, previous hash, sealed at]
    hash   = SHA-256(record)

The record is one JSON array in this order, in UTF-8, without white space: hashes are text, hexadecimal in lower
case, the time is an integer of microseconds since 1970-01-01 UTC. The first seal has number 1, begins after
position 0 and has 64 zeros for a previous hash. A seal covers the events at `after` < position <= `upto`; the
leaves of its tree (ledger.seals.leaf) stand in the order of positions. So whoever holds one hash holds everything
before it.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple, Self

import asyncpg
import orjson

from ledger.errors import InvalidValueError
from ledger.queries import query
from ledger.seals.leaf import microseconds
from ledger.seals.merkle import HASH_BYTES
from ledger.store.connection import Database

FORMAT = "task-ledger.seal"
FORMAT_VERSION = 1
FIRST_PREVIOUS_HASH = bytes(HASH_BYTES)
PAGE_MAX = 1000
_KEPT = struct.Struct(f">q{HASH_BYTES}s")


class Leaf(NamedTuple):
    """What a seal keeps of an event: where it stands, and its leaf."""

    position: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A link of the chain; `hash` is what stands in the ledger, `expected_hash()` what its record says."""

    number: int
    after: int
    upto: int
    events: int
    root: bytes
    previous_hash: bytes
    sealed_at: datetime
    hash: bytes

    @classmethod
    def following(cls, previous: Self | None, *, upto: int, events: int, root: bytes, sealed_at: datetime) -> Self:
        """Return the seal that follows another, or the first one."""
        unhashed = cls(
            number=previous.number + 1 if previous else 1,
            after=previous.upto if previous else 0,
            upto=upto,
            events=events,
            root=root,
            previous_hash=previous.hash if previous else FIRST_PREVIOUS_HASH,
            sealed_at=sealed_at,
            hash=b"",
        )
        facts = {name: getattr(unhashed, name) for name in cls.__dataclass_fields__}
        return cls(**{**facts, "hash": unhashed.expected_hash()})

    @classmethod
    def from_row(cls, row: Iterable[object]) -> Self:
        """Return the seal of a row, its columns in the order of the fields."""
        return cls(**dict(zip(cls.__dataclass_fields__, row, strict=True)))  # type: ignore[arg-type]  # as stored

    @classmethod
    def from_dict(cls, given: object) -> Self:
        """Return the seal that `as_dict` has written down.

        Raises:
            InvalidValueError: it is none.
        """
        try:
            record = dict(given)  # type: ignore[call-overload]  # whatever it is, a refusal is caught
            return cls(
                number=int(record["number"]),
                after=int(record["after"]),
                upto=int(record["upto"]),
                events=int(record["events"]),
                root=bytes.fromhex(record["root"]),
                previous_hash=bytes.fromhex(record["previous_hash"]),
                sealed_at=datetime.fromisoformat(record["sealed_at"]).astimezone(UTC),
                hash=bytes.fromhex(record["hash"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidValueError(field="a seal", bound="one that was exported", value=given) from error

    def expected_hash(self) -> bytes:
        """Return the hash that a seal of these facts has."""
        record = [
            FORMAT, FORMAT_VERSION, self.number, self.after, self.upto, self.events,
            self.root.hex(), self.previous_hash.hex(), microseconds(self.sealed_at),
        ]  # fmt: skip
        return sha256(orjson.dumps(record)).digest()

    def fault_after(self, previous: Self | None) -> str | None:
        """Return what is wrong with this link of the chain; None where it follows."""
        if self.hash != self.expected_hash():
            return "its hash is not that of its record"
        if self.number != (previous.number + 1 if previous else 1):
            return f"it follows seal {previous.number if previous else 0}"
        if self.previous_hash != (previous.hash if previous else FIRST_PREVIOUS_HASH):
            return "it was not made after the seal before it"
        if self.after != (previous.upto if previous else 0):
            return "it does not begin where the seal before it ends"
        return None

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON: hashes in hexadecimal, the time in UTC."""
        return {
            "number": self.number,
            "after": self.after,
            "upto": self.upto,
            "events": self.events,
            "root": self.root.hex(),
            "previous_hash": self.previous_hash.hex(),
            "sealed_at": self.sealed_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "hash": self.hash.hex(),
        }


def pack_leaves(leaves: Iterable[Leaf]) -> bytes:
    """Return what a seal keeps of its events: 8 bytes of position and 32 of leaf for each."""
    return b"".join(_KEPT.pack(*leaf) for leaf in leaves)


def unpack_leaves(kept: bytes) -> list[Leaf]:
    """Return the leaves that a seal keeps; a rest of less than 40 bytes is left out."""
    whole = len(kept) - len(kept) % _KEPT.size
    return [Leaf(*one) for one in _KEPT.iter_unpack(kept[:whole])]


async def newest_seal(connection: asyncpg.Connection) -> Seal | None:
    """Return the last link of the chain."""
    row = await connection.fetchrow(query("newest_seal"))
    return None if row is None else Seal.from_row(row)


async def read_seals(database: Database, *, after: int, limit: int = PAGE_MAX) -> list[Seal]:
    """Return the seals after a number, in order."""
    async with database.connection() as connection:
        rows = await connection.fetch(query("read_seals"), after, limit)
    return [Seal.from_row(row) for row in rows]


async def read_seal_leaves(connection: asyncpg.Connection, number: int) -> list[Leaf]:
    """Return the leaves that a seal keeps."""
    return unpack_leaves(await connection.fetchval(query("read_seal_leaves"), number))
