"""The measurement of batches: how fast one API process records many tasks at once."""

import asyncio
import json

import httpx

from tests.bench.measurements import Measured, Servers, processors

_TASKS = 10_000
_AT_ONCE = 2
_ITEM = {"kind": "mail.send", "input": {"to": "ada@example.org", "number": 17}, "tags": ["tenant:acme"]}


async def batches(servers: Servers, scale: float) -> Measured:
    """Submit batches of 10,000 over HTTP, two at once, to one API process."""
    rounds = max(1, int(6 * scale))
    body = json.dumps([_ITEM] * _TASKS).encode()
    with servers.cluster() as cluster, processors(servers, cluster) as used:
        cluster.start("api")
        await asyncio.to_thread(cluster.wait_until_alive)
        await submit_batches(cluster.url, body, count=1)
        used.start()
        await asyncio.gather(*(submit_batches(cluster.url, body, count=rounds) for _ in range(_AT_ONCE)))
        used.stop()
    tasks = _AT_ONCE * rounds * _TASKS
    return Measured(
        work="durable POST /tasks/batch of 10,000, one API process, two batches at once",
        measured=f"{tasks / used.elapsed_seconds:.0f} tasks/s",
        aim="40,000 tasks/s",
        elapsed_seconds=used.elapsed_seconds,
        processor_seconds=used.seconds,
        figures={"batch_tasks_per_second": tasks / used.elapsed_seconds},
    )


async def submit_batches(url: str, body: bytes, *, count: int) -> None:
    """Submit a batch so many times, one after the other."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for _ in range(count):
            (await client.post("/tasks/batch", content=body)).raise_for_status()
