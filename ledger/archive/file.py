r"""The file of an archive: a header, and the events of a month in the order of the log.

    header  one line of JSON: format, format_version, month, columns, events, tasks, first_position, last_position,
            and chunks: for each one its events, first_position, last_position, bytes and sha256
    chunks  one after the other; each is a gzip member of JSON lines, an event a line: an array of its columns

Without this program: `tail -n +2 FILE | gunzip`. A line is what a leaf hashes (ledger.seals.leaf), before its
payload is digested: times are integers, microseconds since 1970-01-01 UTC, the payload is JSON *text*, as the
database writes it. So nothing of an event is lost or rounded, and the seals prove the file without any table.

It is written in the memory of one chunk: the chunks into a file beside it, then the header and they into another,
which gets its name when it is whole and on the disk. Whoever is killed in between leaves no file of that name.
"""

import gzip
import os
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import orjson

from ledger.archive.month import Month
from ledger.errors import ArchiveFileError, InvalidValueError
from ledger.seals.leaf import COLUMNS

FORMAT = "task-ledger.archive"
FORMAT_VERSION = 1
CHUNK_BYTES_MAX = 1 << 20
_CHUNK_ROOM = 1 << 28  # an event may be as large as a body, so a chunk is a little more than its bound
_HEADER_BYTES_MAX = 1 << 28
_COMPRESSION = 6
_ALL_COLUMNS = [*COLUMNS, "data"]

Row = Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of the file."""

    events: int
    first_position: int
    last_position: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands in the first line."""

    month: Month
    events: int
    tasks: int
    first_position: int
    last_position: int
    chunks: Sequence[Chunk]

    def line(self) -> bytes:
        """Return it as it is written."""
        facts = asdict(self) | {"month": str(self.month)}
        return orjson.dumps(
            {"format": FORMAT, "format_version": FORMAT_VERSION, "columns": _ALL_COLUMNS, **facts},
            option=orjson.OPT_APPEND_NEWLINE,
        )


def file_name(month: Month) -> str:
    """Return the name of a month's file."""
    return f"task-ledger-{month}.archive"


async def write_archive(path: Path, month: Month, pages: AsyncIterator[Sequence[Row]]) -> Header:
    """Write the events of a month, which come in the order of the log; the file has its name when it is whole.

    Raises:
        ArchiveFileError: it cannot be written, or there is no event to write.
    """
    body, unfinished = (path.with_name(f"{path.name}.{part}") for part in ("body", "unfinished"))
    try:
        with body.open("wb") as file:
            chunks, tasks = await _write_chunks(file, pages)
        if not chunks:
            raise ArchiveFileError(file=str(path), reason="would have no event in it")
        header = _header(month, chunks, tasks=tasks)
        with unfinished.open("wb") as whole, body.open("rb") as chunked:
            whole.write(header.line())
            shutil.copyfileobj(chunked, whole)
            whole.flush()
            os.fsync(whole.fileno())
        unfinished.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise ArchiveFileError(file=str(path), reason=f"cannot be written: {error}") from error
    finally:
        for part in (body, unfinished):
            with suppress(OSError):
                part.unlink()
    return header


def read_header(path: Path) -> Header:
    """Return what a file says about itself; raises ArchiveFileError where it is no archive."""
    with _opened(path) as file:
        return _read_header(path, file)


def read_rows(path: Path) -> Iterator[list[Row]]:
    """Yield the events of a file, chunk by chunk, each checked against its digest.

    Raises:
        ArchiveFileError: it cannot be read, or it is not what its header says.
    """
    with _opened(path) as file:
        header = _read_header(path, file)
        for number, chunk in enumerate(header.chunks, start=1):
            packed = file.read(chunk.bytes)
            if sha256(packed).hexdigest() != chunk.sha256:
                raise ArchiveFileError(file=str(path), reason=f"is damaged: chunk {number} has another digest")
            yield _unpacked(path, number, packed, chunk)
        if file.read(1):
            raise ArchiveFileError(file=str(path), reason="has more in it than its header says")


