"""`python -m tests.bench`: run every measurement on private servers, and print one table in Markdown.

Postgres runs with fsync on, RabbitMQ with quorum queues, everything on this machine; each measurement starts the
processes that it needs and reports the processor seconds of each, so that one sees where the time goes, and the
load of the machine before and after it, this measurement's own included.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from tests.bench.as_of import as_of_anywhere
from tests.bench.batches import batches
from tests.bench.growth import growth
from tests.bench.idle import idle
from tests.bench.lag import lag
from tests.bench.live_folds import live_folds
from tests.bench.measurements import Measured, Measurement, Servers, drain, durable_submits, latency, open_servers
from tests.bench.memory import memory
from tests.bench.projection_runner import rebuild_beside_the_library
from tests.bench.reads import reads
from tests.bench.rebuild import rebuild_at_rest_and_under_load

MEASUREMENTS: dict[str, tuple[Measurement, ...]] = {
    "submits": (durable_submits,),
    "batches": (batches,),
    "drain": (drain,),
    "latency": (latency,),
    "idle": (idle,),
    "reads": (reads,),
    "lag": (lag,),
    "memory": (memory,),
    # The largest comes last: what vacuums and checkpoints it leaves behind would count for the others.
    "rebuild": (rebuild_beside_the_library, live_folds, rebuild_at_rest_and_under_load),
    "as-of": (as_of_anywhere,),
    "growth": (growth,),
}


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"which measurements; all: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the amount of work")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as home, open_servers(Path(home)) as servers:
        rows = [row for name in given.names or MEASUREMENTS for row in _measure(name, servers, given.scale)]
    sys.stdout.write(_table(rows))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


def _measure(name: str, servers: Servers, scale: float) -> Iterator[Measured]:
    for measurement in MEASUREMENTS[name]:
        sys.stderr.write(f"measuring: {name}, {measurement.__name__}\n")
        load_before, *_ = os.getloadavg()
        measured = asyncio.run(measurement(servers, scale))
        yield replace(measured, load=(load_before, os.getloadavg()[0]))


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
    main()
