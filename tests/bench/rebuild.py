"""The measurement of a rebuild: three million events folded anew, at rest and then beside writers and readers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from projections.progress import Phase, Progress
from projections.projector import Projector
from projections.rebuild import Rebuilt, rebuild
from projections.task_status import TASK_STATUS
from tests.bench.measurements import Measured, Servers, processors
from tests.bench.processors import ProcessorSeconds

_TASKS = 1_000_000
_WRITERS = 4
_READERS = 4
_PAUSE_SECONDS = 0.01

# Of 20 tasks 19 are submitted, started and completed; one fails first, is retried, and so has five events. The
# events of tasks that are close in time lie between each other's, as they do in a log.
_FILL = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    SELECT task_id, version, type, CASE version WHEN 1 THEN 2 ELSE 1 END, 'mail.send', 'default', data::jsonb,
           now(), 'client', task_id::text
      FROM (SELECT number,
                   (lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint + number / 4), 12, '0') || '7'
                    || substr(md5(number::text), 1, 3) || '8' || substr(md5(number::text), 4, 15))::uuid AS task_id
              FROM generate_series($1::integer, $2::integer) AS numbers (number)) AS tasks
     CROSS JOIN LATERAL (VALUES
           (1, 'task.submitted',
            '{"kind":"mail.send","queue":"default","input":{"to":"ada@example.org","number":' || number
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
_SETTLE = "VACUUM ANALYZE ledger.events"
_READS = (
    "SELECT status, queue FROM projections.task_status ORDER BY task_id DESC LIMIT 50",
    "SELECT count(*) FROM projections.task_status WHERE ready",
    "SELECT max(task_id::text) FROM projections.task_status WHERE status = 'FAILED'",
)


@dataclass(slots=True)
class Load:
    """What writers and readers did beside a rebuild."""

    writes: int = 0
    reads: int = 0
    reader_errors: int = 0


async def rebuild_at_rest_and_under_load(servers: Servers, scale: float) -> Measured:
    """Rebuild `task_status` from about three million events twice, the second time under a live load."""
    load = Load()
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        await fill(cluster.database_url, int(_TASKS * scale))
        async with open_ledger(load_settings(database_url=cluster.database_url)) as ledger:
            at_rest = await rebuild(ledger, TASK_STATUS, _Folding(used).notice)
            async with _running(ledger, load):
                under_load = await rebuild(ledger, TASK_STATUS)
    return Measured(
        work=f"rebuild of task_status, {at_rest.events:,} events, two sessions; then once more under a live load",
        measured=f"folded {at_rest.events / used.elapsed_seconds:,.0f} events/s, "
        f"{at_rest.events / used.seconds['postgres']:,.0f} a processor second; with indexes {_speed(at_rest)}; "
        f"beside {load.writes} writes and {load.reads} reads {_speed(under_load)}, "
        f"swap {under_load.swap_seconds * 1000:.1f} ms, {load.reader_errors} reader errors",
        aim="1,000,000 events/s, swap 20 ms, no reader error",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
        figures={"rebuild_events_per_second": at_rest.events / used.elapsed_seconds},
    )


class _Folding:
    """Counts what the fold alone uses, up to tables with their keys."""

    def __init__(self, used: ProcessorSeconds) -> None:
        self._used = used
        self._phase: Phase | None = None

    def notice(self, progress: Progress) -> None:
        """Begin when the events are counted, and end when all of them are folded."""
        if self._phase is None:
            self._used.start()
        if self._phase is Phase.FOLDING and progress.phase is Phase.INDEXING:
            self._used.stop()
        self._phase = progress.phase


def _speed(rebuilt: Rebuilt) -> str:
    return f"{rebuilt.events / rebuilt.seconds:,.0f} events/s"


async def fill(url: str, tasks: int) -> None:
    """Record so many tasks, of which each has three events or five."""
    connections = [await asyncpg.connect(url), await asyncpg.connect(url)]
    half = tasks // 2
    await asyncio.gather(connections[0].execute(_FILL, 1, half), connections[1].execute(_FILL, half + 1, tasks))
    await connections[0].execute(_SETTLE)
    for connection in connections:
        await connection.close()


@asynccontextmanager
async def _running(ledger: Ledger, load: Load) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(Projector(ledger, [TASK_STATUS]).run())]
    tasks += [asyncio.create_task(_write(ledger, load)) for _ in range(_WRITERS)]
    tasks += [asyncio.create_task(_read(ledger, load)) for _ in range(_READERS)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):  # a load that ended early proves nothing
            raise outcome


async def _write(ledger: Ledger, load: Load) -> None:
    while True:
        await ledger.commands.submit(TaskSpecification(kind="mail.send"), origin=Origin(actor="bench"))
        load.writes += 1
        await asyncio.sleep(_PAUSE_SECONDS)


async def _read(ledger: Ledger, load: Load) -> None:
    async with ledger.database.dedicated() as connection:
        while True:
            try:
                await connection.fetch(_READS[load.reads % len(_READS)])
            except asyncpg.PostgresError:
                load.reader_errors += 1
            load.reads += 1
            await asyncio.sleep(_PAUSE_SECONDS)
