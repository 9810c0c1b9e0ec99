"""The notes that a task leaves: how many ran in this process, when the first began and the last was done.

Every contender's task calls `note`; nothing of it waits for anything. The clock is the machine's, not the
process's.
"""

import mmap
import os
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DIRECTORY = "BENCH_NOTES"

_FORM = struct.Struct("=qdd")


@dataclass(frozen=True, slots=True)
class Noted:
    """What one process noted, or several together."""

    tasks: int
    began_at: float
    ended_at: float

    @classmethod
    def together(cls, notes: Iterable["Noted"]) -> Self:
        """Add up what several processes noted."""
        some = [noted for noted in notes if noted.tasks]
        return cls(
            sum(noted.tasks for noted in some),
            min((noted.began_at for noted in some), default=0.0),
            max((noted.ended_at for noted in some), default=0.0),
        )

    @property
    def seconds(self) -> float:
        """From the start of the first task to the end of the last."""
        return self.ended_at - self.began_at


class _Sheet:
    """One process's own file; a fork takes a new one."""

    def __init__(self) -> None:
        self._path = Path(os.environ[DIRECTORY]) / str(os.getpid())
        self._path.write_bytes(bytes(_FORM.size))
        with self._path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FORM.size)
        self._tasks = 0
        self._began_at = time.monotonic()

    def count(self) -> None:
        self._tasks += 1
        _FORM.pack_into(self._memory, 0, self._tasks, self._began_at, time.monotonic())


_lock = threading.Lock()
_sheets: dict[int, _Sheet] = {}


def note() -> None:
    """Note that a task ran in this process."""
    with _lock:
        pid = os.getpid()
        if (sheet := _sheets.get(pid)) is None:
            sheet = _sheets[pid] = _Sheet()
        sheet.count()


def read_notes(directory: Path) -> Noted:
    """Return what all processes noted so far."""
    texts = [path.read_bytes() for path in directory.iterdir()]
    return Noted.together(Noted(*_FORM.unpack(text)) for text in texts if len(text) == _FORM.size)
