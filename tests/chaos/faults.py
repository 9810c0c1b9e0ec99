"""The faults: each takes the running system, does its harm, and leaves everything started again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from signal import SIGCONT, SIGSTOP

import aio_pika
import asyncpg

from ledger.broker.port import Band
from ledger.broker.topology import EVENTS_EXCHANGE, work_binding, work_queue
from tests.services.cluster import Cluster
from tests.services.private_postgres import PrivatePostgres
from tests.services.private_rabbitmq import PrivateRabbitmq

LEASE_SECONDS = 5
_OUTAGE_SECONDS = 4.0
_QUEUE = "default"
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class ChaoticSystem:
    """Every role as a process, on servers of its own."""

    cluster: Cluster
    postgres: PrivatePostgres
    rabbitmq: PrivateRabbitmq


Fault = Callable[[ChaoticSystem], Awaitable[None]]


async def _kill(system: ChaoticSystem, *, role: str) -> None:
    system.cluster.kill(role)
    system.cluster.start(role)


async def freeze_worker_beyond_its_lease(system: ChaoticSystem) -> None:
    """Stop a worker for longer than its lease, then let it go on as a zombie."""
    running = system.cluster.running
    zombie = next(one.process for one in running if one.role == "worker" and one.process.poll() is None)
    zombie.send_signal(SIGSTOP)
    try:
        await asyncio.sleep(LEASE_SECONDS + 3)
    finally:
        zombie.send_signal(SIGCONT)


async def stop_broker(system: ChaoticSystem) -> None:
    """Have no broker for some seconds."""
    await asyncio.to_thread(system.rabbitmq.stop)
    await asyncio.sleep(_OUTAGE_SECONDS)
    await asyncio.to_thread(system.rabbitmq.start)


async def wipe_broker(system: ChaoticSystem) -> None:
    """Lose the broker's data directory."""
    await asyncio.to_thread(system.rabbitmq.wipe)
    await asyncio.to_thread(system.rabbitmq.start)


async def purge_queue(system: ChaoticSystem) -> None:
    """Lose every message that waits for a worker."""
    connection = await aio_pika.connect(system.rabbitmq.url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(work_queue(_QUEUE, Band.NORMAL), ensure=False)
        await queue.purge()


async def delete_binding(system: ChaoticSystem) -> None:
    """Lose the binding of the queue: what is published from now on arrives nowhere."""
    connection = await aio_pika.connect(system.rabbitmq.url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(work_queue(_QUEUE, Band.NORMAL), ensure=False)
        await queue.unbind(EVENTS_EXCHANGE, work_binding(_QUEUE, Band.NORMAL))


async def kill_postgres(system: ChaoticSystem) -> None:
    """Kill -9 the database and start it again."""
    await asyncio.to_thread(system.postgres.kill)
    await asyncio.to_thread(system.postgres.start)


async def cut_connections(system: ChaoticSystem) -> None:
    """End every connection to the database."""
    connection = await asyncpg.connect(system.postgres.url)
    try:
        await connection.execute(_CUT)
    finally:
        await connection.close()


FAULTS: dict[str, Fault] = {
    **{f"kill_{role}": partial(_kill, role=role) for role in ("worker", "relay", "projector", "scheduler", "api")},
    "freeze_worker": freeze_worker_beyond_its_lease,
    "stop_broker": stop_broker,
    "wipe_broker": wipe_broker,
    "purge_queue": purge_queue,
    "delete_binding": delete_binding,
    "kill_postgres": kill_postgres,
    "cut_connections": cut_connections,
}
