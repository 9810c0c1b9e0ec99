"""How far a rebuild is: its phase, its events, its speed, and when it will be done."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a rebuild does, in this order."""

    FOLDING = "folding"
    INDEXING = "indexing"
    CATCHING_UP = "catching up"
    SWAPPING = "swapping"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A report of progress."""

    phase: Phase
    events_done: int
    events_total: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """How fast it was from the beginning until now."""
        return self.events_done / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """How long the events that are left will take at this speed; None while nobody can tell."""
        speed = self.events_per_second
        return (self.events_total - self.events_done) / speed if speed else None


class ProgressMeter:
    """Counts what a rebuild has folded, and reports each step."""

    def __init__(self, report: Callable[[Progress], None]) -> None:
        self._report = report
        self._began_at = time.monotonic()
        self._phase = Phase.FOLDING
        self._events_done = 0
        self._events_total = 0

    @property
    def events_done(self) -> int:
        """How many events were folded."""
        return self._events_done

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self._began_at

    def expect(self, events: int) -> None:
        """Say how many events there are."""
        self._events_total = events
        self._tell()

    def enter(self, phase: Phase) -> None:
        """Say what comes now; the bulk of the events is done when its phase ends."""
        if self._phase is Phase.FOLDING:
            self._events_done = self._events_total
        self._phase = phase
        self._tell()

    def add(self, events: int) -> None:
        """Count events that were folded; the size of a slice is only known roughly."""
        self._events_done += events
        if self._phase is Phase.FOLDING:
            self._events_done = min(self._events_done, self._events_total)
        self._events_total = max(self._events_total, self._events_done)
        self._tell()

    def _tell(self) -> None:
        self._report(
            Progress(
                phase=self._phase,
                events_done=self._events_done,
                events_total=self._events_total,
                seconds=self.seconds,
            )
        )
