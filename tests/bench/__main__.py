"""`python -m tests.bench`: run every measurement on private servers, and print one table in Markdown.

Postgres runs with fsync on, RabbitMQ with quorum queues, everything on this machine; each measurement starts the
processes that it needs and reports the processor seconds of each, so that one sees where the time goes, and the
load of the machine before and after it, this measurement's own included. `python -m tests.bench peers` runs
other queues beside ours, each in an environment of its own; it is not among the measurements that run when none
is named.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from tests.bench.as_of import as_of_anywhere
from tests.bench.batches import batches
from tests.bench.facts import facts_of, line_of
from tests.bench.growth import growth
from tests.bench.idle import idle
from tests.bench.keyed_submits import keyed_submits
from tests.bench.lag import lag
from tests.bench.live_folds import live_folds
from tests.bench.measurements import Measured, Measurement, Servers, drain, durable_submits, latency, open_servers
from tests.bench.memory import memory
from tests.bench.peers.bench import Bench
from tests.bench.peers.comparison import compare
from tests.bench.peers.contender import contenders
from tests.bench.peers.environments import default_home, installed_versions
from tests.bench.peers.peer import JobName
from tests.bench.peers.table import tables
from tests.bench.projection_runner import rebuild_beside_the_library
from tests.bench.reads import reads
from tests.bench.rebuild import rebuild_at_rest_and_under_load
from tests.bench.record import OWN, PEERS, RECORDED, Run, changes_since, record, recorded_scales, text_of
from tests.bench.reference import mean_of, reference
from tests.bench.regression import SLOWER_SHARE_MAX
from tests.bench.scaling import one_of_each, several_of_each

MEASUREMENTS: dict[str, tuple[Measurement, ...]] = {
    "submits": (durable_submits,),
    "keys": (keyed_submits,),
    "batches": (batches,),
    "drain": (drain,),
    "latency": (latency,),
    "idle": (idle,),
    "reads": (reads,),
    "lag": (lag,),
    "memory": (memory,),
    "scaling": (one_of_each, several_of_each),
    # The largest comes last: what vacuums and checkpoints it leaves behind would count for the others.
    "rebuild": (rebuild_beside_the_library, live_folds, rebuild_at_rest_and_under_load),
    "as-of": (as_of_anywhere,),
    "growth": (growth,),
}


def main() -> int:
    """Run what the arguments ask for; return 1 where something became slower than the table to compare with."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    given = _arguments()
    runs: dict[str, Run] = {}
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as home, open_servers(Path(home)) as servers:
        if names := [name for name in given.names or MEASUREMENTS if name != PEERS]:
            runs[OWN] = _measure_ours(servers, given, names)
        if PEERS in given.names:
            runs[PEERS] = _compare(servers, given)
    if given.json:
        given.json.write_text(text_of(runs))
    code = _guard(given.compare, runs) if given.compare else 0
    if given.record:
        record(RECORDED, runs)
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    choices = [*MEASUREMENTS, PEERS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(choices)}")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the amount of work")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    slower = f"exit with 1 where something is more than {SLOWER_SHARE_MAX:.0%} slower than in this file"
    parser.add_argument("--compare", type=Path, help=slower.replace("%", "%%"))
    parser.add_argument("--record", action="store_true", help="write the tables to docs/bench.json")
    beside = parser.add_argument_group(PEERS)
    beside.add_argument("--peers", type=_names, default=[], help="which ones, with commas; all if absent")
    beside.add_argument("--jobs", type=_names, default=[], help=f"which of {','.join(JobName)}; all if absent")
    beside.add_argument("--rounds", type=int, default=3, help="how often each does each job")
    beside.add_argument("--environments", type=Path, default=default_home(), help="where the peers are installed")
    given = parser.parse_args()
    if unknown := [job for job in given.jobs if job not in list(JobName)]:
        parser.error(f"no job is called {unknown[0]!r}; there are {', '.join(JobName)}")
    try:
        given.peers, given.jobs = contenders(given.peers), [JobName(job) for job in given.jobs or JobName]
        scales = recorded_scales(given.compare) if given.compare else {}
    except ValueError as error:
        parser.error(str(error))
    if given.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {given.rounds}")
    if unknown := [name for name in given.names if name not in choices]:
        parser.error(f"{unknown[0]!r} is none of {', '.join(choices)}")
    if other := [scale for scale in scales.values() if scale != given.scale]:
        parser.error(f"{given.compare} was recorded at scale {other[0]:g}, so --scale must be that too")
    return given


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _measure_ours(servers: Servers, given: argparse.Namespace, names: list[str]) -> Run:
    paces = [asyncio.run(reference(servers))]
    measured = [row for name in names for row in _measure(name, servers, given.scale)]
    paces.append(asyncio.run(reference(servers)))
    facts = facts_of(servers)
    sys.stdout.write(_table(measured) + "\n" + line_of(facts, scale=given.scale, rounds=1))
    return Run(facts, given.scale, 1, mean_of(paces), measured)


def _measure(name: str, servers: Servers, scale: float) -> Iterator[Measured]:
    for measurement in MEASUREMENTS[name]:
        sys.stderr.write(f"measuring: {name}, {measurement.__name__}\n")
        load_before, *_ = os.getloadavg()
        measured = asyncio.run(measurement(servers, scale))
        yield replace(measured, load=(load_before, os.getloadavg()[0]))


def _compare(servers: Servers, given: argparse.Namespace) -> Run:
    bench = Bench(servers, given.environments.expanduser().resolve(), given.scale)
    # First of all, so that nothing is installed between the rounds.
    versions = {one.peer.name: installed_versions(one.peer, bench.environments) for one in given.peers}
    paces = [asyncio.run(reference(servers))]
    rows = compare(given.peers, given.jobs, bench, rounds=given.rounds)
    paces.append(asyncio.run(reference(servers)))
    facts = facts_of(servers, versions)
    sys.stdout.write(tables(rows) + "\n" + line_of(facts, scale=given.scale, rounds=given.rounds))
    return Run(facts, given.scale, given.rounds, mean_of(paces), rows)


def _guard(recorded: Path, runs: Mapping[str, Run]) -> int:
    changes = changes_since(recorded, runs)
    for change in changes:
        sys.stdout.write(f"{change}\n")
    slower = [change for change in changes if change.is_slower]
    sys.stdout.write(f"{len(slower)} of {len(changes)} became more than {SLOWER_SHARE_MAX:.0%} slower\n")
    return 1 if slower else 0


def _table(rows: list[Measured]) -> str:
    lines = [f"| work | measured | aim | processor seconds by process | load on {os.cpu_count()} cores |"]
    lines += ["|---|---|---|---|---|"]
    lines += [f"| {row.work} | {row.measured} | {row.aim} | {_processors(row)} | {_load(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _processors(row: Measured) -> str:
    if not row.processor_seconds:
        return ""
    busiest = sorted(row.processor_seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in busiest) + f" of {row.elapsed_seconds:.1f} s"


def _load(row: Measured) -> str:
    before, after = row.load
    return f"{before:.1f} → {after:.1f}"


if __name__ == "__main__":
    sys.exit(main())
