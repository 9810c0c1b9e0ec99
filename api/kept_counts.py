"""Counts that were worked out before: what held at a settled moment holds for ever, and others start there."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from api.ledger_counts import Count


@dataclass(frozen=True, slots=True)
class KeptCounts:
    """The counts of a settled moment, and the position that parts the log there."""

    moment: datetime
    position: int
    counts: Sequence[Count]

    @property
    def total(self) -> int:
        """How many tasks there were."""
        return sum(count.tasks for count in self.counts)


class CountsKeeper:
    """Keeps the counts of the last few moments that were asked for."""

    def __init__(self, *, moments_max: int) -> None:
        self._moments_max = moments_max
        self._kept: OrderedDict[datetime, KeptCounts] = OrderedDict()

    def keep(self, kept: KeptCounts) -> None:
        """Keep the counts of a moment, and forget those that were kept first."""
        self._kept[kept.moment] = kept
        while len(self._kept) > self._moments_max:
            self._kept.popitem(last=False)

    def nearest(self, position: int) -> KeptCounts | None:
        """Return the kept counts with the fewest positions between; None where there are none."""
        return min(self._kept.values(), key=lambda kept: abs(kept.position - position), default=None)