def digest_of(path: Path) -> tuple[bytes, int]:
    """Return the SHA-256 of a file and its size in bytes."""
    digest = sha256()
    size = 0
    with _opened(path) as file:
        while block := file.read(CHUNK_BYTES_MAX):
            digest.update(block)
            size += len(block)
    return digest.digest(), size


async def _write_chunks(file: BinaryIO, pages: AsyncIterator[Sequence[Row]]) -> tuple[list[Chunk], int]:
    chunks: list[Chunk] = []
    lines: list[bytes] = []
    positions: list[int] = []
    size = tasks = 0
    async for rows in pages:
        for row in rows:
            values = list(row)
            if values[7] is None or values[8] is None:  # somebody has put it there, and it could not come back
                raise ArchiveFileError(file=file.name, reason=f"cannot hold the time of position {values[0]}")
            line = orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)
            lines.append(line)
            positions.append(int(str(values[0])))
            tasks += values[2] == 1
            size += len(line)
            if size >= CHUNK_BYTES_MAX:
                chunks.append(_write_chunk(file, lines, positions))
                lines, positions, size = [], [], 0
    if lines:
        chunks.append(_write_chunk(file, lines, positions))
    return chunks, tasks


def _write_chunk(file: BinaryIO, lines: Sequence[bytes], positions: Sequence[int]) -> Chunk:
    packed = gzip.compress(b"".join(lines), _COMPRESSION, mtime=0)
    file.write(packed)
    return Chunk(
        events=len(lines),
        first_position=positions[0],
        last_position=positions[-1],
        bytes=len(packed),
        sha256=sha256(packed).hexdigest(),
    )


def _header(month: Month, chunks: Sequence[Chunk], *, tasks: int) -> Header:
    return Header(
        month=month,
        events=sum(chunk.events for chunk in chunks),
        tasks=tasks,
        first_position=chunks[0].first_position,
        last_position=chunks[-1].last_position,
        chunks=chunks,
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ArchiveFileError(file=str(path), reason=f"cannot be read: {error.strerror}") from error


def _read_header(path: Path, file: BinaryIO) -> Header:
    line = file.readline(_HEADER_BYTES_MAX)
    try:
        given = orjson.loads(line)
        if given["format"] != FORMAT or given["columns"] != _ALL_COLUMNS:
            raise ArchiveFileError(file=str(path), reason="is no archive of a month")
        if given["format_version"] != FORMAT_VERSION:
            reason = f"must have format version {FORMAT_VERSION}, got {given['format_version']}"
            raise ArchiveFileError(file=str(path), reason=reason)
        header = _header(
            Month.parse(given["month"]), [Chunk(**chunk) for chunk in given["chunks"]], tasks=given["tasks"]
        )
    except (ValueError, TypeError, KeyError, IndexError, InvalidValueError) as error:
        raise ArchiveFileError(file=str(path), reason="is no archive of a month") from error
    _check_header(path, header, given)
    return header


def _check_header(path: Path, header: Header, given: Mapping[str, object]) -> None:
    facts = ("events", "first_position", "last_position")
    in_order = all(one.last_position < other.first_position for one, other in pairwise(header.chunks))
    if not in_order or any(getattr(header, name) != given.get(name) for name in facts):
        raise ArchiveFileError(file=str(path), reason="has a header that contradicts itself")


def _unpacked(path: Path, number: int, packed: bytes, chunk: Chunk) -> list[Row]:
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = unpacker.decompress(packed, _CHUNK_ROOM)
        rows: list[Row] = [orjson.loads(line) for line in text.splitlines()]
        is_right = (
            unpacker.eof
            and len(rows) == chunk.events
            and (rows[0][0], rows[-1][0]) == (chunk.first_position, chunk.last_position)
            and all(len(row) == len(_ALL_COLUMNS) for row in rows)
        )
    except (zlib.error, ValueError, IndexError, TypeError) as error:
        raise ArchiveFileError(file=str(path), reason=f"is damaged: chunk {number} holds no events") from error
    if not is_right:
        raise ArchiveFileError(file=str(path), reason=f"is damaged: chunk {number} is not what its header says")
    return rows


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
