"""The measures of one process: plain numbers, counted where things happen and read when somebody scrapes.

They are not the client library's own counters: those take a lock for every number, on the path of every submit,
and have to be imported first. Everything here is for the event loop's thread.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from ledger.telemetry import LEADER, OPEN_LABELS, Kind, Metric

OTHER = "other"
NAMES_MAX = 100

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a metric, with the values of its labels in their order."""

    metric: Metric
    labels: Labels
    value: float


@dataclass(slots=True)
class Durations:
    """The durations of one series of a histogram, in seconds: how many fell into each bucket, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int]
    total_seconds: float = 0.0

    @classmethod
    def of(cls, metric: Metric) -> Self:
        """Return a series of this metric without a duration."""
        return cls(metric.buckets, [0] * (len(metric.buckets) + 1))

    def add(self, seconds: float) -> None:
        """Add a duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_seconds += seconds


Read = Callable[[], Iterable[tuple[Labels, float]]]


@dataclass(slots=True)
class Measures:
    """What one process has counted.

    Attributes:
        names_max: how many values of a label that users choose are told apart; all further ones are `other`.
    """

    names_max: int = NAMES_MAX
    _counts: dict[Metric, dict[Labels, float]] = field(default_factory=dict)
    _durations: dict[Metric, dict[Labels, Durations]] = field(default_factory=dict)
    _gauges: dict[Metric, dict[Labels, float]] = field(default_factory=dict)
    _reads: dict[Metric, Read] = field(default_factory=dict)
    _names: dict[str, set[str]] = field(default_factory=dict)
    _leads: Counter[str] = field(default_factory=Counter)

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        try:
            self._counts[metric][labels] += by
        except KeyError:
            series = self._counts.setdefault(metric, {})
            bounded = self.bounded(metric, labels)
            series[bounded] = series.get(bounded, 0) + by

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Add a duration to a histogram."""
        self.durations_of(metric, *labels).add(seconds)

    def durations_of(self, metric: Metric, *labels: str) -> Durations:
        """Return a series of a histogram, for whoever adds to it so often that he keeps it."""
        try:
            return self._durations[metric][labels]
        except KeyError:
            series = self._durations.setdefault(metric, {})
            return series.setdefault(self.bounded(metric, labels), Durations.of(metric))

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._gauges.setdefault(metric, {})[self.bounded(metric, labels)] = value

    @contextmanager
    def leading(self, role: str) -> Iterator[None]:
        """Tell that this process leads the role, or a shard of it, while the body runs."""
        self._leads[role] += 1
        self.set(LEADER, 1, role)
        try:
            yield
        finally:
            self._leads[role] -= 1
            self.set(LEADER, float(self._leads[role] > 0), role)

    def read_from(self, metric: Metric, read: Read) -> None:
        """Have a gauge read at each scrape."""
        self._reads[metric] = read

    def bounded(self, metric: Metric, labels: Labels) -> Labels:
        """Return the labels with `other` where more names were seen than are told apart."""
        return tuple(
            self._name(label, value) if label in OPEN_LABELS else value
            for label, value in zip(metric.labels, labels, strict=True)
        )

    def samples(self) -> list[Sample]:
        """Return every counter and gauge as it now is."""
        found = [
            Sample(metric, labels, value)
            for table in (self._counts, self._gauges)
            for metric, series in table.items()
            for labels, value in series.items()
        ]
        return found + [
            Sample(metric, labels, value) for metric, read in self._reads.items() for labels, value in read()
        ]

    def durations(self, metric: Metric) -> Mapping[Labels, Durations]:
        """Return the series of a histogram."""
        if metric.kind is Kind.HISTOGRAM and not metric.labels:
            self.durations_of(metric)
        return self._durations.get(metric, {})

    def _name(self, label: str, value: str) -> str:
        names = self._names.setdefault(label, set())
        if value in names:
            return value
        if len(names) >= self.names_max:
            return OTHER
        names.add(value)
        return value
