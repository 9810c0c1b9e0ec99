"""The file of exported seals: one seal a line, as JSON, in the order of the chain.

An auditor who keeps such a file can tell later whether the chain was made anew. The newest line alone is enough
for that, because each seal holds the hash of the one before it; any part of a file is one too.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ledger.errors import InvalidValueError
from ledger.seals.seal import Seal, read_seals
from ledger.store.connection import Database

_LINE_CHARS_MAX = 4096


async def export_seals(database: Database, file: TextIO, *, after: int = 0) -> int:
    """Write the seals after a number to a file, and return how many there were; takes the memory of a page."""
    exported = 0
    while page := await read_seals(database, after=after):
        file.writelines(f"{json.dumps(seal.as_dict())}\n" for seal in page)
        exported += len(page)
        after = page[-1].number
    return exported


def read_seals_file(path: Path) -> Iterator[Seal]:
    """Yield the seals of a file.

    Raises:
        InvalidValueError: it cannot be read, holds none, or holds one whose hash is not that of its record.
    """
    seals = 0
    try:
        with path.open(encoding="utf-8") as file:
            while line := file.readline(_LINE_CHARS_MAX):
                if line.strip():
                    yield _seal_of(line)
                    seals += 1
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(field="the file of seals", bound=f"readable ({error})", value=str(path)) from error
    if not seals:
        raise InvalidValueError(field="the file of seals", bound="one with seals in it", value=str(path))


def _seal_of(line: str) -> Seal:
    try:
        seal = Seal.from_dict(json.loads(line))
    except ValueError as error:
        raise InvalidValueError(field="a line of exported seals", bound="a seal as JSON", value=line) from error
    if seal.hash != seal.expected_hash():
        bound = "a seal whose hash is that of its record"
        raise InvalidValueError(field="a line of exported seals", bound=bound, value=line)
    return seal
