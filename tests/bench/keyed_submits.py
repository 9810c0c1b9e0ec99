"""What keys cost a submit: API keys, their rate limit, and idempotency keys, at one and the same API process.

The rounds take turns, so that what else the machine does hits all of them alike. Without any API key the process
is open: between two rounds the keys are made or deleted behind its back, and it notices within a second.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import asyncpg
import httpx

from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key
from ledger.bootstrap import open_ledger
from ledger.settings import load_settings
from tests.bench.measurements import Measured, Servers, load, processors
from tests.bench.processors import ProcessorSeconds
from tests.services.cluster import Cluster

_ROUNDS = 5
_REQUESTS = 6_000
_RATE_MAX = 1_000_000
_SUBMISSION = '{"input":"hello world"}'
_NOTICED_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to submit."""

    name: str
    needs_key: bool
    rate_max: int | None = None
    headers: Sequence[str] = ()


_OPEN = _Way("without", needs_key=False)
_WAYS = (
    _OPEN,
    _Way("an API key", needs_key=True),
    _Way("an API key with a rate", needs_key=True, rate_max=_RATE_MAX),
    _Way("an idempotency key each", needs_key=False, headers=("Idempotency-Key: {n}",)),
)


@dataclass(frozen=True, slots=True)
class _Figures:
    """One round: requests a second, and microseconds of the API's and of Postgres's processor a request."""

    per_second: float
    api_us: float
    postgres_us: float


async def keyed_submits(servers: Servers, scale: float) -> Measured:
    """Submit over HTTP from 64 connections to one API process, with keys of each kind and without."""
    requests = int(_REQUESTS * scale)
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        cluster.start("api")
        await asyncio.to_thread(cluster.wait_until_alive)
        await load(f"{cluster.url}/tasks", requests, body=_SUBMISSION)
        rounds = [
            {way.name: await _measured(cluster, used, way, requests) for way in _WAYS} for _ in range(_ROUNDS)
        ]
    return Measured(
        work=f"durable POST /tasks with keys, one API process, 64 connections, {_ROUNDS} rounds in turns",
        measured="; ".join(_said(rounds, way) for way in _WAYS),
        aim="an API key at most 15 % more processor than without",
        elapsed_seconds=used.elapsed_seconds,
    )


async def _measured(cluster: Cluster, used: ProcessorSeconds, way: _Way, requests: int) -> _Figures:
    headers = [*way.headers, *([await _new_key(cluster, way.rate_max)] if way.needs_key else [])]
    if not way.needs_key:
        await _without_keys(cluster)
    await _noticed(cluster, is_open=not way.needs_key)
    used.start()
    report = await load(f"{cluster.url}/tasks", requests, body=_SUBMISSION, headers=headers)
    used.stop()
    seconds = used.seconds
    return _Figures(
        report["requests_per_second"],
        seconds["api"] / requests * 1e6,
        seconds["postgres"] / requests * 1e6,
    )


async def _new_key(cluster: Cluster, rate_max: int | None) -> str:
    name = f"bench-{secrets.token_hex(4)}"
    key = ApiKey(name=name, scopes=frozenset({Scope.SUBMIT, Scope.READ}), rate_max=rate_max)
    async with open_ledger(load_settings(database_url=cluster.database_url)) as ledger:
        token = await create_key(ledger.database, key, actor="bench")
    header = f"Authorization: Bearer {token}"
    await _status(cluster, 200, header)
    return header


async def _without_keys(cluster: Cluster) -> None:
    connection = await asyncpg.connect(cluster.database_url)
    await connection.execute("DELETE FROM ledger.api_keys")
    await connection.close()


async def _noticed(cluster: Cluster, *, is_open: bool) -> None:
    await _status(cluster, 200 if is_open else 401)


async def _status(cluster: Cluster, status: int, *headers: str) -> None:
    sent = dict(header.split(": ") for header in headers)
    async with asyncio.timeout(_NOTICED_SECONDS_MAX), httpx.AsyncClient(base_url=cluster.url) as client:
        while (await client.get("/queues", headers=sent)).status_code != status:
            await asyncio.sleep(0.1)


def _said(rounds: Sequence[Mapping[str, _Figures]], way: _Way) -> str:
    figures = [one[way.name] for one in rounds]
    said = (
        f"{way.name} {median(one.per_second for one in figures):,.0f}/s, "
        f"api {median(one.api_us for one in figures):.0f} µs, "
        f"postgres {median(one.postgres_us for one in figures):.0f} µs a request"
    )
    if way is _OPEN:
        return said
    ratios = [one[way.name].api_us / one[_OPEN.name].api_us for one in rounds]
    return f"{said} (api {median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f} times)"
