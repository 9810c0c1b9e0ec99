"""The observer: asks database and broker how they and the whole ledger are, when somebody scrapes a process.

Every question has a time bound and its answer is kept, so what it costs does not depend on how many scrape. A
question that fails takes its gauges away and nothing else: a scrape never fails because the database is away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.doctor import CHEAP_CHECKS, breaches, examine
from ledger.errors import LedgerError
from ledger.kept import Kept
from ledger.measures import Labels, Sample
from ledger.read_model import fetch_rows
from ledger.store.connection import Database
from ledger.telemetry import (
    BROKER_CONNECTED,
    INVARIANT_BREACHES,
    LAG_EVENTS,
    LAG_SECONDS,
    LIVE_WORKERS,
    OBSERVED,
    OLDEST_READY_SECONDS,
    QUEUE_TASKS,
    UP,
    WEBHOOK_LAG,
    WORKER_CAPACITY,
    Metric,
    Role,
)
from ledger.webhooks.lag import lags

log = structlog.get_logger()

_BREACHES_SECONDS = 60.0
_COUNTED_MAX = 10_000
_STATES = ("ready", "waiting", "held_paused", "held_limit", "held_after", "running")

Question = Callable[[], Awaitable[list[Sample]]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the questions brought, and whether all of them were answered."""

    samples: Sequence[Sample]
    is_whole: bool


class Observer:
    """Observes for one process."""

    def __init__(self, ledger: Ledger, *, role: Role, broker: Broker | None) -> None:
        settings = ledger.settings
        self._ledger = ledger
        self._database: Database = ledger.database
        self._broker = broker
        self._oversees = OBSERVED.is_of(role)
        self._lease_seconds = settings.lease_seconds
        self._timeout_seconds = settings.metrics_timeout_seconds
        self._presence = Kept(self._look_for_presence, seconds=settings.metrics_cache_seconds)
        self._standing = Kept(self._look_at_ledger, seconds=settings.metrics_cache_seconds)
        self._breaches = Kept(self._look_for_breaches, seconds=_BREACHES_SECONDS)

    async def samples(self) -> list[Sample]:
        """Return what there is to tell; never raises what the database or the broker does."""
        presence = await self._presence.answer()
        if not (presence.is_whole and self._oversees):
            return [*presence.samples]
        seen = [await self._standing.answer(), await self._breaches.answer()]
        observed = Sample(OBSERVED, (), float(all(one.is_whole for one in seen)))
        return [*presence.samples, observed, *(sample for one in seen for sample in one.samples)]

    async def _look_for_presence(self) -> _Seen:
        asked = [self._answers(self._database.ping)]
        if self._broker is not None:
            asked.append(self._answers(self._broker.ping))
        answers = await asyncio.gather(*asked)
        samples = [
            Sample(metric, (), answer) for metric, answer in zip((UP, BROKER_CONNECTED), answers, strict=False)
        ]
        return _Seen(samples, is_whole=answers[0] > 0)

    async def _answers(self, ping: Callable[[], Awaitable[None]]) -> float:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await ping()
        except (LedgerError, TimeoutError):
            return 0.0
        return 1.0

    async def _look_at_ledger(self) -> _Seen:
        return await self._ask(self._queues, self._dead, self._readers, self._workers, self._webhooks)

    async def _look_for_breaches(self) -> _Seen:
        return await self._ask(self._broken)

    async def _ask(self, *questions: Question) -> _Seen:
        samples: list[Sample] = []
        is_whole = True
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for question in questions:
                    try:
                        samples += await question()
                    except LedgerError as error:
                        is_whole = False
                        log.warning("metrics.unanswered", question=question.__name__, reason=str(error))
        except TimeoutError:
            is_whole = False
            log.warning("metrics.unanswered", reason=f"no answer in {self._timeout_seconds:g} s")
        return _Seen(self._merged(samples), is_whole)

    async def _queues(self) -> list[Sample]:
        now = self._ledger.clock.now()
        samples = []
        for row in await fetch_rows(self._database, "unfinished_by_queue", None):
            samples += [Sample(QUEUE_TASKS, (row["name"], state), row[state]) for state in _STATES]
            ready_at = row["oldest_ready_at"]
            age_seconds = 0.0 if ready_at is None else max(0.0, (now - ready_at).total_seconds())
            samples.append(Sample(OLDEST_READY_SECONDS, (row["name"],), age_seconds))
        return samples

    async def _dead(self) -> list[Sample]:
        tasks = await fetch_rows(self._database, "dead_tasks_by_queue", None, _COUNTED_MAX)
        messages = await fetch_rows(self._database, "dead_messages_by_queue", None, _COUNTED_MAX)
        return [Sample(QUEUE_TASKS, (row["name"], "dead"), row["dead"]) for row in (*tasks, *messages)]

    async def _readers(self) -> list[Sample]:
        rows = await fetch_rows(self._database, "reader_lags", _COUNTED_MAX)
        return [
            Sample(metric, (row["name"],), row[column])
            for row in rows
            for metric, column in ((LAG_EVENTS, "events"), (LAG_SECONDS, "seconds"))
        ]

    async def _workers(self) -> list[Sample]:
        served = await fetch_rows(self._database, "live_workers_by_queue", self._lease_seconds)
        slots = (await fetch_rows(self._database, "worker_slots", self._lease_seconds))[0]
        return [
            *(Sample(LIVE_WORKERS, (row["name"],), row["live_workers"]) for row in served),
            Sample(WORKER_CAPACITY, ("max",), float(slots["capacity"])),
            Sample(WORKER_CAPACITY, ("busy",), float(slots["running"])),
        ]

    async def _webhooks(self) -> list[Sample]:
        found = await lags(self._ledger)
        return [Sample(WEBHOOK_LAG, (one.webhook, one.state), one.positions) for one in found]

    async def _broken(self) -> list[Sample]:
        findings = await examine(self._ledger, checks=CHEAP_CHECKS)
        return [
            Sample(INVARIANT_BREACHES, (str(check.invariant), check.name), count)
            for check, count in breaches(findings, CHEAP_CHECKS)
        ]

    def _merged(self, samples: Sequence[Sample]) -> list[Sample]:
        # What several queues beyond the bound say is one sample: the sum of their tasks, the greatest age.
        merged: dict[tuple[Metric, Labels], float] = {}
        for sample in samples:
            key = (sample.metric, self._ledger.instruments.measures.bounded(sample.metric, sample.labels))
            before = merged.get(key, 0.0)
            is_age = sample.metric is OLDEST_READY_SECONDS
            merged[key] = max(before, sample.value) if is_age else before + sample.value
        return [Sample(metric, labels, value) for (metric, labels), value in merged.items()]
