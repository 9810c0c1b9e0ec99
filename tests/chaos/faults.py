"""The faults: each takes the running system, does its harm, and leaves everything started again."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import aio_pika
import asyncpg
import httpx

from ledger.bootstrap import open_broker
from ledger.broker.port import Band
from ledger.broker.topology import EVENTS_EXCHANGE, work_binding, work_queue
from ledger.messages import outgoing
from ledger.settings import load_settings
from ledger.store.records import RecordedEvent
from tests.chaos.system import LEASE_SECONDS, ChaoticSystem

DUPLICATES = 20
_BACKLOG = 60
_QUEUE = "default"
_RELOAD = "SELECT pg_reload_conf()"
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
)
EVENT_COLUMNS = """
    position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
    actor, correlation_id, causation_id, traceparent
"""
_NEWEST_READY = f"""
    SELECT {EVENT_COLUMNS} FROM ledger.events
     WHERE type IN ('task.submitted', 'task.released') AND data ->> 'run_at' IS NULL
     ORDER BY position DESC LIMIT 20
"""  # noqa: S608 - a constant of ours


class FaultNotPossibleError(Exception):
    """This machine does not let us do this harm; the sentence says why."""


class Recovered(Enum):
    """When a fault is over, as far as its victims can tell: once these tasks are completed."""

    HELD = "what the killed worker ran"
    READY = "what was ready at the moment"
    NEXT = "the first of what was submitted afterwards"


@dataclass(frozen=True, slots=True)
class Harm:
    """What was done.

    Attributes:
        at: the moment, in seconds since the epoch.
        recovered: which tasks tell when it was over.
        worker: the name of the killed worker.
        down_seconds: how long something was kept away on purpose, after the moment.
    """

    kind: str
    at: float
    recovered: Recovered = Recovered.NEXT
    worker: str = ""
    down_seconds: float = 0.0

    def undone(self) -> "Harm":
        """Return it with the time that passed since the moment as the time that it was kept up."""
        return replace(self, down_seconds=time.time() - self.at)


@dataclass(frozen=True, slots=True)
class Dose:
    """How much harm: long in the long run, short where there are many.

    Attributes:
        freeze_seconds: how long a worker is frozen; longer than its lease.
        outage_seconds: how long a server is away.
    """

    freeze_seconds: float = LEASE_SECONDS + 3.0
    outage_seconds: float = 4.0


Fault = Callable[[ChaoticSystem, Dose], Awaitable[Harm]]


async def kill_role(system: ChaoticSystem, _dose: Dose, *, role: str) -> Harm:
    """Kill -9 a process of a role and start another one."""
    system.cluster.kill(role)
    harm = Harm(f"kill_{role}", time.time())
    system.cluster.start(role)
    return harm


async def kill_worker(system: ChaoticSystem, _dose: Dose) -> Harm:
    """Kill -9 any worker and start another one."""
    victim = random.choice(system.running("worker"))  # noqa: S311 - seeded, so that a run can be repeated
    harm = Harm("kill_worker", time.time(), Recovered.HELD, worker=victim.name)
    victim.kill()
    system.start_worker()
    return harm


async def freeze_worker(system: ChaoticSystem, dose: Dose) -> Harm:
    """Stop a worker for longer than its lease, then let it go on as a zombie."""
    zombie = system.running("worker")[0]
    harm = Harm("freeze_worker", time.time(), Recovered.HELD, worker=zombie.name)
    zombie.process.send_signal(SIGSTOP)
    try:
        await asyncio.sleep(dose.freeze_seconds)
    finally:
        zombie.process.send_signal(SIGCONT)
    return harm.undone()


async def stop_broker(system: ChaoticSystem, dose: Dose) -> Harm:
    """Have no broker for a while."""
    await asyncio.to_thread(system.rabbitmq.stop)
    harm = Harm("stop_broker", time.time())
    await asyncio.sleep(dose.outage_seconds)
    await asyncio.to_thread(system.rabbitmq.start)
    return harm.undone()


async def wipe_broker(system: ChaoticSystem, _dose: Dose) -> Harm:
    """Lose the broker's data directory."""
    await _submit_backlog(system)
    await asyncio.to_thread(system.rabbitmq.wipe)
    harm = Harm("wipe_broker", time.time(), Recovered.READY)
    await asyncio.to_thread(system.rabbitmq.start)
    return harm.undone()


