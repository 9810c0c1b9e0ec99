"""A task's timeline to scale: when it waited and when it ran, a lane for each attempt, a mark for each event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from api.dashboard.words import duration, parsed

WIDTH = 1000.0
_LANES_MAX = 50
_ENDS = {"task.completed": "COMPLETED", "task.failed": "FAILED", "task.cancelled": "CANCELLED"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time: where it begins and how wide it is in units of WIDTH, its class and its words."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A line of bars with its name."""

    name: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Mark:
    """An event."""

    x: float
    version: int
    title: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """All of it; the ends are texts."""

    begin: str
    end: str
    total: str
    lanes: Sequence[Lane] = ()
    marks: Sequence[Mark] = ()


@dataclass(slots=True)
class _Stretches:
    """What was open at each moment: waiting, or an attempt."""

    waiting: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    attempts: dict[int, tuple[datetime, datetime | None, str]] = field(default_factory=dict)


def timeline_of(events: Sequence[Mapping[str, Any]], *, is_open: bool) -> Timeline | None:
    """Return the timeline of a history; of one that goes on it reaches until now. None without a history."""
    if not events:
        return None
    begin = parsed(events[0]["recorded_at"])
    last = parsed(events[-1]["recorded_at"])
    end = max(datetime.now(UTC), last) if is_open else last
    scale = _Scale(begin, end)
    stretches = _stretches(events)
    waiting = [scale.bar(start, stop, "PENDING", "waited") for start, stop in stretches.waiting]
    lanes = [
        Lane(f"attempt {number}", [scale.bar(start, stop, outcome, outcome.lower())])
        for number, (start, stop, outcome) in sorted(stretches.attempts.items())[-_LANES_MAX:]
    ]
    marks = [
        Mark(scale.x(parsed(event["recorded_at"])), event["version"], f"{event['version']} {event['type']}")
        for event in events
    ]
    return Timeline(
        f"{begin:%Y-%m-%d %H:%M:%S}Z",
        f"{end:%Y-%m-%d %H:%M:%S}Z",
        duration((end - begin).total_seconds()),
        [Lane("waiting", waiting), *lanes],
        marks,
    )


class _Scale:
    def __init__(self, begin: datetime, end: datetime) -> None:
        self._begin = begin
        self._end = end
        self._seconds = max((end - begin).total_seconds(), 1e-6)

    def x(self, moment: datetime) -> float:
        """Return where a moment lies."""
        return round(WIDTH * (moment - self._begin).total_seconds() / self._seconds, 2)

    def bar(self, start: datetime, stop: datetime | None, kind: str, what: str) -> Bar:
        """Return a bar, to the end where it is still open; never so narrow that nobody sees it."""
        x = self.x(start)
        width = max(self.x(stop or self._end) - x, 2.0)
        seconds = ((stop or self._end) - start).total_seconds()
        return Bar(min(x, WIDTH - width), width, kind, f"{what} for {duration(seconds)}")


def _stretches(events: Sequence[Mapping[str, Any]]) -> _Stretches:
    found = _Stretches()
    for event in events:
        moment, kind, data = parsed(event["recorded_at"]), event["type"], event["data"]
        if kind in ("task.submitted", "task.retried"):
            found.waiting.append((moment, None))
        elif kind == "task.started":
            _close_waiting(found, moment)
            found.attempts[data["attempt"]] = (moment, None, "RUNNING")
        elif kind in _ENDS:
            _close_waiting(found, moment)
            _close_attempt(found, moment, _ENDS[kind])
            if kind == "task.failed" and data.get("retry_at"):
                found.waiting.append((moment, None))
    return found


def _close_waiting(found: _Stretches, moment: datetime) -> None:
    if found.waiting and found.waiting[-1][1] is None:
        found.waiting[-1] = (found.waiting[-1][0], moment)


def _close_attempt(found: _Stretches, moment: datetime, outcome: str) -> None:
    if not found.attempts:
        return
    number = max(found.attempts)
    start, stop, _ = found.attempts[number]
    if stop is None:
        found.attempts[number] = (start, moment, outcome)
