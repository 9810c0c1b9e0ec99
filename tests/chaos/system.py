"""The system under chaos: every role as a process, on a Postgres and a RabbitMQ of its own."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from ledger.migrate import migrate
from tests.services.cluster import Cluster, RoleProcess
from tests.services.nursery import Nursery
from tests.services.postgres import chosen_binaries, run_apart
from tests.services.private_postgres import PrivatePostgres
from tests.services.private_rabbitmq import PrivateRabbitmq, find_rabbitmq_server
from tests.services.provision import ServiceAbsentError

LEASE_SECONDS = 5
RECONCILE_AFTER_SECONDS = 3
DISK_BYTES = 1 << 30

_ENVIRONMENT = {
    "LEDGER_LEASE_SECONDS": str(LEASE_SECONDS),
    "LEDGER_RECONCILE_AFTER_SECONDS": str(RECONCILE_AFTER_SECONDS),
    # Whoever kills on purpose must not run into the bound that ends a poison task.
    "LEDGER_ATTEMPTS_LOST_MAX": "1000",
}
_MODULES = ("api.up", "api.cli", "api.process", "projections.commands", "worker.process", "tests.chaos.doom")
_TUNING = {"max_wal_size": "128MB", "min_wal_size": "32MB", "wal_recycle": "off"}


@dataclass(slots=True)
class ChaoticSystem:
    """Every role as a process, on servers of its own.

    Attributes:
        disk: where the database's files are, if that is a file system of its own, which may be filled.
    """

    cluster: Cluster
    postgres: PrivatePostgres
    rabbitmq: PrivateRabbitmq
    disk: Path | None = None
    _workers: int = field(default=0)

    def start_worker(self, *options: str, step: str | None = None, **environment: str) -> RoleProcess:
        """Start a worker under a name that no other has had; with a step, or options, one that is doomed."""
        self._workers += 1
        name = f"worker-{self._workers}"
        environment = {"LEDGER_WORKER_NAME": name, **environment}
        worker = (
            self.cluster.start("worker", **environment)
            if step is None
            else self.cluster.start_module("worker", "tests.chaos.doom", "worker", step, *options, **environment)
        )
        worker.name = name
        return worker

    def start_doomed(self, role: str, step: str, **environment: str) -> RoleProcess:
        """Start a process of a role that kills itself at a step."""
        if role == "worker":
            return self.start_worker(step=step, **environment)
        return self.cluster.start_module(role, "tests.chaos.doom", role, step, **environment)

    def running(self, role: str) -> list[RoleProcess]:
        """Return the processes of a role that run, the oldest first."""
        return [one for one in self.cluster.running if one.role == role and one.process.poll() is None]

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Return the rows of a statement, as the superuser sees them."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()

    async def count(self, statement: str, *arguments: object) -> int:
        """Return the one number of a statement."""
        return int((await self.fetch(statement, *arguments))[0][0])

    async def execute(self, *statements: str) -> None:
        """Execute statements as the superuser, each by itself."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def until(self, statement: str, *arguments: object, at_least: int, seconds_max: float = 60.0) -> None:
        """Return as soon as the one number of a statement is large enough.

        Raises:
            TimeoutError: it is not, in time.
        """
        async with asyncio.timeout(seconds_max):
            while await self.count(statement, *arguments) < at_least:
                await asyncio.sleep(0.1)


@contextmanager
def chaotic_system(
    *, workers: int, environment: Mapping[str, str], with_disk: bool = False
) -> Iterator[ChaoticSystem]:
    """Start everything, and end all of it on leaving.

    Args:
        workers: how many.
        environment: settings of every role.
        with_disk: whether the database gets a file system of its own, where this user may mount one.

    Raises:
        ServiceAbsentError: this machine has no RabbitMQ.
        EmbeddedPostgresError: it has no Postgres.
    """
    script = find_rabbitmq_server()
    if script is None:
        raise ServiceAbsentError("rabbitmq-server is not installed here")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)))
        disk = stack.enter_context(_disk(home / "disk")) if with_disk else None
        postgres = PrivatePostgres((disk or home) / "postgres", binaries=chosen_binaries(), tuning=_TUNING)
        rabbitmq = PrivateRabbitmq(home / "rabbitmq", script=script)
        stack.callback(postgres.stop)
        stack.callback(rabbitmq.stop)
        starting = stack.enter_context(ThreadPoolExecutor(1)).submit(rabbitmq.start)
        nursery = stack.enter_context(Nursery(_MODULES))
        run_apart(migrate(postgres.start()))
        starting.result()
        cluster = Cluster(
            postgres.url, rabbitmq.url, home / "logs", environment={**_ENVIRONMENT, **environment},
            nursery=nursery,
        )  # fmt: skip
        system = ChaoticSystem(stack.enter_context(cluster), postgres, rabbitmq, disk)
        for role in ("api", "relay", "projector", "scheduler"):
            cluster.start(role)
        for _ in range(workers):
            system.start_worker()
        cluster.wait_until_ready()
        yield system


@contextmanager
def _disk(path: Path) -> Iterator[Path | None]:
    """Make a small file system in memory, where this user may mount one; else yield None."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(path)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield path if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