async def purge_queue(system: ChaoticSystem, _dose: Dose) -> Harm:
    """Lose every message that waits for a worker."""
    await _submit_backlog(system)
    async with await aio_pika.connect(system.rabbitmq.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(work_queue(_QUEUE, Band.NORMAL), ensure=False)
        harm = Harm("purge_queue", time.time(), Recovered.READY)
        await queue.purge()
    return harm


async def delete_binding(system: ChaoticSystem, _dose: Dose) -> Harm:
    """Lose the binding of the queue: what is published from now on arrives nowhere."""
    async with await aio_pika.connect(system.rabbitmq.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(work_queue(_QUEUE, Band.NORMAL), ensure=False)
        await queue.unbind(EVENTS_EXCHANGE, work_binding(_QUEUE, Band.NORMAL))
        return Harm("delete_binding", time.time())


async def _submit_backlog(system: ChaoticSystem) -> None:
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=10) as client:
        for _ in range(_BACKLOG):
            await client.post("/tasks", json={"kind": "sleep", "input": 0.5})


async def duplicate_deliveries(system: ChaoticSystem, _dose: Dose) -> Harm:
    """Deliver the newest messages that made a task ready 20 times more."""
    harm = Harm("duplicate_deliveries", time.time())
    await publish_again(system, await system.fetch(_NEWEST_READY), times=DUPLICATES)
    return harm


async def publish_again(system: ChaoticSystem, rows: Iterable[asyncpg.Record], *, times: int) -> None:
    """Publish the messages of events once more, and again."""
    messages = [outgoing(RecordedEvent(*row)) for row in rows]
    async with open_broker(load_settings(rabbitmq_url=system.rabbitmq.url)) as broker:
        for _ in range(times):
            await broker.publish(messages)


async def kill_postgres(system: ChaoticSystem, _dose: Dose) -> Harm:
    """Kill -9 the database and start it again."""
    await asyncio.to_thread(system.postgres.kill)
    harm = Harm("kill_postgres", time.time())
    await asyncio.to_thread(system.postgres.start)
    return harm.undone()


async def cut_connections(system: ChaoticSystem, _dose: Dose) -> Harm:
    """End every connection to the database."""
    await system.execute(_CUT)
    return Harm("cut_connections", time.time())


async def read_only_database(system: ChaoticSystem, dose: Dose) -> Harm:
    """Have a database that takes no write for a while."""
    await system.execute("ALTER SYSTEM SET default_transaction_read_only = on", _RELOAD, _CUT)
    harm = Harm("read_only_database", time.time())
    await asyncio.sleep(dose.outage_seconds)
    await system.execute(
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        _RELOAD,
        _CUT,
    )
    return harm.undone()


async def fill_disk(system: ChaoticSystem, dose: Dose) -> Harm:
    """Leave the database without a free block on its disk for a while; start it again where it gave up."""
    if system.disk is None:
        raise FaultNotPossibleError("only root may mount a disk that can be filled")
    filler = system.disk / "filler"
    try:
        await asyncio.to_thread(_take_what_is_left, filler)
        harm = Harm("fill_disk", time.time())
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await system.execute("SELECT pg_switch_wal()")  # or there is room for a while in the open segment
        await asyncio.sleep(dose.outage_seconds)
    finally:
        filler.unlink()
    if system.postgres.pid is None:
        await asyncio.to_thread(system.postgres.restart)
    return harm.undone()


def _take_what_is_left(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 24, 1 << 16, 1 << 12):
            with suppress(OSError):
                while file.write(b"\0" * size):
                    pass


async def replace_worker_by_one_with_a_wrong_clock(system: ChaoticSystem, _dose: Dose) -> Harm:
    """Kill a worker and start one on a machine whose clock is hours off."""
    victim = system.running("worker")[0]
    harm = Harm("wrong_clock", time.time(), Recovered.HELD, worker=victim.name)
    victim.kill()
    system.start_worker("--clock-hours", random.choice(("-7", "11")), step="")  # noqa: S311 - seeded
    return harm


FAULTS: dict[str, Fault] = {
    **{f"kill_{role}": partial(kill_role, role=role) for role in ("relay", "projector", "scheduler", "api")},
    "kill_worker": kill_worker,
    "freeze_worker": freeze_worker,
    "wrong_clock": replace_worker_by_one_with_a_wrong_clock,
    "stop_broker": stop_broker,
    "wipe_broker": wipe_broker,
    "purge_queue": purge_queue,
    "delete_binding": delete_binding,
    "duplicate_deliveries": duplicate_deliveries,
    "kill_postgres": kill_postgres,
    "cut_connections": cut_connections,
    "read_only_database": read_only_database,
    "fill_disk": fill_disk,
}
