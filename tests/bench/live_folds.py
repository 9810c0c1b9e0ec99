"""The measurement of live folds: how fast a projector brings each shipped projection up to the log, in batches."""

from functools import partial

from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from projections.generation import LIVE, drop_tables, make_missing_live
from projections.projection import Projection
from projections.projector import Projector
from projections.shipped import SHIPPED
from tests.bench.measurements import Measured, Servers, processors
from tests.bench.pace import ROUNDS, Pace, medians_of, paced, seconds_of
from tests.bench.rebuild import fill

_TASKS = 50_000
_BATCH_SIZE = 5000


async def live_folds(servers: Servers, scale: float) -> Measured:
    """Fold the log into each shipped projection alone, from nothing, with its indexes in place, in turns."""
    paces: dict[str, list[Pace]] = {projection.name: [] for projection in SHIPPED}
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        await fill(cluster.database_url, int(_TASKS * scale))
        settings = load_settings(database_url=cluster.database_url, projector_batch_size_max=_BATCH_SIZE)
        async with open_ledger(settings) as ledger:
            for projection in SHIPPED * ROUNDS:
                await _make_anew(ledger, projection)
                folding = partial(_fold_all, Projector(ledger, [projection]))
                paces[projection.name].append(await paced(used, folding))
    elapsed_seconds, processor_seconds = seconds_of(paces)
    events = paces[SHIPPED[0].name][0].events
    return Measured(
        work=f"live fold of {events:,} events in batches of {_BATCH_SIZE:,}, one projection after the other; "
        f"medians of {ROUNDS} runs in turns, processor of client and server",
        measured="; ".join(f"{name} {medians_of(runs)}" for name, runs in paces.items()),
        aim="none",
        elapsed_seconds=elapsed_seconds,
        processor_seconds=processor_seconds,
        figures={
            f"live_fold_{name}_events_per_second": medians_of(runs).per_second for name, runs in paces.items()
        },
    )


async def _make_anew(ledger: Ledger, projection: Projection) -> None:
    async with ledger.database.connection() as connection:
        await drop_tables(connection, projection, LIVE)
        await make_missing_live(connection, projection)


async def _fold_all(projector: Projector) -> int:
    events = 0
    while folded := await projector.run_once():
        events += folded
    return events
