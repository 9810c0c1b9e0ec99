"""The measurement of questions about the past: ten million events over ninety days, asked about any moment."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from api.as_of import AsOfQuery, DiffQuery, LedgerQuery
from api.errors import PastOutOfReachError
from api.json_response import timestamp
from api.ledger_past import LedgerPast
from api.read_model import TaskFilter
from api.task_past import TaskPast
from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from projections.rebuild import rebuild
from projections.status_counts import STATUS_COUNTS
from projections.task_status import TASK_STATUS
from tests.bench.measurements import Measured, Servers, processors

_TASKS = 3_226_000
_DAYS = 90
_PAGE = 50
_SECONDS_MAX = 120.0  # Far above the bound that the API has, so that a question that breaks it is measured too.
_SHARES = (0.01, 0.25, 0.5, 0.75, 0.99)
_BEGUN_BEFORE = "SELECT task_id FROM projections.task_status WHERE task_id < $1 ORDER BY task_id DESC LIMIT 1"

# The months of the past, which no scheduler prepared here.
_MONTHS = """
    SELECT to_char(month, 'YYYY_MM') AS name,
           ledger.least_task_id(month AT TIME ZONE 'UTC')::text AS least,
           ledger.least_task_id((month + interval '1 month') AT TIME ZONE 'UTC')::text AS beyond
      FROM generate_series(date_trunc('month', (now() - $1::interval) AT TIME ZONE 'UTC'),
                           date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month',
                           interval '1 month') AS months (month)
"""
# Tasks are as those of the rebuild: of 20, 19 are submitted, started and completed; one fails first. Each event is
# 300 tasks later than the one before it, and positions are drawn in the order of the times.
_FILL = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
                               actor, correlation_id)
    SELECT task_id, version, type, CASE version WHEN 1 THEN 2 ELSE 1 END, 'mail.send', 'q' || number % 8,
           data::jsonb, begun + tick * (number + 300 * (version - 1)),
           begun + tick * (number + 300 * (version - 1)), 'client', task_id::text
      FROM (SELECT number, begun, tick,
                   (lpad(to_hex(floor(extract(epoch FROM begun + tick * number) * 1000)::bigint), 12, '0') || '7'
                    || substr(md5(number::text), 1, 3) || '8' || substr(md5(number::text), 4, 15))::uuid AS task_id
              FROM generate_series(1, $1::integer) AS numbers (number)
             CROSS JOIN (SELECT $2::timestamptz AS begun, $3::interval AS tick) AS span) AS tasks
     CROSS JOIN LATERAL (VALUES
           (1, 'task.submitted',
            '{"kind":"mail.send","queue":"q' || number % 8 || '","input":{"to":"ada@example.org","number":'
                || number
                || '},"priority":5,"max_attempts":3,"timeout_s":300.0,"backoff":{"base_s":1.0,"cap_s":300.0},'
                || '"tags":' || CASE number % 4 WHEN 0 THEN '["tenant:acme"]}' ELSE '[]}' END),
           (2, 'task.started', '{"attempt":1,"worker_id":"worker:' || number % 8 || '"}'),
           (3, CASE number % 20 WHEN 0 THEN 'task.failed' ELSE 'task.completed' END,
            CASE number % 20
                WHEN 0 THEN '{"attempt":1,"error":{"type":"ValueError","message":"no"},"cause":"error",'
                            '"retry_at":"2026-01-01T00:00:00+00:00"}'
                ELSE '{"attempt":1,"result":{"sent":true}}'
            END),
           (4, 'task.started', '{"attempt":2,"worker_id":"worker:1"}'),
           (5, 'task.completed', '{"attempt":2,"result":{"sent":true}}')) AS events (version, type, data)
     WHERE version <= 3 OR number % 20 = 0
     ORDER BY number + 300 * (version - 1)
"""


