"""The reference: how fast this machine is right now, by work that no change of ours can touch.

Figures of two runs are compared as multiples of it, so that a slower or a busier machine is not taken for slower
code.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from math import prod
from statistics import fmean

import asyncpg

from tests.bench.measurements import Servers

INSERTS = "inserts_per_second"
LOOPS = "loops_per_second"

_CONNECTIONS = 8
_SECONDS = 2.0
_ROUND = 10_000

_TABLE = "CREATE TABLE reference (id bigserial PRIMARY KEY, written_at timestamptz DEFAULT now(), content text)"
_INSERT = "INSERT INTO reference (content) VALUES ($1)"


async def reference(servers: Servers) -> Mapping[str, float]:
    """Measure commits of one row by eight connections, and a loop of pure Python."""
    return {INSERTS: await _inserts(servers.database()), LOOPS: _loops()}


def pace_of(measured: Mapping[str, float]) -> float:
    """Return one figure for a machine's speed: the geometric mean of what was measured."""
    return prod(measured.values()) ** (1 / len(measured))


def mean_of(paces: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the means of what was measured several times."""
    return {name: fmean(pace[name] for pace in paces) for name in paces[0]}


async def _inserts(url: str) -> float:
    connections = [await asyncpg.connect(url) for _ in range(_CONNECTIONS)]
    await connections[0].execute(_TABLE)
    ends_at = time.monotonic() + _SECONDS

    async def insert(connection: asyncpg.Connection) -> int:
        inserted = 0
        while time.monotonic() < ends_at:
            await connection.execute(_INSERT, "x" * 200)
            inserted += 1
        return inserted

    inserted = sum(await asyncio.gather(*map(insert, connections)))
    for connection in connections:
        await connection.close()
    return inserted / _SECONDS


def _loops() -> float:
    loops, ends_at = 0, time.monotonic() + _SECONDS
    while time.monotonic() < ends_at:
        names = {str(number): number * number % 7 for number in range(_ROUND)}
        loops += sum(1 for name in names if names[name])
    return loops / _SECONDS
