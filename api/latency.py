"""Latencies from the histograms of `queue_stats`; sql/projections/queue_stats.sql says what its buckets hold."""

from collections.abc import Mapping

_BUCKETS_A_DECADE = 20
_FIRST_DECADE = 60  # bucket 0 begins at 10 ^ (60 / 20) µs
_SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def percentiles(histogram: Mapping[int, int]) -> dict[str, float | int | None]:
    """Return how many there are and their percentiles in seconds, None where there is none.

    Within a bucket latencies are taken to be spread evenly by their logarithm, so that a percentile is at most one
    bucket, 12 %, beside the true one.
    """
    counted = {bucket: count for bucket, count in histogram.items() if bucket >= 0}
    shares = {name: _seconds_at(counted, share) for name, share in _SHARES.items()}
    return {"count": sum(counted.values()), **shares}


def _seconds_at(histogram: Mapping[int, int], share: float) -> float | None:
    rank = share * sum(histogram.values())
    for bucket in sorted(histogram):
        count = histogram[bucket]
        if rank <= count:
            exponent = (bucket + _FIRST_DECADE + rank / count) / _BUCKETS_A_DECADE
            return float(f"{10**exponent / 1e6:.4g}")
        rank -= count
    return None
