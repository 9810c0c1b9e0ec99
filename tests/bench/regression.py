"""The guard: what became slower than the recorded table says, beyond what two runs differ by anyway.

Own measurements are compared as multiples of the machine's pace in the same run; what stands beside peers, by its
ratios to them, of which the median counts: it holds on another machine, and one peer's bad round does not move it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypedDict

from tests.bench.reference import pace_of

SLOWER_SHARE_MAX = 0.15

_COSTS = ("_ms", "_percent")  # the endings of figures of which less is better


class RecordedFigures(TypedDict):
    """What the guard reads of a measurement's row."""

    figures: Mapping[str, float]


class RecordedRow(TypedDict):
    """What the guard reads of a contender's row."""

    job: str
    name: str
    per_second: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """How fast something is now, as a multiple of what was recorded; below one it is slower."""

    what: str
    speed: float

    @property
    def is_slower(self) -> bool:
        """Say whether it became slower by more than the guard lets pass."""
        return self.speed < 1 - SLOWER_SHARE_MAX

    def __str__(self) -> str:
        direction = "slower" if self.speed < 1 else "faster"
        return f"{self.what}: {abs(self.speed - 1):.0%} {direction} than recorded"


def changes_of_measurements(
    then: Sequence[RecordedFigures],
    now: Sequence[RecordedFigures],
    *,
    pace_then: Mapping[str, float],
    pace_now: Mapping[str, float],
) -> list[Change]:
    """Return the change of each figure that both tables have."""
    before, after = _figures(then), _figures(now)
    faster_machine = pace_of(pace_now) / pace_of(pace_then)
    return [
        Change(name, _speed(name, after[name], before[name]) / faster_machine)
        for name in after
        if before.get(name) and after[name]
    ]


def changes_beside_peers(
    then: Sequence[RecordedRow],
    now: Sequence[RecordedRow],
    *,
    ours: Collection[str],
    faster_machine: float,
) -> list[Change]:
    """Return the change of each of our rows that both tables have.

    Where no peer is in both, the machine's pace counts instead: that of now, as a multiple of that time's.
    """
    before, after = _rates(then), _rates(now)
    return [
        Change(f"{job}, {name}", rate / before[job, name] / _others(before, after, job, ours, faster_machine))
        for (job, name), rate in after.items()
        if name in ours and (job, name) in before
    ]


def _others(
    before: Mapping[tuple[str, str], float],
    after: Mapping[tuple[str, str], float],
    job: str,
    ours: Collection[str],
    faster_machine: float,
) -> float:
    both = [key for key in after if key in before and key[0] == job and key[1] not in ours]
    return median(after[key] / before[key] for key in both) if both else faster_machine


def _rates(rows: Sequence[RecordedRow]) -> dict[tuple[str, str], float]:
    return {(row["job"], row["name"]): row["per_second"] for row in rows if row["per_second"]}


def _figures(rows: Sequence[RecordedFigures]) -> dict[str, float]:
    return dict(_pairs(rows))


def _pairs(rows: Sequence[RecordedFigures]) -> Iterator[tuple[str, float]]:
    for row in rows:
        yield from row["figures"].items()


def _speed(name: str, now: float, then: float) -> float:
    return then / now if name.endswith(_COSTS) else now / then
