"""The exposition: measures and samples in the words of the Prometheus client library, and rendered by it.

This is the one file that imports it, and is itself imported when somebody scrapes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ledger.measures import Measures, Sample
from ledger.telemetry import METRICS, Kind, Metric, Role


@dataclass(frozen=True, slots=True)
class Exposition:
    """The answer to a scrape, and its content type."""

    body: bytes
    content_type: str


def expose(samples: Sequence[Sample], measures: Measures, *, role: Role, accept: str) -> Exposition:
    """Return the text of what a process of this role tells, in the format that `accept` asks for."""
    registry = CollectorRegistry()
    registry.register(_Told(samples, measures, role))
    encode, content_type = choose_encoder(accept)
    return Exposition(encode(registry), content_type)


class _Told(Collector):
    """What is told, a family each."""

    def __init__(self, samples: Sequence[Sample], measures: Measures, role: Role) -> None:
        self._samples: dict[Metric, list[Sample]] = {}
        for sample in samples:
            self._samples.setdefault(sample.metric, []).append(sample)
        self._measures = measures
        self._role = role

    def describe(self) -> list[Family]:
        """Spare the registry a first collection, of which it would only keep the names."""
        return []

    def collect(self) -> Iterator[Family]:
        """Return the families of the role, without a sample where there is none yet."""
        for metric in METRICS:
            if not metric.is_of(self._role):
                continue
            yield self._histogram(metric) if metric.kind is Kind.HISTOGRAM else self._numbers(metric)

    def _numbers(self, metric: Metric) -> Family:
        is_counter = metric.kind is Kind.COUNTER
        family = (CounterMetricFamily if is_counter else GaugeMetricFamily)(
            metric.name, metric.help, labels=metric.labels
        )
        samples = self._samples.get(metric, [])
        for sample in samples:
            family.add_metric(sample.labels, sample.value)
        if is_counter and not samples and not metric.labels:
            family.add_metric((), 0)  # so that a rate knows where it began
        return family

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
        for labels, durations in self._measures.durations(metric).items():
            buckets = list(zip(bounds, map(float, accumulate(durations.counts)), strict=True))
            family.add_metric(labels, buckets, durations.total_seconds)
        return family
