"""The pace of a bulk act: how many letters its rate permits, by a clock that is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta

RATE_PER_S_MAX = 1000
RATE_PER_S_DEFAULT = 50

_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """So many letters a second, each paid for with its share of the time that has gone by.

    What was not used within a second is lost: a scheduler that was away does not make up for it in one go.
    """

    rate_per_s: int

    def due(self, *, paid_until: datetime, now: datetime) -> int:
        """Return how many letters can be paid for now."""
        saved = now - self._start(paid_until, now)
        return max(0, saved // _MICROSECOND * self.rate_per_s // 1_000_000)

    def paid(self, letters: int, *, paid_until: datetime, now: datetime) -> datetime:
        """Return until when the time is used up after paying for some letters; rounded so that the rate holds."""
        microseconds = -(-letters * 1_000_000 // self.rate_per_s)
        return self._start(paid_until, now) + timedelta(microseconds=microseconds)

    def _start(self, paid_until: datetime, now: datetime) -> datetime:
        return max(paid_until, now - _SECOND)
