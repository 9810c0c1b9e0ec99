"""The processor seconds of processes, as Linux counts them."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_SESSION = 3
_TIMES = slice(11, 15)  # of its own, and of its children that have ended


class ProcessorSeconds:
    """What each process used between `start` and `stop`.

    Args:
        read: tells what each has used so far.
    """

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read
        self._before: Mapping[str, float] = {}
        self._started_at = 0.0
        self.elapsed_seconds = 0.0
        self.seconds: dict[str, float] = {}

    def start(self) -> None:
        """Begin to count."""
        self._before = self._read()
        self._started_at = time.monotonic()

    def stop(self) -> None:
        """End counting."""
        self.elapsed_seconds = time.monotonic() - self._started_at
        self.seconds = {name: used - self._before.get(name, 0.0) for name, used in self._read().items()}


def used_by(pid: int) -> float:
    """Return what a process has used so far."""
    fields = _fields(Path(f"/proc/{pid}"))
    return sum(map(int, fields[_TIMES])) / _TICKS_PER_SECOND if fields else 0.0


def used_by_session(session: int) -> float:
    """Return what the processes of a session have used so far."""
    entries = [_fields(entry) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    used = [fields[_TIMES] for fields in entries if fields and int(fields[_SESSION]) == session]
    return sum(sum(map(int, times)) for times in used) / _TICKS_PER_SECOND


def _fields(entry: Path) -> list[str]:
    """Return what the kernel says of a process, from its state on; nothing when it is gone."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
