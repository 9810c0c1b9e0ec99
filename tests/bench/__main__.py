"""`python -m tests.bench`: run every measurement on private servers, and print one table in Markdown.

Postgres runs with fsync on, RabbitMQ with quorum queues, everything on this machine; each measurement starts the
processes that it needs and reports the processor seconds of each, so that one sees where the time goes.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.bench.as_of import as_of_anywhere
from tests.bench.batches import batches
from tests.bench.idle import idle
from tests.bench.measurements import Measured, Measurement, Servers, drain, durable_submits, latency, open_servers
from tests.bench.rebuild import rebuild_at_rest_and_under_load

MEASUREMENTS: dict[str, Measurement] = {
    "submits": durable_submits,
    "batches": batches,
    "drain": drain,
    "latency": latency,
    "idle": idle,
    "rebuild": rebuild_at_rest_and_under_load,
    "as-of": as_of_anywhere,
}


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"which measurements; all: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the amount of work")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as home, open_servers(Path(home)) as servers:
        rows = [_measure(name, servers, given.scale) for name in given.names or MEASUREMENTS]
    sys.stdout.write(_table(rows))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


def _measure(name: str, servers: Servers, scale: float) -> Measured:
    sys.stderr.write(f"measuring: {name}\n")
    return asyncio.run(MEASUREMENTS[name](servers, scale))


def _table(rows: list[Measured]) -> str:
    lines = ["| work | measured | aim | processor seconds by process |", "|---|---|---|---|"]
    lines += [f"| {row.work} | {row.measured} | {row.aim} | {_processors(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _processors(row: Measured) -> str:
    busiest = sorted(row.processor_seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in busiest) + f" of {row.elapsed_seconds:.1f} s"


if __name__ == "__main__":
    main()
