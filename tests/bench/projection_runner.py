"""The measurement of our rebuild beside the `eventsourcing` library's ProjectionRunner, on the same events."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType

from ledger.bootstrap import Ledger, open_ledger
from ledger.codec import decode
from ledger.settings import load_settings
from projections.rebuild import rebuild
from projections.task_status import TASK_STATUS
from tests.bench.measurements import Measured, Servers, processors
from tests.bench.pace import ROUNDS, Pace, medians_of, paced, seconds_of
from tests.bench.processors import ProcessorSeconds
from tests.bench.rebuild import fill

_TASKS = 6452  # 20,000 events
_REBUILDS = 10  # in a row count as one run: a single one would be over before processor time can be read
_EVENTS_MAX = 2**31 - 1

_MAKE_SCHEMAS = "CREATE SCHEMA library; CREATE SCHEMA library_view"
_MAKE_VIEW_ANEW = "DROP SCHEMA library_view CASCADE; CREATE SCHEMA library_view"
_SETTLE = "VACUUM ANALYZE"
_DIFFERENCES = """
    SELECT count(*) FILTER (WHERE (ours.status, ours.version) IS DISTINCT FROM (theirs.status, theirs.version)),
           count(ours.task_id), count(theirs.task_id)
      FROM projections.task_status AS ours
      FULL JOIN library_view.task_status AS theirs ON theirs.task_id = ours.task_id
"""


@dataclass(frozen=True, slots=True)
class _Sample:
    """Where the events are, and how many: in our ledger, and in the library's tables."""

    ledger: Ledger
    environment: Mapping[str, str]
    events: int
    last: int


async def rebuild_beside_the_library(servers: Servers, scale: float) -> Measured:
    """Rebuild `task_status` and run the library's projection over the same events, in turns."""
    try:
        from tests.bench import library_projection as library  # noqa: PLC0415 - its driver is in the extra `bench`
    except ImportError as error:
        return _missing(error)
    paces: dict[str, list[Pace]] = {"rebuild": [], "runner": []}
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        tasks = max(1, int(_TASKS * scale))
        await fill(cluster.database_url, tasks)
        async with open_ledger(load_settings(database_url=cluster.database_url)) as ledger:
            sample = await _record(ledger, library, cluster.database_url)
            for _ in range(ROUNDS):
                paces["rebuild"].append(await paced(used, lambda: _rebuild(sample)))
                paces["runner"].append(await _run(sample, library, used))
                await _require_the_same_rows(ledger, tasks)
    return _measured(paces, events=sample.events, tasks=tasks, driver=library.driver())


async def _record(ledger: Ledger, library: ModuleType, url: str) -> _Sample:
    horizon = await ledger.store.safe_position()
    rows = await ledger.store.read_log(after=0, upto=horizon, limit=_EVENTS_MAX)
    environment = library.environment_of(url)
    async with ledger.database.dedicated() as connection:
        await connection.execute(_MAKE_SCHEMAS)
        last = await asyncio.to_thread(library.record, environment, [decode(row) for row in rows])
        await connection.execute(_SETTLE)
    return _Sample(ledger, environment, events=len(rows), last=last)


async def _rebuild(sample: _Sample) -> int:
    for _ in range(_REBUILDS):
        await rebuild(sample.ledger, TASK_STATUS)
    return sample.events * _REBUILDS


async def _run(sample: _Sample, library: ModuleType, used: ProcessorSeconds) -> Pace:
    async def work() -> int:
        await asyncio.to_thread(library.project, sample.environment, upto=sample.last)
        return sample.events

    async with sample.ledger.database.dedicated() as connection:
        await connection.execute(_MAKE_VIEW_ANEW)
    return await paced(used, work)


async def _require_the_same_rows(ledger: Ledger, tasks: int) -> None:
    async with ledger.database.dedicated() as connection:
        [(differences, ours, theirs)] = await connection.fetch(_DIFFERENCES)
    if (differences, ours, theirs) != (0, tasks, tasks):
        raise SystemExit(
            f"{differences} rows differ; {tasks} tasks, {ours} rows of ours, {theirs} of the library's"
        )


def _measured(paces: Mapping[str, list[Pace]], *, events: int, tasks: int, driver: str) -> Measured:
    ours, theirs = medians_of(paces["rebuild"]), medians_of(paces["runner"])
    elapsed_seconds, processor_seconds = seconds_of(paces)
    return Measured(
        work=f"rebuild of task_status beside a ProjectionRunner of eventsourcing {version('eventsourcing')} on "
        f"{driver}, the same {events:,} events; medians of {ROUNDS} runs in turns, processor of client and server",
        measured=f"rebuild {ours}; runner {theirs}; "
        f"{ours.per_second / theirs.per_second:,.0f} times the events/s, "
        f"{ours.per_processor_second / theirs.per_processor_second:,.0f} times a processor second; "
        f"the same status and version of each of {tasks:,} tasks in both",
        aim="the same rows",
        elapsed_seconds=elapsed_seconds,
        processor_seconds=processor_seconds,
        figures={"small_rebuild_events_per_second": ours.per_second},
    )


def _missing(error: ImportError) -> Measured:
    sys.stderr.write(f"not measured, the library's recorders are missing: pip install '.[bench]' ({error})\n")
    return Measured(
        work="rebuild of task_status beside the library's ProjectionRunner",
        measured="not measured: `pip install '.[bench]'` brings the library's recorders for Postgres",
        aim="the same rows",
        elapsed_seconds=0.0,
    )
