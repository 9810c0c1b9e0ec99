"""The statistics of the queues: series and totals of throughput, failures and latencies, from `queue_stats`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api.json_response import timestamp
from api.latency import percentiles
from api.read_model_rows import read_rows
from api.stats_shapes import StatsQuery
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError
from projections.queue_stats import QUEUE_STATS

POINTS_MAX = 1000
_POINTS_AIM = 120
_STEPS = (60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400)
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES = ("submitted", "started", "completed", "failed", "will_retry", "cancelled", "retried")
_ENDINGS = ("completed", "failed", "will_retry", "cancelled")


@dataclass(frozen=True, slots=True)
class Window:
    """Whole steps of time, the first from `since` on, the last before `until`."""

    since: datetime
    until: datetime
    step: timedelta

    def points(self) -> Iterator[datetime]:
        """Return where each step begins."""
        count = -((self.since - self.until) // self.step)
        return (self.since + number * self.step for number in range(count))


Counts = Counter[tuple[str, int]]


class StatsReader:
    """Reads what happened in the queues."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def read(self, asked: StatsQuery) -> dict[str, object]:
        """Return a point for each step, and the totals of all.

        Raises:
            InvalidValueError: there would be more than POINTS_MAX points, or the interval is empty.
            ReadModelMissingError: there is no read model.
            StoreUnavailableError: the database is out of reach.
        """
        window = window_of(asked, now=await self._ledger.store.database_time())
        rows = await read_rows(
            self._ledger, QUEUE_STATS, "read_queue_stats",
            *(window.since, window.until, window.step, asked.queue, asked.kind),
        )  # fmt: skip
        steps: dict[datetime, Counts] = {point: Counter() for point in window.points()}
        for row in rows:
            steps[row["at"]][row["outcome"], row["bucket"]] += row["events"]
        return {
            "since": window.since,
            "until": window.until,
            "step": window.step.total_seconds(),
            "points": [{"at": at, **figures(counts, window.step)} for at, counts in steps.items()],
            "totals": figures(_sum(steps.values()), window.until - window.since),
        }


def window_of(asked: StatsQuery, *, now: datetime) -> Window:
    """Return the steps that are asked for; the last hour without `since`, about 120 steps without `step`."""
    until = _minute(asked.until or now + _MINUTE)
    since = _minute(asked.since) if asked.since else until - _HOUR
    if since >= until:
        raise InvalidValueError(field="since", bound=f"before {timestamp(until)} (until)", value=timestamp(since))
    if asked.step is not None and asked.step % 60:
        raise InvalidValueError(field="step", bound="whole minutes, a multiple of 60", value=asked.step)
    seconds = (until - since).total_seconds()
    step = asked.step or next((step for step in _STEPS if seconds / step <= _POINTS_AIM), _STEPS[-1])
    if seconds / step > POINTS_MAX:
        least = -int(-seconds // POINTS_MAX)
        raise InvalidValueError(
            field="step", bound=f"at least {least} for at most {POINTS_MAX} points", value=step
        )
    return Window(since, until, timedelta(seconds=step))


def figures(counts: Counts, duration: timedelta) -> dict[str, object]:
    """Return what counts of outcomes and buckets, within a time, come to.

    `failure_share` is the share of failed attempts (failed for good or not) of those that completed or failed.
    """
    outcomes: Counter[str] = Counter()
    queued: Counter[int] = Counter()
    run: Counter[int] = Counter()
    for (outcome, bucket), events in counts.items():
        outcomes[outcome] += events
        histogram = queued if outcome == "started" else run if outcome in _ENDINGS else Counter[int]()
        histogram[bucket] += events
    failures = outcomes["failed"] + outcomes["will_retry"]
    ended = outcomes["completed"] + failures
    return {
        **{outcome: outcomes[outcome] for outcome in _OUTCOMES},
        "completed_per_second": round(outcomes["completed"] / duration.total_seconds(), 4),
        "failure_share": round(failures / ended, 4) if ended else None,
        "queued": percentiles(queued),
        "run": percentiles(run),
    }


def _sum(steps: Iterable[Mapping[tuple[str, int], int]]) -> Counts:
    total: Counts = Counter()
    for counts in steps:
        total.update(counts)
    return total


def _minute(moment: datetime) -> datetime:
    return _EPOCH + (moment - _EPOCH) // _MINUTE * _MINUTE