@dataclass(frozen=True, slots=True)
class Span:
    """When the events of the measurement were recorded."""

    begun: datetime
    ended: datetime

    def at(self, share: float) -> datetime:
        """Return the moment by which this share of the span was over."""
        return self.begun + (self.ended - self.begun) * share


async def as_of_anywhere(servers: Servers, scale: float) -> Measured:
    """Ask about moments all over ninety days of about ten million events."""
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        span = await fill(cluster.database_url, int(_TASKS * scale))
        async with open_ledger(
            load_settings(
                database_url=cluster.database_url, as_of_seconds_max=_SECONDS_MAX, statement_timeout_seconds=600
            )
        ) as ledger:
            rebuilt = await rebuild(ledger, TASK_STATUS)
            await rebuild(ledger, STATUS_COUNTS)
            used.start()
            seconds = await ask(ledger, span)
            used.stop()
    return Measured(
        work=f"questions about the past, {rebuilt.events:,} events over {_DAYS} days, "
        f"the slowest of {len(_SHARES)} moments each",
        measured=", ".join(f"{name} {_shown(taken)}" for name, taken in seconds.items()),
        aim="counts and diff 2 s, page 200 ms, task 10 ms",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
        figures={f"as_of_{name.replace(' ', '_')}_ms": taken * 1000 for name, taken in seconds.items()},
    )


async def fill(url: str, tasks: int) -> Span:
    """Record so many tasks over the days before now, in the order of their times."""
    connection = await asyncpg.connect(url)
    try:
        for name, least, beyond in await connection.fetch(_MONTHS, timedelta(days=_DAYS + 1)):
            await connection.execute(
                f"CREATE TABLE ledger.events_{name} PARTITION OF ledger.events "
                f"FOR VALUES FROM ('{least}') TO ('{beyond}')"
            )
            await connection.execute(f"SELECT ledger.guard_partition('ledger.events_{name}')")
        now = await connection.fetchval("SELECT now()")
        ended = now - timedelta(hours=2)
        begun = ended - timedelta(days=_DAYS)
        await connection.execute("SET work_mem = '512MB'")
        await connection.execute(_FILL, tasks, begun, (ended - begun) / (tasks + 1200))
        await connection.execute("VACUUM ANALYZE ledger.events")
    finally:
        await connection.close()
    return Span(begun, ended)


async def ask(ledger: Ledger, span: Span) -> Mapping[str, float]:
    """Return for each question how many seconds its slowest moment took; inf where it found no end in time."""
    slowest: dict[str, float] = {}
    for share in _SHARES:
        moment = span.at(share)
        async with ledger.database.connection() as connection:
            task_id = await connection.fetchval(_BEGUN_BEFORE, UUID(int=int(moment.timestamp() * 1000) << 80))
        for name, question in _questions(ledger, moment, task_id).items():
            slowest[name] = max(slowest.get(name, 0.0), await _timed(question))
    return slowest


def _questions(ledger: Ledger, moment: datetime, task_id: UUID) -> Mapping[str, Callable[[], Awaitable[object]]]:
    past, task = LedgerPast(ledger), TaskPast(ledger)
    day = timedelta(days=1)
    counts = LedgerQuery.model_validate({"as_of": timestamp(moment)})
    return {
        "counts": lambda: past.counts(counts),
        "diff of a day": lambda: past.diff(
            DiffQuery.model_validate({"from": timestamp(moment - day), "to": timestamp(moment)})
        ),
        "page": lambda: past.list(TaskFilter(as_of=moment), as_of=moment, below=None, limit=_PAGE),
        "page of running tasks": lambda: past.list(
            TaskFilter(statuses=["RUNNING"], as_of=moment), as_of=moment, below=None, limit=_PAGE
        ),
        "task": lambda: task.find(task_id, AsOfQuery.model_validate({"as_of": timestamp(moment)})),
    }


async def _timed(question: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    try:
        await question()
    except PastOutOfReachError:
        return float("inf")
    return time.perf_counter() - begun


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"
